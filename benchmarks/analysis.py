"""A phase diagram and a table from many rows, beside the same in plain pandas: `python -m benchmarks.analysis`.

Each is measured in a process of its own, so that its peak memory is its own. The rows are ten parameters and four
metrics wide; pandas reads the columns that it needs and no others.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from tsd.store import Store, schema

PARTS = 40
BUDGET_S, BUDGET_MB = 5.0, 2000
ASKED = {
    "phase": ["--x", "p0", "--y", "p1", "--value", "m0", "--threshold", "0.5"],
    "table": ["--rows", "p2", "--columns", "p3", "--value", "m0", "--reference", "a"],
}


def fill(folder: Path, rows: int) -> None:
    """A store of so many trials over 50 × 40 places, 5 methods and 4 sizes, in parts."""
    store, rng = Store(folder), np.random.default_rng(0)
    store.prepare({"study": "benchmark", "name": "benchmark", "axes": {}}, provenance={})
    names = {f"p{i}": schema.ColumnInfo("str" if i == 2 else "float") for i in range(10)}
    layout = schema.trial_schema(names, {f"m{i}": schema.ColumnInfo("float") for i in range(4)})
    each = rows // PARTS
    for part in range(PARTS):
        number = np.arange(part * each, (part + 1) * each)
        values = {
            "trial_id": np.char.mod("%032x", number),
            "state": np.full(each, "done"),
            "kind": np.full(each, "experiment"),
            "started_at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * each, pa.timestamp("us", tz="UTC")),
            "p0": (number % 50).astype(float),
            "p1": (number // 50 % 40).astype(float),
            "p2": np.array(list("abcde"))[number // 2000 % 5],
            "p3": (number // 10_000 % 4).astype(float),
            "seed_init": number // 40_000,
        }
        values |= {f"p{i}": np.zeros(each) for i in range(4, 10)}
        values |= {f"m{i}": rng.random(each) for i in range(4)}
        store.write_part(f"pack{part}", schema.conform(pa.table(values), layout), None)


def ours(folder: Path, verb: str) -> None:
    """The verb as a user runs it, without the start of Python."""
    from analysis import figures

    output = [folder.parent / ("out.png" if verb == "phase" else "out.md")]
    words = ASKED[verb]
    options = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    typed = {name: float(value) if name == "threshold" else value for name, value in options.items()}
    figures.find(verb).command(str(folder), **typed, output=output)


def plain(folder: Path, verb: str) -> None:
    """The same numbers in pandas: means, spreads and, for the table, differences paired by seed."""
    import pandas as pd

    axes = ["p0", "p1"] if verb == "phase" else ["p2", "p3"]
    columns = ["trial_id", "state", "started_at", *axes, "seed_init", "m0"]
    frame = pd.concat(
        [pd.read_parquet(part, columns=columns) for part in sorted((folder / "trials").glob("*.parquet"))]
    )
    frame = frame.sort_values("started_at").drop_duplicates("trial_id", keep="last")
    done = frame[frame["state"] == "done"]
    seeds = done.groupby([*axes, "seed_init"])["m0"].mean()
    seeds.groupby(axes).agg(["count", "mean", "std"])
    if verb == "table":
        wide = seeds.unstack("p2")
        wide.sub(wide["a"], axis=0).groupby("p3").agg(["count", "mean", "std"])


def measure(way: str, verb: str, folder: str) -> dict[str, float]:
    """Seconds, those of all cores together, and peak memory in MB of one way, in this process."""
    started, worked = time.perf_counter(), time.process_time()
    {"ours": ours, "plain": plain}[way](Path(folder), verb)
    seconds, cores = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return {"seconds": seconds, "core_s": cores, "peak_mb": peak}


def main() -> int:
    """Print one line a verb and way, and end with 1 where a budget is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10**7)
    rows, kept = parser.parse_args().rows, True
    print(f"{'':8} {'way':8} {'rows':>12} {'seconds':>9} {'core s':>9} {'peak MB':>9}")
    with TemporaryDirectory() as place:
        folder = Path(place) / "benchmark"
        fill(folder, rows)
        for verb in ASKED:
            for way in ("ours", "plain"):
                command = [sys.executable, "-m", "benchmarks.analysis", way, verb, str(folder)]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
                found = json.loads(told)
                told = f"{found['seconds']:>9.2f} {found['core_s']:>9.2f} {found['peak_mb']:>9.0f}"
                print(f"{verb:8} {way:8} {rows:>12,} {told}", flush=True)
                kept &= way == "plain" or (found["seconds"] < BUDGET_S and found["peak_mb"] < BUDGET_MB)
    return 0 if kept else 1


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        print(json.dumps(measure(*sys.argv[1:4])))
    else:
        sys.exit(main())
