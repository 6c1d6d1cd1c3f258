"""How long it takes to plan against, read, query and compact a million stored trials in a thousand parts.

    python -m benchmarks store [--trials 1000000] [--parts 1000]

Exits with 1 where `states()` takes more than 2 s at its best of three, the budget of a plan.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks._clock import significant
from benchmarks._table import Table, arguments, report
from tsd.store import Store, schema

BUDGET_S = 2.0
CURVE_POINTS = 20

Row = tuple[str, str]
"""What was done, and the seconds it took."""


def main(words: Sequence[str]) -> int:
    """Fill a temporary store, time it, and say whether it keeps its budget."""
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=1000)
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        rows = [timed("write_part, all", lambda: fill(store, asked.trials, asked.parts))[0]]
        planned = [timed("states()", store.states) for _ in range(3)]
        rows += [min(planned, key=lambda each: each[1])[0], *measure(store)]
        rows += [
            timed(what, do)[0] for what, do in (("compact()", store.compact), ("states(), compacted", store.states))
        ]
        rows += [(f"{what}, compacted", seconds) for what, seconds in measure(store)]
    title = f"{asked.trials:,} trials in {asked.parts:,} parts, {CURVE_POINTS} points of a curve each"
    report("store", [Table(title, ("what", "seconds"), rows)], asked.json)
    return 0 if min(seconds for _, seconds in planned) <= BUDGET_S else 1


def measure(store: Store) -> list[Row]:
    """Reading everything and asking two questions."""
    connection = duckdb.connect()
    work: dict[str, Callable[[], object]] = {
        "trials()": store.trials,
        "trials(), 3 columns": lambda: store.trials(["p0", "p1", "m0"]),
        "curves()": store.curves,
        "connect()": lambda: store.connect(connection),
        "a mean over trials": lambda: connection.execute("SELECT p0, p1, avg(m0) FROM trials GROUP BY ALL").fetchall(),
        "a mean over curves": lambda: connection.execute("SELECT step, avg(value) FROM curves GROUP BY ALL").fetchall(),
    }
    return [timed(what, do)[0] for what, do in work.items()]


def fill(store: Store, trials: int, parts: int) -> None:
    """Parts of 20 parameters, 10 metrics and one curve a trial."""
    generator = np.random.default_rng(0)
    parameters = {f"p{i}": schema.ColumnInfo("float") for i in range(20)}
    metrics = {f"m{i}": schema.ColumnInfo("float") for i in range(10)}
    columns = schema.trial_schema(parameters, metrics)
    for part in range(parts):
        rows = trials // parts
        values: dict[str, Any] = {name: generator.choice([0.1, 0.2, 0.5], rows) for name in parameters}
        values |= {name: generator.normal(size=rows) for name in metrics}
        values |= {"trial_id": [generator.bytes(16).hex() for _ in range(rows)], "state": ["done"] * rows}
        values |= {"started_at": [datetime.fromtimestamp(part, UTC)] * rows, "pack_id": [str(part)] * rows}
        table = schema.conform(pa.table(values), columns)
        curves = {
            "trial_id": np.repeat(values["trial_id"], CURVE_POINTS),
            "step": np.tile(np.arange(CURVE_POINTS), rows),
            "metric": ["mse"] * (rows * CURVE_POINTS),
            "value": generator.normal(size=rows * CURVE_POINTS),
        }
        store.write_part(f"pack{part}", table, pa.table(curves))


def timed(what: str, work: Callable[[], object]) -> tuple[Row, float]:
    """Do `work`; its row, and how long it took in seconds."""
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    return (what, significant(seconds)), seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
