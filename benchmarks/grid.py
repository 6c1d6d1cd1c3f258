"""How long it takes to expand a grid and identify its trials, and how much memory: `python -m benchmarks.grid`.

Each size is measured in a process of its own, so that its peak memory is its own. The sweep has every kind of rule.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tsd.sweep import grid, spec

SIZES = (10**4, 10**6, 10**7)
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


def measure(trials: int) -> dict[str, float]:
    """Expand a grid of about so many trials in this process: trials, seconds, peak memory in MB."""
    with TemporaryDirectory() as folder, grid.workspace() as connection:
        file = Path(folder) / "sweep.yaml"
        file.write_text(SWEEP.format(seeds=max(1, trials // (50 * 10 * 4))))
        started = time.perf_counter()
        expanded = grid.expand(spec.load(file), connection)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return {"trials": expanded.total, "seconds": seconds, "peak_mb": peak}


def main() -> None:
    """Print one line a size."""
    print(f"{'trials':>12} {'seconds':>9} {'trials/s':>12} {'peak MB':>9}")
    for size in SIZES:
        command = [sys.executable, "-m", "benchmarks.grid", str(size)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rate = found["trials"] / found["seconds"]
        print(f"{found['trials']:>12,} {found['seconds']:>9.2f} {rate:>12,.0f} {found['peak_mb']:>9.0f}")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main()
