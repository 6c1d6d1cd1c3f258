"""Finite-size scaling: the critical point and exponents at which the curves of all sizes become one.

What the law is, and how well it holds, `mastercurve` says; here are its errors, by the bootstrap over seeds, and what
speaks against believing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.data.cells import Cells, gather, seed_means
from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL, Interval
from analysis.statistics.mastercurve import Array, Law, Points, fit, quality, residuals

RESAMPLES = 100
FAR = 1.5
"""Halves of 95 % intervals in three standard errors."""
FEWEST_DRAWS = 20
POOR = 1.5
"""A quality above this is told as a warning."""


@dataclass(frozen=True)
class Sample:
    """Measurements of one size.

    Args:
        size: L.
        control: ϱ, ascending, shape (points,).
        values: a row for each combination of seeds, NaN where it has none, shape (seeds, points).
    """

    size: float
    control: Array
    values: Array

    def points(self) -> Points:
        """Means and their standard errors, which are no smaller than a tenth of their median.

        Where few seeds agree by chance, or all of them at saturation, the error would else rule the fit.
        """
        n = (~np.isnan(self.values)).sum(axis=0)
        mean = np.nanmean(self.values, axis=0)
        spread = np.nansum((self.values - mean) ** 2, axis=0) / np.maximum(n - 1, 1)
        error = np.sqrt(spread / n)
        typical = float(np.median(error[error > 0])) if (error > 0).any() else 0.0
        return Points(self.size, self.control, mean, np.maximum(error, 0.1 * typical))

    def drawn(self, rng: np.random.Generator) -> Sample:
        """As many seeds drawn with replacement, whole curves at a time."""
        chosen = self.values[rng.integers(len(self.values), size=len(self.values))]
        seen = (~np.isnan(chosen)).any(axis=0)
        return Sample(self.size, self.control[seen], chosen[:, seen])

    def near(self, critical: float, reach: float) -> Sample:
        """The points whose control is no farther from `critical` than `reach`."""
        chosen = np.abs(self.control - critical) <= reach
        return Sample(self.size, self.control[chosen], self.values[:, chosen])


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
        AnalysisError: columns are unknown or no numbers, there are fewer than two sizes, three points of a size or two
            seeds, or the curves do not overlap.
    """
    rows.require(size, control)
    for name in (size, control):
        rows.require_number(name)
    cells = gather(rows, [size, control], value)
    cells.require_mean()
    samples = _samples(cells, size, control)
    points = tuple(sample.points() for sample in samples)
    law, least = fit(points, height)
    draws = _bootstrap(samples, law, height, resamples)
    estimates = _estimates(law, height is None)
    stretch = float(np.sqrt(max(1.0, least))) * _few(samples)
    intervals = {n: _bounds(n, e, [_estimates(d, True)[n] for d in draws], stretch) for n, e in estimates.items()}
    found = Collapse(law, least, residuals(points, law)[1], intervals, (), points, cells)
    return replace(found, warnings=tuple(_warnings(found, samples, height, size)))


def _samples(cells: Cells, size: str, control: str) -> tuple[Sample, ...]:
    frame = seed_means(cells)
    seeds = cells.rows.seeds()
    found = []
    for length, points in frame.groupby(size):
        wide = points.pivot_table(index=seeds, columns=control, values="_v")
        wide = wide.loc[:, wide.notna().sum() > 1]
        if wide.shape[1] >= 3:
            found.append(Sample(float(str(length)), wide.columns.to_numpy(dtype=float), wide.to_numpy(dtype=float)))
    if len(found) < 2:
        raise AnalysisError(
            f"A collapse needs at least two values of `{size}` with three values of `{control}` and two seeds each;\n"
            f"here {len(found)} of {frame[size].nunique()} have them."
        )
    if not all(_varies(sample.points()) for sample in found):
        raise AnalysisError(f"The seeds of `{cells.value}` agree everywhere, so there is no error to weigh points by.")
    if any(sample.size <= 0 for sample in found):
        raise AnalysisError(f"`{size}` must be positive to be raised to a power.")
    return tuple(found)


def _varies(points: Points) -> bool:
    """Whether seeds differ by more than rounding."""
    return bool((points.error > 1e-12 * np.abs(points.mean).max()).all())


def _bootstrap(samples: Sequence[Sample], law: Law, height: float | None, resamples: int) -> list[Law]:
    rng = np.random.default_rng(0)
    laws = []
    for _ in range(resamples):
        drawn = [sample.drawn(rng).points() for sample in samples]
        if all(_varies(p) for p in drawn) and np.isfinite(quality(drawn, law)):
            laws.append(fit(drawn, height, start=law)[0])
    return laws


def _estimates(law: Law, with_height: bool) -> dict[str, float]:
    found = {"critical": law.critical, "nu": 1 / law.inverse_nu}
    return found | {"height": law.height} if with_height else found


def _few(samples: Sequence[Sample]) -> float:
    """How much too narrow the bootstrap is for few repetitions (Hesterberg 2015, Am. Stat. 69, 371)."""
    from scipy.special import ndtri, stdtrit

    seeds = [len(sample.values) for sample in samples]
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
    if found.quality > POOR:
        told.append(f"The points lie off one curve, or too far apart to tell: S = {found.quality:.2g}.")
    critical, controls = found.law.critical, np.concatenate([s.control for s in samples])
    if not controls.min() < critical < controls.max():
        told.append("The critical point lies outside what was measured.")
    smallest = min(sample.size for sample in samples)
    if len(samples) > 2:
        told += _moved(found, [s for s in samples if s.size > smallest], height, f"{size} {smallest:g}")
    reach = float(np.abs(controls - critical).max()) / 2
    inner = [sample.near(critical, reach) for sample in samples]
    return told + _moved(found, [s for s in inner if len(s.control) >= 3], height, "the outer half of the window")


def _moved(found: Collapse, samples: Sequence[Sample], height: float | None, without: str) -> list[str]:
    """A warning for every estimate that moves by more than three standard errors without some of the data."""
    points = [sample.points() for sample in samples]
    if len(points) < 2 or not np.isfinite(quality(points, found.law)):
        return []
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
