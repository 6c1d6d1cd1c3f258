"""How right the time left is: `python -m benchmarks time_left`.

Sweeps of three shapes, whose trials take times 24 times apart, are cut by the real packer and run on simulated workers
with a simulated clock: the lengths of equal packs are spread (log-normal), the first pack of each worker has to wait
for its start, and every pack pays the hand-over. Their events are read back as `status` reads them, and at a quarter
and at half of the run's time the time left is compared with what it came to.

`--here` does the same with one real sweep. Its packs are cut for three seconds in the place of sixty, so that a run of
two minutes has as many as one of forty.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks._clock import significant
from benchmarks._table import Table, arguments, report
from tsd.sweep import pack
from tsd.sweep.counters import Task
from tsd.sweep.shapes import Limits, Shape
from tsd.sweep.tally import Tally, replay
from tsd.sweep.waves import Pack, in_waves
from tsd.sweep.work import Report

START_S, HAND_OVER_S, REAL_TARGET_S = 0.5, 0.05, 3.0
PACES = {20: 0.5, 100: 2.0, 500: 12.0}
"""Seconds of a trial, by the width of its student."""
SWEEP = """\
name: three_shapes
study: spectral
fixed: {teacher_width: 20, input_dim: 10, samples: 2000, test_samples: 500}
axes:
  student_width: [20, 100, 300]
when:
  - {if: "student_width = 20", axes: {epochs: [40]}}
  - {if: "student_width = 100", axes: {epochs: [60]}}
  - {if: "student_width = 300", axes: {epochs: [80]}}
seeds: SEEDS
resources: {cpu: 1, gpu: 0}
"""


@dataclass(frozen=True)
class Case:
    """A run to be simulated: on so many workers, of so many trials a shape, equal packs differing by `noise`; `slower`
    than the rows that tell of it, or None where nobody has measured it."""

    slots: int
    trials: int
    noise: float
    slower: float | None = None

    @property
    def name(self) -> str:
        """For the table."""
        known = "never measured" if self.slower is None else "measured before"
        known += f", {self.slower:g} times as fast" if self.slower not in {None, 1.0} else ""
        workers = "1 worker" if self.slots == 1 else f"{self.slots} workers"
        return f"{workers}, ±{self.noise:.0%}, {known}"


CASES = (
    Case(1, 200, 0.1),
    Case(8, 800, 0.05),
    Case(8, 800, 0.1),
    Case(8, 800, 0.2),
    Case(8, 800, 0.3),
    Case(64, 6_400, 0.1),
    Case(8, 800, 0.1, 1.0),
    Case(8, 800, 0.1, 1.7),
)


def main(words: Sequence[str]) -> int:
    """Print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each case, each with its own noise")
    parser.add_argument("--here", type=int, metavar="SEEDS", help="one real sweep of so many seeds, in this process")
    asked = parser.parse_args(words)
    told = [("a real sweep, here", [list(real(asked.here))])] if asked.here else []
    told += [] if asked.here else [(c.name, [simulated(c, seed) for seed in range(asked.runs)]) for c in CASES]
    report("time_left", [table(told)], asked.json)
    return 0


def table(runs: Sequence[tuple[str, list[list[dict[str, Any]]]]]) -> Table:
    """Error at a quarter and at half of the time, in per cent of what was left, and how often the interval held it."""
    rows = []
    for name, logs in runs:
        found = [[judged(log, share) for log in logs] for share in (0.25, 0.5)]
        errors = [[100 * abs(e) for e, _ in each] for each in found]
        held = [f"{sum(inside for _, inside in each)} of {len(each)}" for each in found]
        worst = f"{significant(median(errors[0]))} ({max(errors[0]):.0f})"
        rows.append([name, worst, held[0], f"{significant(median(errors[1]))} ({max(errors[1]):.0f})", held[1]])
    columns = ("run", "error at ¼, %", "interval held", "error at ½, %", "interval held")
    return Table("Time left beside what it came to: median (largest)", columns, rows)


def judged(log: Sequence[dict[str, Any]], share: float) -> tuple[float, bool]:
    """Relative error of the time left once `share` of the run's time is over, and whether its interval held."""
    first, last = (datetime.fromisoformat(log[i]["at"]).timestamp() for i in (0, -1))
    now = first + share * (last - first)
    so_far = [event for event in log if datetime.fromisoformat(event["at"]).timestamp() <= now]
    *_, tally = replay(so_far)
    tally.clock = lambda: now
    left = tally.remaining()
    if left is None:
        return float("inf"), False
    return left.seconds / (last - now) - 1, left.low <= last - now <= left.high


