"""How much memory a pack takes at its worst, and how much there is for it: what later packs are sized by."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROCESS, MEMORY = Path("/proc/self"), Path("/proc/meminfo")
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass
class Room:
    """What is learned of memory while the trials of one pack are worked.

    Args:
        short: whether it ran out.
        fitted: trials of the largest part of the pack that came to its end.
    """

    short: bool = False
    fitted: int = 0


class Gauge:
    """Measures pack after pack of one worker.

    Args:
        device: "cpu": resident memory above that of the worker that has just started, next to the machine's memory
            over its cores; "cuda": what tensors take at their most, next to the memory of the card.
    """

    def __init__(self, device: str) -> None:
        import torch  # here, so that its own 300 MB are none of the first pack's

        self._cuda = torch.cuda if device == "cuda" else None
        self._before = 0 if self._cuda else _kilobytes("VmRSS") * 1024
        self.room = self._cuda.get_device_properties(0).total_memory if self._cuda else _machine() // _cores()

    def start(self) -> None:
        """The pack begins."""
        if self._cuda:
            self._cuda.reset_peak_memory_stats()
            return
        self._before = min(self._before, _kilobytes("VmRSS") * 1024)
        with suppress(OSError):  # where the mark cannot be reset it is the process's highest, on the safe side
            (PROCESS / "clear_refs").write_text("5")

    @property
    def peak(self) -> int:
        """Bytes at the worst moment since `start`."""
        if self._cuda:
            return int(self._cuda.max_memory_allocated())
        return max(0, _kilobytes("VmHWM") * 1024 - self._before)


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how Python, NumPy, a GPU or torch on a CPU say that memory has run out."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free() -> int | None:
    """Bytes of the machine that are free; None where it does not tell."""
    told = _told(MEMORY, "MemAvailable")
    return None if told is None else told * 1024


def _kilobytes(entry: str) -> int:
    """VmRSS, resident now, or VmHWM, its high-water mark; where Linux tells neither, the mark that POSIX keeps."""
    told = _told(PROCESS / "status", entry)
    marked = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return told if told is not None else marked // 1024 if sys.platform == "darwin" else marked


def _told(file: Path, entry: str) -> int | None:
    """Kilobytes of an entry of a file that Linux keeps; None where there is none."""
    lines = file.read_text().splitlines() if file.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{entry}:")), None)


def _machine() -> int:
    """Bytes of the machine, or of the container where that is less."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.exists() else "max"
    return whole if limit == "max" else min(whole, int(limit))


def _cores() -> int:
    return os.cpu_count() or 1
