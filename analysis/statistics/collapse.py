"""Finite-size scaling: the critical point and exponents at which the curves of all sizes become one.

What the law is, and how well it holds, `mastercurve` says; here are its errors, by the bootstrap over seeds, and what
speaks against believing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.data.cells import Cells, gather, seed_means
from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL, Interval
from analysis.statistics.mastercurve import LEAST_OVERLAP, Law, Points, fit, quality, residuals
from analysis.statistics.repeats import Repeats, spread

RESAMPLES = 100
FAR = 1.5
"""Halves of 95 % intervals in three standard errors."""
FEWEST_DRAWS = 20
BENT = 0.5
"""What straight lines between neighbours may add to S before more points are asked for."""
POOR, RARE = 1.5, 0.01
"""A quality above the first, as few seeds have it by chance more rarely than the second, is told as a warning."""


@dataclass(frozen=True)
class Sample:
    """Measurements of one size L, over the control ϱ for a place."""

    size: float
    repeats: Repeats

    @cached_property
    def points(self) -> Points:
        """Means and their standard errors, which are no smaller than a tenth of their median.

        Else those who are next to certain, as at saturation, would rule the fit, and no law is so exact.
        """
        error = self.repeats.error
        return Points(self.size, self.repeats.places, self.repeats.mean, np.maximum(error, 0.1 * np.median(error)))

    def drawn(self, rng: np.random.Generator) -> Points:
        """The same of as many seeds drawn with replacement, whole curves at a time."""
        values = self.repeats.values
        chosen = values[rng.integers(len(values), size=len(values))]
        seen = (~np.isnan(chosen)).sum(axis=0) > 1
        again = Sample(self.size, Repeats(self.repeats.places[seen], chosen[:, seen]))
        if again.repeats.variance.any():
            return again.points
        # One seed, drawn over and over, tells no errors of its own.
        return Points(self.size, again.repeats.places, again.repeats.mean, self.points.error[seen])

    def near(self, critical: float, reach: float) -> Sample:
        """The points whose control is no farther from `critical` than `reach`."""
        chosen = np.abs(self.repeats.places - critical) <= reach
        return Sample(self.size, Repeats(self.repeats.places[chosen], self.repeats.values[:, chosen]))


@dataclass(frozen=True)
class Collapse:
    """What a fit found.

    Args:
        law: the best law.
        quality: S of it.
        overlap: share of the points that lie among those of another size.
        intervals: of "critical", "nu" and, where it was fitted, "height", over resampled seeds; wider as seeds are few,
            and √S times as wide where S > 1, for the errors do not explain then how the points scatter.
        warnings: what speaks against believing it.
        points: what was collapsed.
        cells: the aggregated rows behind them.
    """

    law: Law
    quality: float
    overlap: float
    intervals: dict[str, Interval]
    warnings: tuple[str, ...]
    points: tuple[Points, ...]
    cells: Cells


def collapse(
    rows: Rows, *, value: str, size: str, control: str, height: float | None = 0.0, resamples: int = RESAMPLES
) -> Collapse:
    """Collapse `value` over `control` for every `size`.

    Args:
        height: the exponent h; None fits it too. The window must then show f bend on both sides, or h and ϱc trade for
            each other along a valley that resampling does not see the end of.
        resamples: bootstrap draws of seeds, of fixed randomness.
    Raises:
        AnalysisError: columns are unknown, no numbers or the same, there are fewer than two sizes, three points of a
            size or two seeds, or the curves do not overlap.
    """
    if len({value, size, control}) < 3:
        raise AnalysisError(f"--value {value} --size {size} --control {control}: each needs a column of its own.")
    rows.require(size, control)
    for name in (size, control):
        rows.require_number(name)
    cells = gather(rows, [size, control], value)
    cells.require_mean()
    samples = _samples(cells, size, control)
    points = tuple(sample.points for sample in samples)
    law, least = fit(points, height)
    draws = _bootstrap(samples, law, height, resamples)
    estimates = _estimates(law, height is None)
    stretch = float(np.sqrt(max(1.0, least))) * _few(samples)
    intervals = {n: _bounds(n, e, [_estimates(d, True)[n] for d in draws], stretch) for n, e in estimates.items()}
    found = Collapse(law, least, residuals(points, law)[1], intervals, (), points, cells)
    return replace(found, warnings=tuple(_warnings(found, samples, height, size)))


def _samples(cells: Cells, size: str, control: str) -> tuple[Sample, ...]:
    frame = seed_means(cells)
    each = {length: spread(points, cells.rows.seeds(), control) for length, points in frame.groupby(size)}
    found = [
        Sample(float(str(length)), Repeats(places, values))
        for length, (places, values) in each.items()
        if len(places) >= 3
    ]
    if len(found) < 2:
        raise AnalysisError(
            f"A collapse needs at least two values of `{size}` with three values of `{control}` and two seeds each;\n"
            f"here {len(found)} of {frame[size].nunique()} have them."
        )
    for sample in found:
        if not sample.repeats.variance.any():
            raise AnalysisError(
                f"The seeds of `{cells.value}` agree everywhere at {size} = {sample.size:g}: "
                "no error to weigh points by."
            )
    if any(sample.size <= 0 for sample in found):
        raise AnalysisError(f"`{size}` must be positive to be raised to a power.")
    return tuple(found)


def _bootstrap(samples: Sequence[Sample], law: Law, height: float | None, resamples: int) -> list[Law]:
    rng = np.random.default_rng(0)
    laws = []
    for _ in range(resamples):
        drawn = [sample.drawn(rng) for sample in samples]
        if np.isfinite(quality(drawn, law)):
            laws.append(fit(drawn, height, start=law)[0])
    return laws


def _estimates(law: Law, with_height: bool) -> dict[str, float]:
    found = {"critical": law.critical, "nu": 1 / law.inverse_nu}
    return found | {"height": law.height} if with_height else found


def _few(samples: Sequence[Sample]) -> float:
    """How much too narrow the bootstrap is for few repetitions (Hesterberg 2015, Am. Stat. 69, 371)."""
    from scipy.special import ndtri, stdtrit

    seeds = [len(sample.repeats.values) for sample in samples]
    freedom, n, at = sum(seeds) - len(seeds), float(np.mean(seeds)), (1 + LEVEL) / 2
    return float(stdtrit(freedom, at) / ndtri(at) * np.sqrt(n / (n - 1)))


def _bounds(name: str, estimate: float, draws: Sequence[float], stretch: float) -> Interval:
    """The interval of an estimate; ν is positive, so its bounds are stretched in its logarithm."""
    if name != "nu":
        return _interval(estimate, draws, stretch)
    found = _interval(float(np.log(estimate)), [float(np.log(draw)) for draw in draws], stretch)
    return Interval(estimate, float(np.exp(found.low)), float(np.exp(found.high)))


def _interval(estimate: float, draws: Sequence[float], stretch: float) -> Interval:
    """Between the quantiles of the draws, stretched; without bounds where hardly any resampling could be fitted."""
    if len(draws) < FEWEST_DRAWS:
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    reach = max(0.0, estimate - low), max(0.0, high - estimate)
    return Interval(estimate, float(estimate - stretch * reach[0]), float(estimate + stretch * reach[1]))


def _warnings(found: Collapse, samples: Sequence[Sample], height: float | None, size: str) -> list[str]:
    told = []
    law, critical = found.law, found.law.critical
    if not _poor(samples, replace(law, inverse_nu=0.0)):
        told.append("The curves lie on one curve as they are, whatever the size: nothing tells of a transition.")
    elif _poor(samples, law):
        bend = " Between points the curves bend: measure more of them." if _bend(found.points) > BENT else ""
        told.append(f"The points lie off one curve: S = {found.quality:.2g}.{bend}")
    controls = np.concatenate([s.repeats.places for s in samples])
    if not controls.min() < critical < controls.max():
        told.append("The critical point lies outside what was measured.")
    smallest = min(sample.size for sample in samples)
    told += _moved(found, [s for s in samples if s.size > smallest], height, f"{size} {smallest:g}")
    reach = float(np.abs(controls - critical).max()) / 2
    inner = [sample.near(critical, reach) for sample in samples]
    return told + _moved(
        found, [s for s in inner if len(s.repeats.places) >= 3], height, "the outer half of the window"
    )


def _poor(samples: Sequence[Sample], law: Law) -> bool:
    """Whether points lie farther from one curve than their errors, as they are known from few seeds, allow."""
    from scipy.special import fdtrc

    found, overlap = residuals([sample.points for sample in samples], law)
    if overlap < LEAST_OVERLAP:
        return True
    freedom = sum(float((sample.repeats.counts - 1).sum()) for sample in samples)
    return bool(found.mean() > POOR and fdtrc(len(found), freedom, found.mean()) < RARE)


def _bend(points: Sequence[Points]) -> float:
    """How much S is greater because the master curve is straight between neighbours.

    A point misses the chord of its neighbours, over twice their distance, by four times what a straight line misses.
    """
    found = []
    for p in points:
        t = (p.control[1:-1] - p.control[:-2]) / (p.control[2:] - p.control[:-2])
        off = p.mean[1:-1] - (1 - t) * p.mean[:-2] - t * p.mean[2:]
        noise = p.error[1:-1] ** 2 + ((1 - t) * p.error[:-2]) ** 2 + (t * p.error[2:]) ** 2
        found.append((off**2 - noise) / (4 * p.error[1:-1]) ** 2)
    return float(np.concatenate(found).mean())


def _moved(found: Collapse, samples: Sequence[Sample], height: float | None, without: str) -> list[str]:
    """A warning for every estimate that moves by more than three standard errors without some of the data."""
    points = [sample.points for sample in samples]
    if len(points) < 2 or not np.isfinite(quality(points, found.law)):
        return [f"Too little is left without {without} to tell whether it drives the fit."]
    law, _ = fit(points, height, start=found.law)
    draws = [_estimates(d, height is None) for d in _bootstrap(samples, law, height, FEWEST_DRAWS)]
    names, told = {"critical": "the critical point", "nu": "ν", "height": "h"}, []
    # The errors alone: a poor quality, which widens the intervals, would hide what makes it poor.
    stretch = np.sqrt(max(1.0, found.quality))
    for name, moved in _estimates(law, height is None).items():
        own = _bounds(name, moved, [draw[name] for draw in draws], _few(samples))
        whole = found.intervals[name]
        if abs(moved - whole.mean) > FAR * np.hypot(own.half, whole.half / stretch):
            told.append(f"Without {without}, {names[name]} is {_bounded(own)}.")
    return told


def _bounded(interval: Interval) -> str:
    return f"{interval.mean:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


def table(found: Collapse) -> pd.DataFrame:
    """The estimates as rows: `name, estimate, low, high`."""
    rows = [(name, i.mean, i.low, i.high) for name, i in found.intervals.items()]
    extra = [("quality", found.quality, np.nan, np.nan), ("overlap", found.overlap, np.nan, np.nan)]
    return pd.DataFrame([*rows, *extra], columns=["name", "estimate", "low", "high"])