def simulated(case: Case, seed: int) -> list[dict[str, Any]]:
    """The events of one simulated run."""
    log: list[dict[str, Any]] = []
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    workers = Workers(case, np.random.default_rng(seed))

    def note(kind: str, facts: dict[str, Any]) -> None:
        log.append({"at": (begun + timedelta(seconds=workers.now)).isoformat(), "kind": kind} | facts)

    with duckdb.connect() as connection:
        listed = ", ".join(map(str, PACES))
        connection.execute(
            "CREATE TABLE todo AS SELECT width, i AS trial_id "
            f"FROM unnest([{listed}]) AS w(width), range({case.trials}) AS r(i)"
        )
        limits = Limits(case.slots)
        earlier = None if case.slower is None else figures({w: (1, pace / case.slower) for w, pace in PACES.items()})
        shapes = pack.cut(connection, ["width"], limits, earlier)
        probes = sum(shape.probes for shape in shapes)
        task = Task("example", 3 * case.trials, sum(s.packs for s in shapes), case.slots, "cpu", tuple(shapes))
        tally = Tally(task, note=note, clock=lambda: workers.now)
        tally.begin()
        if probes:
            workers.run([p for wave in in_waves(connection, range(probes)) for p in wave.packs], tally)
            tally.recut(cut_again(connection, limits, tally))
        workers.run([p for wave in in_waves(connection, offset=probes) for p in wave.packs], tally)
        tally.finish()
    return log


def cut_again(connection: duckdb.DuckDBPyConnection, limits: Limits, tally: Tally) -> list[Shape]:
    """The shapes, once what the probes took has cut the rest."""
    old = tally.task.shapes
    pack.drop(connection, sum(shape.probes for shape in old))
    took = {shape.values["width"]: tally.measured[i] for i, shape in enumerate(old) if i in tally.measured}
    told = figures({width: (found.trials, found.seconds) for width, found in took.items()})
    new = pack.cut(connection, ["width"], limits, told, again=True)
    return [replace(n, trials=o.trials, packs=o.probes + n.packs) for o, n in zip(old, new, strict=True)]


def figures(took: dict[Any, tuple[int, float]]) -> pa.Table:
    """What earlier packs took, by width: trials and seconds."""
    rows = [{"width": width, "trials": trials, "seconds": seconds} for width, (trials, seconds) in took.items()]
    return pa.Table.from_pylist(rows, schema=pa.schema([("width", pa.int64()), *pack.FIGURES]))


class Workers:
    """Workers that take the next pack as soon as they are free, by a clock of their own."""

    def __init__(self, case: Case, generator: np.random.Generator) -> None:
        self.now = 0.0
        self.case = case
        self.generator = generator
        self.fresh = case.slots

    def run(self, packs: Sequence[Pack], tally: Tally) -> None:
        """Work all packs, and let the tally hear of each."""
        busy: list[tuple[float, int, Pack]] = []
        for waiting in packs:
            if len(busy) == self.case.slots:
                self._end(busy, tally)
            tally.started(waiting)
            heapq.heappush(busy, (self.now + self._length(waiting, tally), waiting.index, waiting))
        while busy:
            self._end(busy, tally)

    def _length(self, one: Pack, tally: Tally) -> float:
        pace = PACES[int(str(tally.task.shapes[one.shape].values["width"]))]
        start = START_S if self.fresh else 0.0
        self.fresh = max(self.fresh - 1, 0)
        noise = self.case.noise
        return start + HAND_OVER_S + pace * one.trials * self.generator.lognormal(-(noise**2) / 2, noise)

    def _end(self, busy: list[tuple[float, int, Pack]], tally: Tally) -> None:
        self.now, _, one = heapq.heappop(busy)
        tally.finished(one, Report(str(one.index), {"done": one.trials}, 0.0, {}))


def real(seeds: int) -> Iterator[dict[str, Any]]:
    """The events of one real run of `SWEEP` in this process."""
    from tsd.store import Store
    from tsd.sweep.__main__ import main as sweep

    with TemporaryDirectory() as folder, patch.object(pack, "TARGET_S", REAL_TARGET_S):
        file = Path(folder) / "three_shapes.yaml"
        file.write_text(SWEEP.replace("SEEDS", str(seeds)))
        assert sweep(["run", str(file), "--here", "--results", folder]) == 0
        yield from Store(Path(folder) / "three_shapes").events()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
