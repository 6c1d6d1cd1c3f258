"""The same seeds at several places: their means, and standard errors that few seeds can bear.

A variance over two or three seeds is mostly chance, and weights made of it let single points rule a fit. So variances
are drawn towards their trend over the places, as far as their scatter about it is no more than chance: the empirical
Bayes of Smyth (2004, Stat. Appl. Genet. Mol. Biol. 3, 3, section 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST = 0.01
"""Share of the trend below which no variance falls, where all seeds agree by chance or at saturation."""


@dataclass(frozen=True)
class Repeats:
    """Values of a quantity by several seeds.

    Args:
        places: ascending, shape (places,), on the scale on which neighbours are alike.
        values: a row for each combination of seeds, NaN where it has none, shape (seeds, places); two values or more in
            every column.
    """

    places: Array
    values: Array

    @cached_property
    def mean(self) -> Array:
        """Over seeds, shape (places,)."""
        return np.asarray(np.nanmean(self.values, axis=0))

    @cached_property
    def counts(self) -> Array:
        """Seeds with a value, shape (places,)."""
        return np.asarray((~np.isnan(self.values)).sum(axis=0), dtype=float)

    @cached_property
    def variance(self) -> Array:
        """Between seeds, shape (places,); zero where they differ by no more than rounding."""
        found = np.nanvar(self.values, axis=0, ddof=1)
        return np.where(found > (1e-12 * self.mean) ** 2, found, 0.0)

    @cached_property
    def error(self) -> Array:
        """Standard errors of the means, shape (places,), positive if the variance is so anywhere."""
        n = self.counts
        return np.asarray(np.sqrt(shrunk(self.variance, n - 1, self.places) / n))

    def deviations(self) -> Array:
        """What each seed adds to the errors of the means: zero where it has no value, shape (seeds, places).

        The variance of Σ w · mean over places is the sum of (Σ w · deviation)² over seeds, however the values of a seed
        at several places vary together.
        """
        n = self.counts
        return np.asarray(np.nan_to_num(self.values - self.mean) / np.sqrt(n * (n - 1)))

    def freedom(self) -> int:
        """Of that variance: a mean over all places takes one seed, and one a place where no seed is at two."""
        shared = (~np.isnan(self.values)).sum(axis=1).max() > 1
        return len(self.values) - (1 if shared else len(self.places))


def spread(frame: pd.DataFrame, seeds: Sequence[str], place: str) -> tuple[Array, Array]:
    """The places at which two seeds or more have a value `_v`, and a row of values for each combination of seeds."""
    wide = frame.pivot_table(index=list(seeds), columns=place, values="_v")
    wide = wide.loc[:, wide.notna().sum() > 1].dropna(how="all")
    return wide.columns.to_numpy(dtype=float), wide.to_numpy(dtype=float)


def shrunk(variance: Array, freedom: Array, places: Array) -> Array:
    """Variances drawn towards a parabola over the places in their logarithm, a line or a constant where few are known.

    Args:
        variance, freedom: of each place, some of them positive, shape (places,).
    """
    from scipy.special import digamma, polygamma

    known = variance > 0
    half, own = freedom[known] / 2, variance[known]
    degree = int(len(own) >= 4) + int(len(own) >= 10)
    trend = _trend(own, half, places[known], degree, places)
    off = np.log(own / trend[known]) - digamma(half) + np.log(half)
    spare = len(own) - degree - 1
    prior = _prior(float(off.var() * len(own) / spare - polygamma(1, half).mean())) if spare else float("inf")
    if np.isinf(prior):
        return trend
    return np.asarray(np.maximum((prior * trend + freedom * variance) / (prior + freedom), LEAST * trend))


def _trend(variance: Array, half: Array, places: Array, degree: int, everywhere: Array) -> Array:
    """The likeliest curve through variances of 2 · `half` degrees of freedom; beyond their places it stays level."""
    from scipy.optimize import minimize

    def powers(at: Array) -> Array:
        return np.vander((at - places.min()) / (np.ptp(places) or 1.0), degree + 1)

    inside, log = powers(places), np.log(variance)

    def unlikely(p: Array) -> tuple[float, Array]:
        ratio = np.exp(np.minimum(log - inside @ p, 300))
        return float(half @ (inside @ p + ratio)), (half * (1 - ratio)) @ inside

    found = minimize(unlikely, np.linalg.lstsq(inside, log, rcond=None)[0], jac=True).x
    level = powers(np.clip(everywhere, places.min(), places.max())) @ found
    return np.asarray(np.exp(np.clip(level, log.min(), log.max())))


def _prior(excess: float) -> float:
    """Degrees of freedom d that the trend is worth: ψ′(d/2) is what variances scatter about it more than by chance."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    low, high = 0.01, 1e4
    if excess <= polygamma(1, high / 2):
        return float("inf")
    if excess >= polygamma(1, low / 2):
        return low
    return float(brentq(lambda d: polygamma(1, d / 2) - excess, low, high))
