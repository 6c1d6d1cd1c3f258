"""What it costs to plan a sweep: `python -m benchmarks planning`.

The commands as a user types them, imports and start of Python included; how long a run takes to its first step; and the
expansion of grids with rules of every kind, each size in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks._clock import significant, spread
from benchmarks._process import alone, megabytes, peak_mb
from benchmarks._table import Table, arguments, report

SIZES = (10**4, 10**6, 10**7)
PLANNED = (1_000, 10**6)
SWEEP = """\
name: benchmark
study: spectral
fixed: {{teacher_width: 20, epochs: 2000}}
axes:
  student_width: {{range: [20, 120, 2]}}
  lr: {{logspace: [1e-4, 1e-1, 10]}}
zip:
  - {{layer: [spectral, direct], batch_size: [300, 500]}}
when:
  - if: "layer = 'spectral'"
    axes: {{eigenvalue_l2: [1e-4, 5e-4, 1e-3]}}
except: ["student_width < teacher_width"]
seeds: {seeds}
"""
FIRST = """\
name: first
study: spectral
fixed: {steps: 2000}
seeds: {init: 16}
resources: {cpu: 1, gpu: 0}
"""
PLAIN = """\
name: plain
study: spectral
axes:
  student_width: [20, 40, 60, 100]
  lr: {{logspace: [1e-4, 1e-1, 250]}}
seeds: {seeds}
"""


def main(words: Sequence[str]) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--most", type=int, default=max(SIZES), help="trials of the largest grid")
    parser.add_argument("--rounds", type=int, default=3, help="how often each command is run")
    parser.add_argument("--expand", type=int, help="expand one grid of about so many trials in this process")
    asked = parser.parse_args(words)
    if asked.expand:
        print(json.dumps(expanded(asked.expand)))
        return 0
    report("planning", [commands(asked.rounds, asked.most), starts(asked.rounds), grids(asked.most)], asked.json)
    return 0


def commands(rounds: int, most: int) -> Table:
    """Whole commands: seconds of wall and of CPU, and peak memory."""
    rows = []
    with TemporaryDirectory() as folder:
        asked = {"--help": ["--help"], "a file that is not there": ["plan", f"{folder}/none.yaml"]}
        for trials in PLANNED:
            if trials <= most:
                file = Path(folder) / f"{trials}.yaml"
                file.write_text(PLAIN.format(seeds=trials // 1000))
                asked[f"plan of {trials:,} trials"] = ["plan", str(file), "--results", f"{folder}/results"]
        for name, words in asked.items():
            runs = [_command(words) for _ in range(rounds)]
            wall, cpu, peak = zip(*runs, strict=True)
            rows.append([name, spread(wall), spread(cpu), significant(max(peak), 3)])
    return Table("python -m tsd.sweep …", ("command", "seconds", "CPU seconds", "peak MB"), rows)


def _command(words: Sequence[str]) -> tuple[float, float, float]:
    started = time.perf_counter()
    command = [sys.executable, "-m", "tsd.sweep", *words]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, megabytes(used.ru_maxrss)


def starts(rounds: int) -> Table:
    """From the command to the first training step of a local run: the first pack's end less its work."""
    rows = []
    for name, flags in {"through Ray Tune": [], "--here": ["--here"]}.items():
        rows.append([name, spread([_first_step(flags) for _ in range(rounds)])])
    return Table("python -m tsd.sweep run …, until the first trial trains", ("", "seconds"), rows)


def _first_step(flags: Sequence[str]) -> float:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "first.yaml"
        file.write_text(FIRST)
        started = time.time()
        command = [sys.executable, "-m", "tsd.sweep", "run", str(file), "--results", folder, *flags]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        logs = [log.read_text() for log in Path(folder).glob("first/events/*.jsonl")]
    events = [json.loads(line) for log in logs for line in log.splitlines()]
    ended = [(e["at"], e["seconds"]) for e in events if e["kind"] == "pack_finished"]
    return min(datetime.fromisoformat(at).timestamp() - seconds for at, seconds in ended) - started


def grids(most: int) -> Table:
    """Expansion and identification alone."""
    rows = []
    for size in (size for size in SIZES if size <= most):
        found = alone("benchmarks", "planning", "--expand", str(size))
        rate = found["trials"] / found["seconds"]
        rows.append([f"{found['trials']:,}", *(significant(v) for v in (found["seconds"], rate, found["peak_mb"]))])
    return Table("A grid expanded, its trials identified", ("trials", "seconds", "trials/s", "peak MB"), rows)


def expanded(trials: int) -> dict[str, float]:
    """Expand a grid of about so many trials in this process: trials, seconds, peak memory in MB."""
    from tsd.sweep import grid, spec

    with TemporaryDirectory() as folder, grid.workspace() as connection:
        file = Path(folder) / "sweep.yaml"
        file.write_text(SWEEP.format(seeds=max(1, trials // (50 * 10 * 4))))
        started = time.perf_counter()
        found = grid.expand(spec.load(file), connection)
        seconds = time.perf_counter() - started
    return {"trials": found.total, "seconds": seconds, "peak_mb": peak_mb()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
