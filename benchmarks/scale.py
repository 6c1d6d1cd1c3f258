"""How far one driver goes: `python -m benchmarks scale`.

    schedule  a thousand nodes, simulated event by event: workers take packs from one driver, which deals with one pack
              at a time; packs of four shapes whose trials take times 30 times apart, or with a heavy tail
    memory    10⁶ trials in 10³ packs, really expanded, cut, dealt out in waves and counted, with nothing computed
    handover  (--measure) what Ray Tune takes of the driver for a pack that does nothing, measured here
    growth    (--autoscale) a sweep on a cluster of no worker at first, which Ray's autoscaler lets grow and shrink

Efficiency is the work over what all slots could have done until the end; `driver` the share of the time in which the
driver is busy; `stragglers` the time from the first slot that gets no more work to the end, in mean packs.
"""

from __future__ import annotations

import heapq
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks._clock import significant
from benchmarks._process import alone, peak_mb
from benchmarks._table import Table, arguments, report
from tsd.sweep import pack
from tsd.sweep.shapes import Limits
from tsd.sweep.waves import in_waves, packs_at_a_time

SLOTS = 1_000
HOUR = 3_600.0
"""Work of each slot, in seconds."""
HAND_OVER_S = {"0.4 ms (Ray actors alone)": 0.0004, "20 ms (Ray Tune)": 0.02, "50 ms (its loggers on)": 0.05}
"""Time of the driver for a pack; Ray Tune with reused actors and without loggers takes 16–25 ms: docs/clusters.md."""
TUNE_S = HAND_OVER_S["20 ms (Ray Tune)"]
LENGTHS = (5.0, 15.0, 60.0, 300.0, 900.0)
SHAPES = (1.0, 3.0, 10.0, 30.0)
"""Lengths of the packs of four shapes, relative to each other, where packs are cut by count."""
SWEEP = """\
name: million
study: spectral
axes:
  student_width: [20, 40, 60, 100]
  lr: {logspace: [1e-4, 1e-1, 250]}
seeds: 1000
"""


@dataclass(frozen=True)
class Outcome:
    """What a simulated run came to: see the top."""

    efficiency: float
    driver: float
    stragglers_s: float


def main(words: Sequence[str]) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--slots", type=int, default=SLOTS, help="packs that run at a time")
    parser.add_argument("--trials", type=int, default=10**6, help="of the sweep that is dealt out")
    parser.add_argument("--measure", type=int, metavar="PACKS", help="hand so many empty packs over through Ray Tune")
    parser.add_argument("--autoscale", action="store_true", help="only run a sweep on a cluster that grows")
    parser.add_argument("--deal", type=int, help="deal so many trials out in this process")
    asked = parser.parse_args(words)
    if asked.deal:
        print(json.dumps(dealt(asked.deal)))
        return 0
    if asked.autoscale:
        report("scale", [growth()], asked.json)
        return 0
    tables = [by_length(asked.slots), by_kind(asked.slots), by_wave(), by_driver(), memory(asked.trials)]
    report("scale", tables + ([handover(asked.measure)] if asked.measure else []), asked.json)
    return 0


