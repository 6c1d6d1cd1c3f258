"""Where a mean crosses a level, and where the seeds leave open on which side of it the mean lies.

Between neighbouring cells the mean is linear. Seeds are drawn anew with replacement, the same for all cells, so that
what seeds share between cells stays shared; a place is settled where 97.5 % of the draws lie on one side. The bounds
of a crossing are the settled places next to it, so a boundary may be a loop or cross a column twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from analysis.data.cells import Cells
from analysis.statistics.intervals import LEVEL, half_width

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
RESAMPLES = 400
FEWEST = 3
"""Seeds of a place below which resampling says nothing."""
MOST_RESAMPLED = 10_000
"""Cells beyond which a boundary has no bounds."""
TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Grid:
    """How an axis is measured: its values, ascending, and whether equal ratios are equal lengths."""

    name: str
    values: Array
    log: bool

    def along(self) -> Array:
        """The values in the measure in which the axis is even."""
        return np.log(self.values) if self.log else self.values

    def back(self, places: Array) -> Array:
        """From that measure to values."""
        return np.exp(places) if self.log else places


@dataclass(frozen=True)
class Heights:
    """The mean at every place of a plane, and what it would have been for other seeds.

    Args:
        x, y: the axes.
        mean: shape (y, x), NaN where there is none; minus the level, both in their logarithms where these are linear.
        drawn: one such plane for each resampling, shape (resamples, y, x), NaN where fewer than three seeds are known.
        there: the places between which the mean is linear, shape (y, x); a crossing passes over the others.
    """

    x: Grid
    y: Grid
    mean: Array
    drawn: Array
    there: Mask

    @classmethod
    def of(
        cls,
        cells: Cells,
        x: Grid,
        y: Grid,
        level: float,
        *,
        log: bool = False,
        between: bool = False,
        group: Any = None,
    ) -> Heights:
        """The heights of cells aggregated over x, y and maybe a third axis.

        Args:
            level, log: what is crossed, and whether the value is linear in its logarithm.
            between: whether to pass over places without a trial, as a grid has them that is finer in some parts.
            group: the value of the third axis.
        """
        frame = _of(cells.frame, cells, group)
        mean, half = (_matrix(frame, c, x, y) for c in (frame["_mean"], half_width(frame["_free"], frame["_sd"])))
        there = np.isfinite(_matrix(frame, frame["_trials"], x, y)) if between else np.ones(mean.shape, dtype=bool)
        drawn = np.empty((0, *mean.shape))
        if len(cells.frame) <= MOST_RESAMPLED:
            each = _of(cells.rows.sql("SELECT * FROM rows"), cells, group)
            drawn = resampled(_cube(each, x, y, cells.rows.seeds()), half, log)
        zero = float(np.log(level)) if log else level
        return cls(x, y, (_logarithm(mean) if log else mean) - zero, drawn - zero, there)

    def boundary(self) -> pd.DataFrame:
        """Every crossing of y for each x, or of x for each y where more of those cross.

        Returns:
            A row for each crossing: both columns by name, `along` (the one that was interpolated), its `low` and
            `high`, and the `share` of resamplings that cross at all there. A bound is NaN where the seeds leave the
            side open up to the edge of what was measured, and bounds and share where they are fewer than three, or have
            too many cells to resample.
        """
        upright = _table(self.mean, self.drawn, self.there, self.y, self.x)
        turned = _table(self.mean.T, self.drawn.swapaxes(1, 2), self.there.T, self.x, self.y)
        return turned if turned[self.y.name].nunique() > upright[self.x.name].nunique() else upright


def resampled(values: Array, half: Array, log: bool = False) -> Array:
    """The mean over seeds, or its logarithm, in each resampling of them, shape (resamples, y, x).

    Draws from few seeds vary less than new seeds would, and more so where seeds cross. So the draws of each place are
    moved away from its mean until their 95 % reach as far as its interval does.

    Args:
        values: shape (seeds, y, x), NaN where a seed has no value.
        half: half of the interval of the mean, shape (y, x).
    """
    known = np.isfinite(values)
    [mean] = _means(values, np.ones((1, len(values))))
    drawn = _means(values, _draws(len(values)))
    n, deviations = known.sum(axis=0), np.where(known, values - mean, 0.0)
    reach = ndtri(1 - TAIL) * np.sqrt((deviations**2).sum(axis=0)) / np.maximum(n, 1)
    stretch = np.divide(half, reach, out=np.zeros_like(mean), where=reach > 0)
    stretch[n < FEWEST] = np.nan
    if log:
        mean, drawn = _logarithm(mean), _logarithm(drawn)
    return np.asarray(mean + stretch * np.where(np.isfinite(drawn), drawn - mean, 0.0))


def _table(mean: Array, drawn: Array, there: Mask, along: Grid, other: Grid) -> pd.DataFrame:
    rows, places = [], along.along()
    for i, value in enumerate(other.values):
        own = there[:, i]
        column, draws, at = mean[own, i], drawn[:, own, i], places[own]
        crossed, known = _crossed(draws).any(axis=1), np.asarray(np.isfinite(draws).any(axis=0))
        for k in map(int, np.flatnonzero(_crossed(column))):
            crossing = at[k] + _share(column[k], column[k + 1]) * (at[k + 1] - at[k])
            found = along.back(np.array([crossing, *_bounds(crossing, k, at, draws)]))
            place = {other.name: value, along.name: found[0], "along": along.name}
            share = float(crossed.mean()) if known[k : k + 2].all() else np.nan
            rows.append(place | {"low": found[1], "high": found[2], "share": share})
    return pd.DataFrame(rows, columns=[other.name, along.name, "along", "low", "high", "share"])


def _crossed(height: Array) -> Mask:
    """Between which neighbours along the last axis it crosses zero."""
    above, known = height >= 0, np.isfinite(height)
    return np.asarray((above[..., 1:] != above[..., :-1]) & known[..., 1:] & known[..., :-1])


def _share(low: Any, high: Any) -> Any:
    """How far from one to the other zero is."""
    return low / (low - high)


def _bounds(crossing: float, k: int, places: Array, drawn: Array) -> tuple[float, float]:
    """The settled places below and above a crossing between the places k and k + 1."""
    known = np.asarray(np.isfinite(drawn).all(axis=0))
    if not len(drawn) or not known[k : k + 2].all():
        return np.nan, np.nan
    lost = np.flatnonzero(~known)
    run = slice(max(lost[lost < k], default=-1) + 1, min(lost[lost > k], default=len(places)))
    turns, share = _sides(places[run], drawn[:, run])
    settled = np.flatnonzero((share <= TAIL) | (share >= 1 - TAIL))
    below = settled[settled <= np.searchsorted(turns, crossing, "left")]
    beyond = settled[settled >= np.searchsorted(turns, crossing, "right")]
    low = min(np.append(turns, np.inf)[below[-1]], crossing) if len(below) else np.nan
    return low, max(np.append(-np.inf, turns)[beyond[0]], crossing) if len(beyond) else np.nan


def _sides(places: Array, drawn: Array) -> tuple[Array, Array]:
    """Where any draw crosses zero, ascending, and before, between and after these the share of draws above it."""
    draw, k = np.nonzero(_crossed(drawn))
    low, high = drawn[draw, k], drawn[draw, k + 1]
    turns = places[k] + _share(low, high) * (places[k + 1] - places[k])
    order = np.argsort(turns)
    steps = np.where(high >= 0, 1, -1)[order]
    return turns[order], ((drawn[:, 0] >= 0).sum() + np.append(0, np.cumsum(steps))) / len(drawn)


def _of(frame: pd.DataFrame, cells: Cells, group: Any) -> pd.DataFrame:
    return frame if group is None else frame[frame[cells.axes[2]] == group]


def _matrix(frame: pd.DataFrame, column: Any, x: Grid, y: Grid) -> Array:
    """Values by place, shape (y, x), NaN where there is none. A row without a place has no trial that finished."""
    placed = frame[[x.name, y.name]].notna().all(axis=1).to_numpy()
    found = np.full((len(y.values), len(x.values)), np.nan)
    at = frame[placed]
    found[np.searchsorted(y.values, at[y.name]), np.searchsorted(x.values, at[x.name])] = np.asarray(column)[placed]
    return found


def _cube(frame: pd.DataFrame, x: Grid, y: Grid, seeds: list[str]) -> Array:
    """Repetitions by place, shape (seeds, y, x)."""
    seed = frame.groupby(seeds, dropna=False).ngroup()
    values = np.full((seed.max() + 1, len(y.values), len(x.values)), np.nan)
    values[seed, np.searchsorted(y.values, frame[y.name]), np.searchsorted(x.values, frame[x.name])] = frame["_v"]
    return values


def _means(values: Array, weights: Array) -> Array:
    """Means over seeds: one for each row of `weights`, which says how often each seed counts."""
    known, flat = np.isfinite(values), (len(values), -1)
    total = weights @ np.where(known, values, 0.0).reshape(flat)
    n = weights @ known.astype(float).reshape(flat)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan).reshape(-1, *values.shape[1:])


def _logarithm(mean: Array) -> Array:
    return np.log(np.where(mean > 0, mean, np.nan))


def _draws(seeds: int) -> Array:
    """How often each seed is drawn, in each resampling; none where there are too few to draw from."""
    if seeds < FEWEST:
        return np.empty((0, seeds))
    rng = np.random.default_rng(0)
    drawn = [rng.integers(seeds, size=seeds) for _ in range(RESAMPLES)]
    return np.array([np.bincount(one, minlength=seeds) for one in drawn], dtype=float)
