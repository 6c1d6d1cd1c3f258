"""Where and how numbers are computed: the device, one thread, and no denormal numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def device() -> str:
    """The device on which artefacts are trained: the GPU that this process sees, else the processor."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch's own arithmetic: workers fill the cores, and sums have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def no_denormals() -> Iterator[None]:
    """Numbers below 1e-38 (1e-308 in float64) become zero. The moments that Adam keeps of a dead node decay to such
    numbers and would make every step a fifth slower."""
    before = float(torch.tensor(1e-310, dtype=torch.float64) * 1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
