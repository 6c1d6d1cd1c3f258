"""Measurements that need a process of their own, and how much memory one has taken."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any


def alone(module: str, *words: str) -> Any:
    """What `python -m module words` says in its last line, which is JSON."""
    command = [sys.executable, "-m", module, *words]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(told.splitlines()[-1])


def peak_mb() -> float:
    """Megabytes that this process has taken at most."""
    return megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def megabytes(maxrss: float) -> float:
    """What the system counts in kilobytes on Linux and in bytes elsewhere."""
    return maxrss / (1024 if sys.platform == "linux" else 1024**2)
