"""What it costs to have packs run by Ray Tune: `python -m benchmarks orchestration`.

The hand-over: one sweep of packs of three lengths, run as a user runs it. A pack costs what passes between the driver's
giving it away and hearing of its end, less the work itself, and the time until its worker has the next. The first pack
of each worker, which starts it, is left out.

The driver: a sweep of a million trials in a thousand packs, planned and handed out as always, to workers that compute
nothing. Memory of the driver's process as it goes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._clock import significant, spread
from benchmarks._process import alone
from benchmarks._table import Table, arguments, report

LENGTHS_S = (2.0, 5.0, 10.0)
PACKS, MEMBERS = 8, 8
"""Packs of each length, and trials a pack."""
AIM_S = 30.0
FIXED = {"teacher_width": 20, "curve_points": 0}
SWEEP = """\
name: orchestration
study: spectral
fixed: {fixed}
axes: {{steps: {steps}, student_width: {{range: [20, {stop}, 1]}}}}
seeds: {{init: {members}}}
resources: {{cpu: 1, gpu: 0}}
"""
MANY = """\
name: simulated
study: spectral
axes: {{student_width: [20, 40, 60, 100], lr: {{logspace: [1e-4, 1e-1, 250]}}}}
seeds: {seeds}
resources: {{cpu: 1, gpu: 0}}
"""
MOMENTS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


def main(words: Sequence[str]) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--packs", type=int, default=PACKS, help="packs of each length")
    parser.add_argument("--trials", type=int, default=10**6, help="simulated trials, a thousand a pack")
    parser.add_argument("--simulate", type=int, help="hand out so many trials from this process")
    asked = parser.parse_args(words)
    if asked.simulate:
        print(json.dumps(simulated(asked.simulate)))
        return 0
    report("orchestration", [handing_over(asked.packs), driver(asked.trials)], asked.json)
    return 0


def handing_over(packs: int) -> Table:
    """The cost of each pack, by length."""
    pace = _pace()
    steps = {round(length / pace): length for length in LENGTHS_S}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        fixed = json.dumps(FIXED).replace('"', "")
        file.write_text(SWEEP.format(fixed=fixed, steps=list(steps), stop=20 + packs, members=MEMBERS))
        command = [sys.executable, "-m", "tsd.sweep", "run", str(file), "--results", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        events = [e for log in Path(folder).glob("orchestration/events/*.jsonl") for e in map(json.loads, log.open())]
    rows = []
    costs = list(_costs(events, os.cpu_count() or 1))
    for asked, length in steps.items():
        found = [(seconds, cost) for made, seconds, cost in costs if made == asked]
        cost = median(cost for _, cost in found)
        row = [f"{length:.0f} s", len(found), spread([seconds for seconds, _ in found])]
        row += [spread([1e3 * cost for _, cost in found]), f"{_share(cost, median(s for s, _ in found)):.1%}"]
        rows.append([*row, f"{_share(cost, AIM_S):.2%}"])
    columns = ("asked for", "packs", "seconds of work", "cost, ms", "overhead", f"overhead at {AIM_S:.0f} s")
    return Table("Packs through Ray Tune", columns, rows, [f"{os.cpu_count()} workers, {MEMBERS} trials a pack."])


def _share(cost: float, work: float) -> float:
    return cost / (cost + work)


def _pace() -> float:
    """Seconds an update of one pack, in this process."""
    from tsd.engine.rng import Streams
    from tsd.engine.run import run_pack
    from tsd.store import Store
    from tsd.studies import spectral
    from tsd.sweep.shelf import StoreShelf

    seeds = [Streams({"init": seed}) for seed in range(MEMBERS)]
    with TemporaryDirectory() as folder:
        shelf, took = StoreShelf(spectral, "spectral", Store(folder)), []
        for steps in (10, 1_000, 4_000):
            started = time.perf_counter()
            run_pack(spectral, [spectral.Trial.of(FIXED | {"steps": steps})] * MEMBERS, seeds, shelf)
            took.append(time.perf_counter() - started)
    return (took[2] - took[1]) / 3_000


def _costs(events: Sequence[dict[str, Any]], workers: int) -> Iterator[tuple[int, float, float]]:
    """Steps asked for, seconds of work and seconds of cost of every pack but the first ones and the last ones."""
    begun = [e for e in events if e["kind"] == "pack_started"]
    ended = [e for e in events if e["kind"] == "pack_finished"]
    at = {e["pack"]: datetime.fromisoformat(e["at"]).timestamp() for e in begun}
    steps = {e["pack"]: e["values"]["steps"] for e in begun}
    for end, following in zip(ended, begun[workers:], strict=False):
        if end["pack"] in {e["pack"] for e in begun[:workers]}:
            continue
        finished = datetime.fromisoformat(end["at"]).timestamp()
        waiting = max(at[following["pack"]] - finished, 0.0)
        yield steps[end["pack"]], end["seconds"], finished - at[end["pack"]] - end["seconds"] + waiting


def driver(trials: int) -> Table:
    """Memory of the driver's process."""
    found = alone("benchmarks", "orchestration", "--simulate", str(trials))
    rows = [
        [name, f"{seconds:.0f}", significant(now, 3), significant(peak, 3)]
        for name, seconds, now, peak in found["moments"]
    ]
    notes = [f"{found['packs']:,} packs of {found['trials']:,} trials; {found['rate']:.0f} packs a second."]
    return Table("The driver's memory", ("", "seconds", "MB now", "MB at most"), rows, notes)


