"""Side by side on a machine that others use too: rounds in which every variant runs once, and their medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

Times = dict[str, list[float]]
"""Seconds of every round, by variant."""


def interleaved(
    variants: Mapping[str, Callable[[], object]], rounds: int, now: Callable[[], float] = time.process_time
) -> Times:
    """Run every variant once to warm up, then all of them in turn, `rounds` times.

    Args:
        now: CPU seconds of this process, which other processes do not count in; or a wall clock.
    """
    times: Times = {name: [] for name in variants}
    for work in variants.values():
        work()
    for _ in range(rounds):
        for name, work in variants.items():
            started = now()
            work()
            times[name].append(now() - started)
    return times


def ratios(times: Times, slow: str, fast: str, scale: float = 1.0) -> list[float]:
    """How many times longer `slow` took, in each round; `scale` where it did more or less of the same."""
    return [scale * a / b for a, b in zip(times[slow], times[fast], strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median (smallest–largest), to `digits` significant ones."""
    shown = [significant(value, digits) for value in (median(values), min(values), max(values))]
    return f"{shown[0]} ({shown[1]}–{shown[2]})" if len(values) > 1 else shown[0]


def significant(value: float, digits: int = 2) -> str:
    """A number in plain decimals with that many significant digits, and with all of those before the point."""
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if whole >= digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if whole == 0 else f"{value:.{digits - whole}f}"
