"""Means, differences and how far they are to be trusted.

Every interval is of a mean over independent repetitions (seeds). One repetition says nothing of its own spread: its
interval is NaN, never zero and never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
IQM_DRAWS = 10_000


@dataclass(frozen=True)
class Sample:
    """The first two moments of repetitions. `sd` has n − 1 in its denominator and is NaN where n < 2."""

    n: int
    mean: float
    sd: float

    @classmethod
    def of(cls, values: ArrayLike) -> Sample:
        """The moments of `values`, shape (n,), n ≥ 1."""
        data = np.asarray(values, dtype=float)
        return cls(len(data), float(data.mean()), float(data.std(ddof=1)) if len(data) > 1 else float("nan"))


@dataclass(frozen=True)
class Interval:
    """An estimate between two bounds, in the unit of what was estimated."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the distance between the bounds."""
        return (self.high - self.low) / 2

    def excludes_zero(self) -> bool:
        """Whether zero lies outside; False where there are no bounds."""
        return self.low > 0 or self.high < 0


def half_width(n: ArrayLike, sd: ArrayLike, level: float = LEVEL) -> NDArray[np.float64]:
    """Half the Student-t interval of a mean: t(n − 1) · sd / √n, elementwise.

    NaN where n < 2, and where no float holds the square of what was measured.
    """
    n, sd = np.asarray(n, dtype=float), np.asarray(sd, dtype=float)
    freedom = np.where((n > 1) & np.isfinite(sd), n - 1, np.nan)
    return np.asarray(stdtrit(freedom, (1 + level) / 2) * sd / np.sqrt(n))


def mean_interval(sample: Sample, level: float = LEVEL) -> Interval:
    """Student-t interval of a mean. Of paired differences it is the paired comparison."""
    half = float(half_width(sample.n, sample.sd, level))
    return Interval(sample.mean, sample.mean - half, sample.mean + half)


def welch_interval(a: Sample, b: Sample, level: float = LEVEL) -> Interval:
    """Interval of mean(a) − mean(b) for unpaired samples of unequal spread (Welch 1947, Biometrika 34, 28)."""
    difference = a.mean - b.mean
    if min(a.n, b.n) < 2:
        return Interval(difference, float("nan"), float("nan"))
    va, vb = a.sd**2 / a.n, b.sd**2 / b.n
    if va + vb == 0:
        return Interval(difference, difference, difference)
    freedom = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    half = float(stdtrit(freedom, (1 + level) / 2)) * float(np.sqrt(va + vb))
    return Interval(difference, difference - half, difference + half)


def mean_p(sample: Sample) -> float:
    """Two-sided p of Student's t test that a mean is zero; NaN where n < 2."""
    if sample.n < 2:
        return float("nan")
    if sample.sd == 0:
        return 1.0 if sample.mean == 0 else 0.0
    return float(2 * stdtr(sample.n - 1, -abs(sample.mean) / (sample.sd / np.sqrt(sample.n))))


def welch_p(a: Sample, b: Sample) -> float:
    """Two-sided p of Welch's test that two means are equal; NaN where either has n < 2."""
    if min(a.n, b.n) < 2:
        return float("nan")
    va, vb = a.sd**2 / a.n, b.sd**2 / b.n
    if va + vb == 0:
        return 1.0 if a.mean == b.mean else 0.0
    freedom = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    return float(2 * stdtr(freedom, -abs(a.mean - b.mean) / np.sqrt(va + vb)))


def holm(p: Sequence[float]) -> list[float]:
    """p of several tests, raised until a false alarm among all is as rare as in one (Holm 1979, Scand. J. Stat. 6)."""
    order = np.argsort(p)
    raised = np.maximum.accumulate([(len(p) - i) * p[at] for i, at in enumerate(order)])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, raised)
    return [float(a) for a in adjusted]


def iqm_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """The mean of the middle half of the values, with a bootstrap interval (Agarwal et al., arXiv:2108.13264).

    With n < 2 the bounds are NaN. Where the quarters are no whole number of values, fewer are cut on either side.
    """
    from scipy.stats import trim_mean

    data = np.asarray(values, dtype=float)
    mean = float(trim_mean(data, 0.25))
    if len(data) < 2:
        return Interval(mean, float("nan"), float("nan"))
    drawn = np.random.default_rng(0).choice(data, (2000, len(data)))
    low, high = np.quantile(trim_mean(drawn, 0.25, axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def iqm_difference(a: ArrayLike, b: ArrayLike, *, paired: bool, level: float = LEVEL) -> tuple[Interval, float]:
    """The inter-quartile mean of `a` minus that of `b`, with a bootstrap interval and a two-sided bootstrap p.

    Args:
        a, b: shapes (n,) and (m,); pairs, drawn together, where `paired`. With n or m < 2 bounds and p are NaN. p is
            no less than the least p of a permutation test, which draws from few values cannot see.
    """
    from scipy.stats import trim_mean

    one, two = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    mean = float(trim_mean(one, 0.25) - trim_mean(two, 0.25))
    if min(len(one), len(two)) < 2:
        return Interval(mean, float("nan"), float("nan")), float("nan")
    rng = np.random.default_rng(0)
    first = rng.integers(len(one), size=(IQM_DRAWS, len(one)))
    second = first if paired else rng.integers(len(two), size=(IQM_DRAWS, len(two)))
    drawn = trim_mean(one[first], 0.25, axis=1) - trim_mean(two[second], 0.25, axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    least = 2 / (2 ** len(one) if paired else math.comb(len(one) + len(two), len(one)))
    return Interval(mean, float(low), float(high)), min(1.0, max(least, 2 * (tail + 1) / (IQM_DRAWS + 1)))


def bootstrap_interval(values: ArrayLike, level: float = LEVEL, resamples: int = 9999, seed: int = 0) -> Interval:
    """Bootstrap interval of a mean, bias-corrected and accelerated (Efron 1987, JASA 82, 171).

    Args:
        values: shape (n,). With n < 2 the bounds are NaN; equal values have equal bounds.
        seed: makes the resampling, and so the bounds, reproducible.
    """
    from scipy.stats import bootstrap

    data = np.asarray(values, dtype=float)
    mean = float(data.mean())
    if len(data) < 2:
        return Interval(mean, float("nan"), float("nan"))
    if np.ptp(data) == 0:
        return Interval(mean, mean, mean)
    rng = np.random.default_rng(seed)
    # A power of two loses no digit, and keeps the cubes of what is tiny from vanishing.
    unit = np.exp2(np.floor(np.log2(np.ptp(data))))
    found: Any = bootstrap((data / unit,), np.mean, confidence_level=level, n_resamples=resamples, rng=rng)
    low, high = found.confidence_interval
    return Interval(mean, float(unit * low), float(unit * high))
