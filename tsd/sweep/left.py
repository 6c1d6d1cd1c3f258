"""How long a run still takes: packs that are not done, at the pace of their shape, placed on the workers one by one.

Packs of one sweep differ in length a hundredfold, so the time left follows shapes, not the count of trials. It comes
with an interval of two standard deviations: of the mean pace of each shape, and of the packs still to come.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

from tsd.sweep.shapes import Shape

EXACT = 500
"""Packs at the end of a run that are placed one by one; what comes before them fills all workers alike."""
SPREAD = 0.25
"""Relative spread of a pack's length where too few have been measured to know it."""
STEADY = 0.02
"""Up to such a spread packs are taken for equally long."""
SURE = 0.03
"""Half the width of the interval, relative to its middle, at least: hand-overs and restarts vary too."""
GUESS = 0.7
"""The same of a shape of which nothing is known, taken to last as long as the others."""


@dataclass(frozen=True)
class Left:
    """Seconds left, and from where to where they may well lie."""

    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """What packs of one shape took: how many, their trials, their seconds, and Σ seconds²/trials for the spread."""

    packs: int = 0
    trials: int = 0
    seconds: float = 0.0
    squares: float = 0.0

    def and_one(self, trials: int, seconds: float) -> Measured:
        """One more pack."""
        square = seconds**2 / trials
        return Measured(self.packs + 1, self.trials + trials, self.seconds + seconds, self.squares + square)

    @property
    def pace(self) -> float:
        """Seconds a trial."""
        return self.seconds / self.trials

    @property
    def spread(self) -> float | None:
        """Standard deviation of a pack's length relative to it; None for fewer than three packs, which tell little."""
        if self.packs < 3 or self.seconds <= 0:
            return None
        variance = max(self.squares - self.seconds * self.pace, 0.0) / (self.packs - 1)
        return sqrt(variance * self.packs / self.trials) / self.pace


def left(
    shapes: Sequence[Shape],
    measured: Mapping[int, Measured],
    waiting: Sequence[int],
    running: Sequence[tuple[int, int, float]],
    places: int,
) -> Left | None:
    """Time left of a run; None before anything is known.

    Args:
        shapes: as the packs were cut; the longest come first.
        measured: finished packs by place of their shape.
        waiting: for each shape, trials that no worker has taken.
        running: place of the shape, trials and age in seconds of each pack at work.
        places: packs that run at a time.
    """
    paces = _paces(shapes, measured)
    if paces is None:
        return None
    ages = [max(paces[shape] * trials - age, 0.1 * paces[shape] * trials) for shape, trials, age in running]
    packs = [(paces[i] * n / (count := ceil(n / _size(shapes[i]))), count) for i, n in enumerate(waiting) if n > 0]
    packs.sort(reverse=True)
    seconds = makespan(ages, packs, places)
    if (_spread(measured) or 0.0) > STEADY:
        seconds = max(seconds, _uneven(ages, packs, places))
    still = [n + sum(trials for shape, trials, _ in running if shape == i) for i, n in enumerate(waiting)]
    doubt = max(2 * _doubt(shapes, measured, still, paces, places), SURE * seconds)
    return Left(seconds, max(seconds - doubt, min(max(ages, default=0.0), seconds)), seconds + doubt)


def makespan(running: Sequence[float], waiting: Sequence[tuple[float, int]], places: int) -> float:
    """Seconds until the last pack is done, where a free worker takes the next in order.

    Args:
        running: seconds left of each pack at work.
        waiting: seconds and number of the packs that follow, in order.
        places: packs that run at a time.
    """
    free = [*running, *[0.0] * (places - len(running))]
    early = max(sum(count for _, count in waiting) - EXACT, 0)
    work, last = 0.0, []
    for seconds, count in waiting:
        bulk = min(count, early)
        early -= bulk
        work += bulk * seconds
        last += [seconds] * (count - bulk)
    free = [max(seconds, (sum(free) + work) / len(free)) for seconds in free] if work else free
    heapq.heapify(free)
    for seconds in last:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def _uneven(running: Sequence[float], waiting: Sequence[tuple[float, int]], places: int) -> float:
    """Seconds until the last pack is done, where lengths vary so that workers get out of step: equal shares of the
    work, and half of a pack of the last round, in which one worker after the other runs out of packs."""
    if not waiting:
        return 0.0
    share = (sum(running) + sum(seconds * count for seconds, count in waiting)) / places
    last, missing = 0.0, places
    for seconds, count in reversed(waiting):
        last += seconds * min(count, missing)
        missing -= min(count, missing)
    return share + last / max(places - missing, 1) / 2 * (1 - 1 / places)


def _size(shape: Shape) -> float:
    """Trials of its packs."""
    return shape.size or shape.trials / shape.packs


def _paces(shapes: Sequence[Shape], measured: Mapping[int, Measured]) -> list[float] | None:
    """Seconds a trial of every shape: as measured; else as earlier rows tell, corrected by how the measured ones fared
    against theirs; else the mean of the others."""
    known = {i: found.pace for i, found in measured.items()}
    told = [(m.seconds, prior * m.trials) for i, m in measured.items() if (prior := shapes[i].seconds_a_trial)]
    correction = sum(s for s, _ in told) / sum(p for _, p in told) if told else 1.0
    for i, shape in enumerate(shapes):
        if i not in known and shape.seconds_a_trial is not None:
            known[i] = shape.seconds_a_trial * correction
    if not known:
        return None
    trials = sum(shapes[i].trials for i in known)
    mean = sum(pace * shapes[i].trials for i, pace in known.items()) / trials
    return [known.get(i, mean) for i in range(len(shapes))]


def _spread(measured: Mapping[int, Measured]) -> float | None:
    """Relative spread of a pack's length, over all shapes; None where too few packs have been measured."""
    spreads = [s for m in measured.values() if (s := m.spread) is not None]
    return sqrt(sum(s * s for s in spreads) / len(spreads)) if spreads else None


def _doubt(
    shapes: Sequence[Shape],
    measured: Mapping[int, Measured],
    still: Sequence[int],
    paces: Sequence[float],
    places: int,
) -> float:
    """Standard deviation of the time left, where `still` trials of each shape are not done."""
    told = _spread(measured)
    usual = SPREAD if told is None else told
    work, longest = 0.0, 0.0
    for i, shape in enumerate(shapes):
        if still[i] <= 0:
            continue
        found, size = measured.get(i, Measured()), _size(shape)
        spread = usual if found.spread is None else found.spread
        unknown = GUESS if not found.packs and shape.seconds_a_trial is None else spread
        to_come = paces[i] * still[i]
        work += (to_come * unknown) ** 2 / max(found.packs, 1) + to_come * paces[i] * size * spread**2
        longest = max(longest, spread * paces[i] * size)
    return sqrt(work / places**2 + (longest if places > 1 else 0.0) ** 2)