def lengths(kind: str, mean: float, slots: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Packs for an hour of every slot, as what is known of them (the mean of their shape) and as they turn out.

    Args:
        kind: "by time": four shapes cut to one length, ±10 %. "by count": four shapes cut to one number of trials, so
            that the packs of one last 30 times those of another, ±10 %. "heavy tail": log-normal with σ = 1, of which
            nothing is known beforehand.
        mean: seconds of a mean pack.
    """
    noise = np.random.default_rng(seed)
    count = max(1, round(slots * HOUR / mean))
    if kind == "heavy tail":
        return np.full(count, mean), mean * noise.lognormal(-0.5, 1.0, count)
    relative = np.array(SHAPES) / np.mean(SHAPES) if kind == "by count" else np.ones(len(SHAPES))
    known = mean * relative[np.arange(count) % len(SHAPES)]
    return known, known * noise.lognormal(-0.005, 0.1, count)


def simulated(packs: np.ndarray, slots: int, hand_over: float, at_a_time: int = 10**9) -> Outcome:
    """Deal `packs` out in their order: slots wait for the driver, which starts and ends one pack at a time, and each
    wave of `at_a_time` waits for the one before it."""
    driver = idle = 0.0
    for first in range(0, len(packs), at_a_time):
        busy: list[float] = []
        for seconds in packs[first : first + at_a_time]:
            if len(busy) == slots:
                driver = max(driver, heapq.heappop(busy)) + hand_over / 2
            driver += hand_over / 2
            heapq.heappush(busy, driver + float(seconds))
        idle = min(busy)
        while busy:
            driver = max(driver, heapq.heappop(busy)) + hand_over / 2
    return Outcome(float(packs.sum()) / (slots * driver), hand_over * len(packs) / driver, driver - idle)


def ordered(known: np.ndarray, turned_out: np.ndarray, longest_first: bool) -> np.ndarray:
    """The packs as they are dealt out: by what is known of them, or as they came."""
    if longest_first:
        return turned_out[np.argsort(-known, kind="stable")]
    return np.random.default_rng(1).permutation(turned_out)


def _pair(kind: str, mean: float, slots: int, hand_over: float = TUNE_S) -> list[Outcome]:
    known, turned_out = lengths(kind, mean, slots, 0)
    at_a_time = packs_at_a_time(slots)
    return [simulated(ordered(known, turned_out, first), slots, hand_over, at_a_time) for first in (True, False)]


def _cells(outcome: Outcome, mean: float) -> list[str]:
    return [f"{outcome.efficiency:.0%}", f"{outcome.driver:.0%}", significant(outcome.stragglers_s / mean)]


def by_length(slots: int) -> Table:
    """Short packs choke the driver, long ones leave stragglers."""
    rows = []
    for mean in LENGTHS:
        first, any_order = _pair("by time", mean, slots)
        rows.append([f"{mean:g}", *_cells(first, mean), f"{any_order.efficiency:.0%}"])
    columns = ("pack, s", "efficiency", "driver", "stragglers", "efficiency, any order")
    return Table(f"{slots:,} slots, an hour of work each, packs cut by time, 20 ms a pack", columns, rows)


def by_kind(slots: int, mean: float = 60.0) -> Table:
    """What longest-first gains, by how packs differ."""
    rows = []
    for kind in ("by time", "by count", "heavy tail"):
        for name, outcome in zip(("longest first", "any order"), _pair(kind, mean, slots), strict=True):
            rows.append([kind, name, *_cells(outcome, mean)])
    columns = ("packs cut", "dealt out", "efficiency", "driver", "stragglers")
    return Table(f"{slots:,} slots, packs of {mean:g} s in the mean", columns, rows)


def by_wave() -> Table:
    """What waiting for the last pack of each wave costs."""
    rows = []
    for slots in (16, 256, 1_000, 4_000):
        known, turned_out = lengths("by time", 60.0, slots, 0)
        packs = ordered(known, turned_out, True)
        sizes = (2_000, 5_000, 20_000, len(packs))
        rows.append([f"{slots:,}", *(f"{simulated(packs, slots, TUNE_S, size).efficiency:.0%}" for size in sizes)])
    return Table("Efficiency by packs a wave, packs of 60 s", ("slots", "2,000", "5,000", "20,000", "all"), rows)


def by_driver() -> Table:
    """How long packs must be that the driver is not what all wait for."""
    rows = []
    for name, hand_over in HAND_OVER_S.items():
        cells = [significant(shortest(slots, hand_over)) for slots in (16, 256, 1_000, 8_000)]
        rows.append([name, *cells, f"{1 / hand_over:,.0f}"])
    columns = ("driver's time a pack", "16 slots", "256", "1,000", "8,000", "packs a second at most")
    return Table("Seconds that a pack must last for the driver to be busy at most half of the time", columns, rows)


def shortest(slots: int, hand_over: float) -> float:
    """The shortest pack for which the driver is busy half of the time at most: every slot asks once a pack."""
    return 2 * slots * hand_over


def memory(trials: int) -> Table:
    """A sweep dealt out for real in a process of its own."""
    found = alone("benchmarks", "scale", "--deal", str(trials))
    row = [f"{found['trials']:,}", f"{found['packs']:,}"]
    row += [significant(found[name]) for name in ("expand_s", "cut_s", "deal_s", "before_mb", "peak_mb")]
    columns = ("trials", "packs", "expanded, s", "cut, s", "dealt out and counted, s", "MB of imports", "peak MB")
    return Table("The driver's memory: grid, packs, waves, tally; nothing computed, nothing stored", columns, [row])


def dealt(trials: int) -> dict[str, float]:
    """Expand, cut into a thousand packs, deal out in waves, count: seconds of each, and peak memory in MB."""
    from tsd.sweep import grid, spec
    from tsd.sweep.counters import Task
    from tsd.sweep.tally import Tally
    from tsd.sweep.work import Report

    before = peak_mb()
    clock = [time.perf_counter()]
    with TemporaryDirectory() as folder, grid.workspace() as connection:
        file = Path(folder) / "sweep.yaml"
        file.write_text(SWEEP.replace("seeds: 1000", f"seeds: {max(1, trials // 1000)}"))
        sweep = spec.load(file)
        found = grid.expand(sweep, connection)
        clock.append(time.perf_counter())
        connection.execute("CREATE TABLE todo AS SELECT * FROM trials")
        size = max(1, found.total // 1000)
        limits = Limits(slots=1, smallest=size, largest=size)
        shapes = tuple(pack.cut(connection, sweep.static, limits))
        clock.append(time.perf_counter())
        tally = Tally(Task(sweep.name, found.total, sum(s.packs for s in shapes), SLOTS, "cpu", shapes))
        for wave in in_waves(connection):
            for each in wave.packs:
                tally.started(each)
                tally.finished(each, Report("", {"done": wave.rows(each).num_rows}, 60.0, {}))
        clock.append(time.perf_counter())
        assert tally.stored == found.total
    spent = dict(zip(("expand_s", "cut_s", "deal_s"), np.diff(clock).tolist(), strict=True))
    return {"trials": found.total, "packs": tally.task.packs, "before_mb": before, "peak_mb": peak_mb()} | spent


def handover(packs: int) -> Table:
    """Empty packs through Ray Tune, set as the project sets it: time between two that end, on two slots."""
    import_module("tsd.sweep.schedule")  # Ray reads the project's settings when it is imported
    import ray
    from ray import tune

    ended: list[float] = []

    class Empty(tune.Trainable):
        def reset_config(self, new_config: dict[str, object]) -> bool:
            return True

        def step(self) -> dict[str, object]:
            return {"done": True}

    class Clock(tune.Callback):
        def on_trial_result(self, **info: object) -> None:
            ended.append(time.perf_counter())

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with TemporaryDirectory() as folder:
        tune.Tuner(
            Empty,
            param_space={"job": tune.grid_search(list(range(packs)))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[Clock()],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    ray.shutdown()
    warm = ended[len(ended) // 5 :]
    gaps = 1000 * np.diff(warm)
    row = [packs, significant(float(gaps.mean())), significant(float(np.median(gaps)))]
    return Table("Ray Tune, reused actors, no loggers, two slots", ("empty packs", "ms a pack", "median"), [row])


def growth() -> Table:
    """Workers over time, on a cluster that has none before the sweep and none after it."""
    from benchmarks import _autoscale

    seen, ended, said = _autoscale.watched()
    rows: list[tuple[str, object]] = [(f"{at:.0f}", workers) for at, workers in seen]
    notes = (f"The run ended after {ended:.0f} s: {said}",)
    title = f"Workers of {_autoscale.CPUS} CPU, {_autoscale.WORKERS} at most, idle for {60 * _autoscale.IDLE_MIN:g} s"
    return Table(title, ("s", "workers"), rows, notes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