def simulated(trials: int) -> dict[str, Any]:
    """Plan a sweep and hand out its packs to workers that compute nothing: memory in MB at some moments."""
    from tsd.sweep import schedule
    from tsd.sweep.asked import Asked
    from tsd.sweep.counters import Task
    from tsd.sweep.errand import Errand
    from tsd.sweep.shapes import Limits
    from tsd.sweep.tally import Tally
    from tsd.sweep.waves import in_waves
    from tsd.sweep.work import Context

    class Idle(schedule.PackTrainable):
        """Reports every trial as done."""

        def setup(self, config: dict[str, Any], load: schedule.Load | None = None) -> None:
            self.load = load

        def step(self) -> dict[str, Any]:
            from dataclasses import asdict

            from tsd.sweep.waves import Pack
            from tsd.sweep.work import Report

            members = self.load.wave.rows(Pack(*self.config["pack"])).num_rows
            return {"done": True, "report": asdict(Report(str(self.config["job"]), {"done": members}, 0.0, {}))}

    schedule.PackTrainable = Idle
    clock, moments = time.perf_counter(), []

    def now(name: str) -> None:
        moments.append((name, time.perf_counter() - clock, *_memory()))

    now("imported")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(MANY.format(seeds=max(1, trials // 1_000)))
        with Asked.of(file, folder) as asked, closing(schedule.Cluster(asked.sweep.resources, None)) as cluster:
            planned = asked.plan(Limits(cluster.slots, smallest=1_000, largest=1_000), "cached")
            now("planned")
            tally = Tally(Task("simulated", planned.todo, planned.packs, cluster.slots, "cpu", planned.shapes))
            context = Context("spectral", str(asked.store.root), "cpu", "", asked.sweep.parts)
            done = threading.Event()
            watcher = threading.Thread(target=_watch, args=(tally, planned.todo, now, done))
            watcher.start()
            started = time.perf_counter()
            errands = (Errand(wave, [], [lambda packs=wave.packs: packs]) for wave in in_waves(asked.connection))
            whole = all(cluster.run(errand, context, tally) for errand in errands)
            seconds = time.perf_counter() - started
            done.set()
            watcher.join()
            now("the end")
    assert whole and tally.stored == planned.todo
    return {
        "moments": moments,
        "packs": planned.packs,
        "trials": planned.todo // planned.packs,
        "rate": planned.packs / seconds,
    }


def _watch(tally: Any, todo: int, now: Any, done: threading.Event) -> None:
    """Note the memory as each share of the trials is reached."""
    for share in MOMENTS:
        while tally.stored < share * todo and not done.is_set():
            time.sleep(0.05)
        if tally.stored >= share * todo:
            now(f"{share:.0%} of the trials")


def _memory() -> tuple[float, float]:
    """Megabytes of this process, now and at most, without what it shares with Ray's object store."""
    entries = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    size = {name: int(entries[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM", "RssShmem")}
    return size["VmRSS"] - size["RssShmem"], size["VmHWM"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
