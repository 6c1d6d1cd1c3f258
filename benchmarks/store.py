"""How long it takes to open, plan against, read, query and compact a million stored trials in a thousand parts.

    python -m benchmarks store [--trials 1000000] [--parts 1000]

The trials are those of a sweep, so that it can be planned against them. Exits with 1 where, at the best of three,
results take more than 1 s to open or the plan of the sweep, once expanded, more than 2 s. Beside the seconds stand
those of CPU, which tell more on a busy machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from analysis.data.load import Results
from benchmarks._clock import significant
from benchmarks._table import Table, arguments, report
from tsd.store import Store, schema
from tsd.sweep.asked import Asked
from tsd.sweep.shapes import Limits

OPEN_S, PLAN_S = 1.0, 2.0
CURVE_POINTS = 20
ROUNDS = 3
SWEEP = """\
name: store
study: spectral
axes:
  student_width: [20, 40, 60, 100]
  lr: {{logspace: [1e-4, 1e-1, 25]}}
seeds: {seeds}
"""

Row = tuple[str, str, str]
"""What was done, the seconds it took, and those of CPU in all threads."""


def main(words: Sequence[str]) -> int:
    """Fill a temporary store, time it, and say whether it keeps its budgets."""
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=1_000_000, help="at least 100; in hundreds")
    parser.add_argument("--parts", type=int, default=1000)
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(SWEEP.format(seeds=max(1, given.trials // 100)))
        with Asked.of(file, folder) as asked:
            first, _ = timed("write_part, all", lambda: fill(asked, given.parts))
            rows, kept = within(asked, "")
            rows = [first, *rows, *measure(asked.store), timed("compact()", asked.store.compact)[0]]
            again, _ = within(asked, ", compacted")
            rows += [*again, *((f"{what}, compacted", *times) for what, *times in measure(asked.store))]
            title = f"{asked.grid.total:,} trials in {given.parts:,} parts, {CURVE_POINTS} points of a curve each"
    report("store", [Table(title, ("what", "seconds", "CPU seconds"), rows)], given.json)
    return 0 if kept else 1


def within(asked: Asked, after: str) -> tuple[list[Row], bool]:
    """What has a budget, at the best of three, and whether it is kept."""
    work: dict[str, tuple[Callable[[], object], float]] = {
        "open": (lambda: Results.open(asked.store.root), OPEN_S),
        "plan": (lambda: asked.plan(Limits.of(2, "cpu"), "cached"), PLAN_S),
    }
    rows, kept = [], True
    for what, (do, budget) in work.items():
        row, seconds = min((timed(f"{what}{after}", do) for _ in range(ROUNDS)), key=lambda each: each[1])
        rows.append(row)
        kept = kept and seconds <= budget
    return rows, kept


def measure(store: Store) -> list[Row]:
    """Reading everything and asking two questions."""
    connection = duckdb.connect()
    means = "SELECT student_width, lr, avg(m0) FROM trials GROUP BY ALL"
    work: dict[str, Callable[[], object]] = {
        "trials()": store.trials,
        "trials(), 3 columns": lambda: store.trials(["student_width", "lr", "m0"]),
        "curves()": store.curves,
        "states()": store.states,
        "connect()": lambda: store.connect(connection),
        "a mean over trials": lambda: connection.execute(means).fetchall(),
        "a mean over curves": lambda: connection.execute("SELECT step, avg(value) FROM curves GROUP BY ALL").fetchall(),
    }
    return [timed(what, do)[0] for what, do in work.items()]


def fill(asked: Asked, parts: int) -> None:
    """Store the trials of the sweep with ten metrics and one curve each."""
    generator = np.random.default_rng(0)
    whole = asked.connection.sql("FROM trials").to_arrow_table()
    fields = {name: schema.ColumnInfo(field.type.__name__) for name, field in asked.sweep.fields.items()}
    columns = schema.trial_schema(fields, {f"m{i}": schema.ColumnInfo("float") for i in range(10)})
    size = -(-whole.num_rows // parts)
    for number, start in enumerate(range(0, whole.num_rows, size)):
        part = whole.slice(start, size)
        rows = part.num_rows
        values: dict[str, Any] = {f"m{i}": generator.normal(size=rows) for i in range(10)}
        values |= {"state": ["done"] * rows, "kind": ["experiment"] * rows, "pack_id": [str(number)] * rows}
        values |= {"started_at": [datetime.fromtimestamp(number, UTC)] * rows, "wall_s": [0.1] * rows}
        own = part.drop_columns([name for name in values if name in part.column_names])
        table = pa.table(dict(zip(own.column_names, own.columns, strict=True)) | values)
        curves = {
            "trial_id": np.repeat(part["trial_id"].to_numpy(zero_copy_only=False), CURVE_POINTS),
            "step": np.tile(np.arange(CURVE_POINTS), rows),
            "metric": ["mse"] * (rows * CURVE_POINTS),
            "value": generator.normal(size=rows * CURVE_POINTS),
        }
        asked.store.write_part(f"pack{number}", schema.conform(table, columns), pa.table(curves))


def timed(what: str, work: Callable[[], object]) -> tuple[Row, float]:
    """Do `work`; its row, and how long it took in seconds."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return (what, significant(seconds), significant(cpu)), seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
