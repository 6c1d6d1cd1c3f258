"""Finite-size scaling: the critical point and exponents at which the curves of all sizes become one.

Near a continuous transition a quantity A of a system of size L at control ϱ has the form
    A(L, ϱ) = L^h f(L^(1/ν) (ϱ − ϱc)),
so that L^(−h) A against x = L^(1/ν) (ϱ − ϱc) is one curve f. How far points lie from it, in units of their errors, is
the quality S of Houdayer and Hartmann (2004, Phys. Rev. B 70, 014418), which refines the measure of Bhattacharjee and
Seno (2001, J. Phys. A 34, 6375): the master curve at a point is a weighted straight line through the neighbours that
enclose it in every other size. S is about 1 where the collapse is as good as the errors allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data.cells import Cells, gather, seed_means
from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL, Interval

Array = NDArray[np.float64]
RESAMPLES = 100
NEARBY = {"xatol": 1e-3, "fatol": 1e-3, "maxfev": 120}
"""How well a fit is refined that starts where another ended."""
HEIGHTS = (-1.0, -0.5, -0.2, 0.0, 0.5)
"""Exponents of the height from which a fit starts."""
FAR = 1.5
"""Halves of 95 % intervals in three standard errors."""
LEAST_OVERLAP = 0.5
"""Share of the points that must lie among those of another size for a collapse to count as one."""
FEWEST_DRAWS = 20
POOR = 1.5
"""A quality above this is told as a warning."""


@dataclass(frozen=True)
class Points:
    """Means of one size L: control ϱ (ascending), mean and its standard error, each of shape (points,)."""

    size: float
    control: Array
    mean: Array
    error: Array


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
class Law:
    """Critical point ϱc, exponent 1/ν of the control and exponent h of the height."""

    critical: float
    inverse_nu: float
    height: float = 0.0

    def scaled(self, points: Points) -> tuple[Array, Array, Array]:
        """x, y and the errors of y on the master curve."""
        factor = points.size**-self.height
        x = points.size**self.inverse_nu * (points.control - self.critical)
        return x, points.mean * factor, points.error * factor


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
    intervals = {n: _interval(e, [_estimates(d, True)[n] for d in draws], stretch) for n, e in estimates.items()}
    found = Collapse(law, least, _residuals(points, law)[1], intervals, (), points, cells)
    return replace(found, warnings=tuple(_warnings(found, samples, height, size)))


def quality(points: Sequence[Points], law: Law) -> float:
    """S of a law; infinite where too few points overlap to tell."""
    residuals, overlap = _residuals(points, law)
    return float(np.mean(residuals)) if overlap >= LEAST_OVERLAP else float("inf")


def fit(points: Sequence[Points], height: float | None, start: Law | None = None) -> tuple[Law, float]:
    """The law of least S, from `start` or from a grid of starts.

    Raises AnalysisError where too few points overlap at every start of the grid. Where they do at `start`, it stays.
    """
    from scipy.optimize import minimize

    # Of the best starts three are refined: S has several minima, and a grid finds the right valley.
    controls = np.concatenate([s.control for s in points])
    low, span = float(controls.min()), float(np.ptp(controls))

    def law_of(p: Array) -> Law:
        return Law(low + span * p[0], float(np.exp(p[1])), p[2] if height is None else height)

    def cost(p: Array) -> float:
        return quality(points, law_of(p)) if -0.5 <= p[0] <= 1.5 and abs(p[1]) < 4 else float("inf")

    free = 3 if height is None else 2
    starts = _starts(free) if start is None else [_parameters(start, low, span)[:free]]
    best = sorted(starts, key=cost)[:3]
    options: Any = {"xatol": 1e-4, "fatol": 1e-5, "maxfev": 400} if start is None else NEARBY
    steps = np.diag([0.05, 0.2, 0.1][:free])
    found = [
        minimize(cost, p, method="Nelder-Mead", options=options | {"initial_simplex": np.vstack([p, p + steps])})
        for p in best
        if np.isfinite(cost(p))
    ]
    if not found and start:
        return start, float("inf")
    if not found:
        raise AnalysisError(
            "The curves of the sizes do not overlap, whatever the exponents.\n"
            "Measure the sizes at more points of the control near the transition."
        )
    winner = min(found, key=lambda result: result.fun)
    return law_of(winner.x), float(winner.fun)


def _starts(free: int) -> list[Array]:
    grid = [(c, np.log(a), h) for c in np.linspace(0.05, 0.95, 13) for a in (0.3, 0.6, 1, 1.6, 2.5) for h in HEIGHTS]
    return [np.array(p[:free]) for p in grid if free == 3 or p[2] == 0]


def _parameters(law: Law, low: float, span: float) -> Array:
    return np.array([(law.critical - low) / span, np.log(law.inverse_nu), law.height])


def _residuals(points: Sequence[Points], law: Law) -> tuple[Array, float]:
    """Squared distances from the master curve in units of both errors, and the share of points that have any."""
    scaled = [law.scaled(p) for p in points]
    x, y, dy = (np.concatenate([s[i] for s in scaled]) for i in range(3))
    owner = np.repeat(np.arange(len(scaled)), [len(s[0]) for s in scaled])
    sums = np.zeros((5, len(x)))
    for i, (xs, ys, dys) in enumerate(scaled):
        right = np.searchsorted(xs, x)
        right[x == xs[0]] = 1
        inside = (right > 0) & (right < len(xs)) & (owner != i)
        for at in (right[inside] - 1, right[inside]):
            w = dys[at] ** -2
            sums[:, inside] += np.stack([w, w * xs[at], w * ys[at], w * xs[at] ** 2, w * xs[at] * ys[at]])
    seen = sums[0] > 0
    x, y, dy = x[seen], y[seen], dy[seen]
    k, kx, ky, kxx, kxy = sums[:, seen]
    delta = k * kxx - kx**2
    master = ((kxx * ky - kx * kxy) + x * (k * kxy - kx * ky)) / delta
    variance = (kxx - 2 * x * kx + x**2 * k) / delta
    return (y - master) ** 2 / (dy**2 + variance), float(seen.mean())


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
        own = _interval(moved, [draw[name] for draw in draws], _few(samples))
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
