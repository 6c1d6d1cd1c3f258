"""A phase diagram and a table from many rows, beside the same in plain pandas: `python -m benchmarks analysis`.

Each is measured in a process of its own, so that its peak memory is its own; its seconds count everything but the
start of Python, the imports too, of modules that are compiled as they are after anyone's first run. The rows are as
sweeps leave them: ids are hashes, every record is filled in.

Ours is the verb: it compares every file with its seal, finds what varies inside a cell, bounds the line of the
threshold by a bootstrap, and hashes what it read. pandas does by hand what the same picture and numbers need: one row a
trial, the best and the latest, how many ended how in each cell, means over seeds, Student-t intervals, paired
differences, a figure or a CSV. It verifies and records nothing, takes for granted which parameters and seeds vary, and
draws no bounds; once it has read, it runs on one core. `pandas` reads the folder as it is, `columns` names the few
columns that it needs.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from benchmarks._process import alone, peak_mb
from tsd.store import Store, schema

if TYPE_CHECKING:
    import pandas as pd

PARTS = 40
BUDGET_S, BUDGET_MB = 5.0, 2000
FASTER = 5.0
"""Ours is to be as many times as fast as pandas that reads the folder as it is."""
ASKED = {
    "phase": ["--x", "p0", "--y", "p1", "--value", "m0", "--threshold", "0.5"],
    "table": ["--rows", "p2", "--columns", "p3", "--value", "m0", "--reference", "a"],
}
RANK = {state: rank for rank, state in enumerate(schema.STATES)}
RECORDS = {
    "study": "benchmark", "kind": "experiment", "state": "done", "origin": "grid", "device": "cpu", "dtype": "float64",
    "way_taken": "vmap", "git_sha": "0123456789abcdef0123456789abcdef01234567", "tsd_version": "0.1.0", "host": "node",
}  # fmt: skip


def fill(folder: Path, rows: int) -> None:
    """A store of so many trials over 50 × 40 places, 5 methods and 4 sizes, in parts."""
    store, rng = Store(folder), np.random.default_rng(0)
    store.prepare({"study": "benchmark", "name": "benchmark", "axes": {}}, provenance={})
    names = {f"p{i}": schema.ColumnInfo("str" if i == 2 else "float") for i in range(10)}
    layout = schema.trial_schema(names, {f"m{i}": schema.ColumnInfo("float") for i in range(4)})
    each = rows // PARTS
    for part in range(PARTS):
        values = _values(np.arange(part * each, (part + 1) * each), rng)
        store.write_part(f"pack{part}", schema.conform(pa.table(values), layout), None)


def _values(number: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    each = len(number)
    values: dict[str, Any] = {name: pa.repeat(word, each) for name, word in RECORDS.items()}
    values |= {
        "trial_id": np.frombuffer(rng.bytes(16 * each).hex().encode(), "S32").astype("U32"),
        "study_version": pa.repeat(1, each),
        "started_at": pa.repeat(pa.scalar(datetime(2026, 1, 1, tzinfo=UTC), schema.INSTANT), each),
        "pack_id": pa.repeat(f"{number[0]:016x}", each),
        "wall_s": pa.repeat(0.25, each),
        "p0": (number % 50).astype(float),
        "p1": (number // 50 % 40).astype(float),
        "p2": np.array(list("abcde"))[number // 2000 % 5],
        "p3": (number // 10_000 % 4).astype(float),
        "seed_teacher": pa.repeat(0, each),
        "seed_data": pa.repeat(0, each),
        "seed_init": number // 40_000,
    }
    values |= {f"p{i}": np.zeros(each) for i in range(4, 10)}
    values |= {f"m{i}": rng.random(each) for i in range(4)}
    return values | {"m0": values["m0"] + (values["p0"] + values["p1"]) / 90 - 0.5}


def ours(folder: Path, verb: str, output: Path) -> None:
    """The verb as a user runs it."""
    from analysis import figures

    words = ASKED[verb]
    options = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    typed = {name: float(value) if name == "threshold" else value for name, value in options.items()}
    figures.find(verb).command(str(folder), **typed, output=[output])


def by_hand(folder: Path, verb: str, output: Path, *, named: bool) -> None:
    """The same picture or numbers in pandas, of all columns or of those that are `named`."""
    import pandas as pd

    axes = ["p0", "p1"] if verb == "phase" else ["p2", "p3"]
    columns = ["trial_id", "kind", "state", "started_at", *axes, "seed_init", "m0"] if named else None
    frame = pd.read_parquet(folder / "trials", columns=columns)
    frame = frame[frame["kind"] == "experiment"].assign(rank=frame["state"].map(RANK))
    frame = frame.sort_values(["rank", "started_at"], ascending=[True, False]).drop_duplicates("trial_id")
    ended = frame.groupby([*axes, "state"]).size().unstack(fill_value=0)
    done = frame[(frame["state"] == "done") & np.isfinite(frame["m0"])]
    seeds = done.groupby([*axes, "seed_init"])["m0"].mean()
    found = with_interval(seeds.groupby(axes).agg(["count", "mean", "std"])).join(ended, how="outer")
    if verb == "phase":
        draw(found["mean"].unstack("p0"), output)
    else:
        wide = seeds.unstack("p2")
        paired = wide.sub(wide["a"], axis=0).groupby("p3").agg(["count", "mean", "std"]).stack("p2")
        found.join(with_interval(paired).swaplevel().add_suffix("_difference")).to_csv(output)


def with_interval(found: pd.DataFrame) -> pd.DataFrame:
    """Means with half of their Student-t intervals."""
    from scipy.special import stdtrit

    return found.assign(half=stdtrit(found["count"] - 1, 0.975) * found["std"] / np.sqrt(found["count"]))


def draw(mean: pd.DataFrame, output: Path) -> None:
    """Colours over two axes, and the line of the threshold."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    figure.colorbar(axes.pcolormesh(mean.columns, mean.index, mean), label="m0")
    axes.contour(mean.columns, mean.index, mean, [0.5], colors="white")
    axes.set(xlabel="p0", ylabel="p1")
    figure.savefig(output)


WAYS = {
    "ours": ours,
    "pandas": lambda *of: by_hand(*of, named=False),
    "columns": lambda *of: by_hand(*of, named=True),
}


def measure(way: str, verb: str, folder: str) -> dict[str, float]:
    """Seconds, those of all cores together, and peak memory in MB of one way, in this process."""
    output = Path(folder).parent / f"{way}.{'png' if verb == 'phase' else 'csv'}"
    started, worked = time.perf_counter(), time.process_time()
    WAYS[way](Path(folder), verb, output)
    seconds, cores = time.perf_counter() - started, time.process_time() - worked
    return {"seconds": seconds, "core_s": cores, "peak_mb": peak_mb()}


def main() -> int:
    """Print one line a verb and way, medians of rounds in turn, and end with 1 where a budget is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10**7)
    parser.add_argument("--rounds", type=int, default=3)
    asked, kept = parser.parse_args(), True
    print(f"{'':8} {'way':8} {'rows':>12} {'seconds':>9} {'core s':>9} {'peak MB':>9} {'times ours':>11}")
    with TemporaryDirectory() as place:
        folder = Path(place) / "benchmark"
        fill(folder, asked.rows)
        for package in ("analysis", "tsd"):
            compileall.compile_dir(Path(__file__).parents[1] / package, quiet=2)
        os.sync()  # or the first to be measured shares its cores with the writing
        for verb in ASKED:
            rounds = [
                {way: alone("benchmarks.analysis", way, verb, str(folder)) for way in WAYS} for _ in range(asked.rounds)
            ]
            for way in WAYS:
                seconds, core_s, peak_mb = (median(r[way][k] for r in rounds) for k in ("seconds", "core_s", "peak_mb"))
                times = median(r[way]["seconds"] / r["ours"]["seconds"] for r in rounds)
                told = f"{seconds:>9.2f} {core_s:>9.2f} {peak_mb:>9.0f} {times:>11.1f}"
                print(f"{verb:8} {way:8} {asked.rows:>12,} {told}", flush=True)
                kept &= way != "ours" or (seconds < BUDGET_S and peak_mb < BUDGET_MB)
                kept &= way != "pandas" or times > FASTER
    return 0 if kept else 1


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        print(json.dumps(measure(*sys.argv[1:4])))
    else:
        sys.exit(main())
