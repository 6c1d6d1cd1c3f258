"""Where a mean crosses a level, with what other seeds would have said of it.

For each value of one axis the first crossing along the other is interpolated between neighbouring cells. Seeds are
drawn anew with replacement, the same for all cells, so that what seeds share between cells stays shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data.cells import Cells
from analysis.statistics.intervals import LEVEL

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
RESAMPLES = 400
FEWEST = 3
"""Seeds below which resampling says nothing."""


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


def boundary(
    cells: Cells, x: Grid, y: Grid, level: float, *, log: bool = False, between: bool = False, group: Any = None
) -> pd.DataFrame:
    """Crossings of y for each x, or of x for each y where more of those cross.

    Args:
        cells: aggregated over x, y and maybe a third axis.
        level, log: what is crossed, and whether the value is interpolated in its logarithm.
        between: whether to pass over places without a trial, as a grid has them that is finer in some parts.
        group: the value of the third axis.
    Returns:
        A row for each crossing: both columns by name, `along` (the one that was interpolated), its `low` and `high`,
        and the `share` of resamplings that cross at all. Bounds are NaN for fewer than three seeds.
    """
    values = _cube(_of(cells.rows.sql("SELECT * FROM rows"), cells, group), cells, x, y)
    there = _there(_of(cells.frame, cells, group), x, y) if between else np.ones(values.shape[1:], dtype=bool)
    [height] = _means(values, np.ones((1, len(values))), log)
    level = float(np.log(level)) if log else level
    upwards, sideways = crossings(height, y.along(), level, there), crossings(height.T, x.along(), level, there.T)
    flipped = np.isfinite(sideways).sum() > np.isfinite(upwards).sum()
    along, other = (x, y) if flipped else (y, x)
    found = sideways if flipped else upwards
    drawn = _means(values, _draws(len(values)), log)
    turned, there = (drawn.swapaxes(1, 2), there.T) if flipped else (drawn, there)
    return _table(found, crossings(turned, along.along(), level, there), along, other)


def crossings(height: Array, places: Array, level: float, there: Mask | None = None) -> Array:
    """For each column the first place at which it crosses `level` between neighbours; NaN where it does not.

    Args:
        height: shape (…, places, columns), NaN where nothing is known.
        there: shape (places, columns): the places that a column has; everywhere if left out.
    """
    found = np.full((*height.shape[:-2], height.shape[-1]), np.nan)
    for i in range(height.shape[-1]):
        own = slice(None) if there is None else there[:, i]
        found[..., i] = _first(height[..., own, i], places[own], level)
    return found


def _first(height: Array, places: Array, level: float) -> Array:
    """The first crossing along the last axis."""
    if len(places) < 2:
        return np.full(height.shape[:-1], np.nan)
    above, known = height >= level, np.isfinite(height)
    crossed = (above[..., 1:] != above[..., :-1]) & known[..., 1:] & known[..., :-1]
    first = crossed.argmax(axis=-1)
    low, high = (np.take_along_axis(height, at[..., None], -1)[..., 0] for at in (first, first + 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        at = places[first] + (level - low) / (high - low) * (places[first + 1] - places[first])
    return np.where(crossed.any(axis=-1), at, np.nan)


def _of(frame: pd.DataFrame, cells: Cells, group: Any) -> pd.DataFrame:
    return frame if group is None else frame[frame[cells.axes[2]] == group]


def _there(frame: pd.DataFrame, x: Grid, y: Grid) -> Mask:
    """The places that have a trial, shape (y, x)."""
    found = np.zeros((len(y.values), len(x.values)), dtype=bool)
    found[np.searchsorted(y.values, frame[y.name]), np.searchsorted(x.values, frame[x.name])] = True
    return found


def _cube(frame: pd.DataFrame, cells: Cells, x: Grid, y: Grid) -> Array:
    """Repetitions by place, shape (seeds, y, x)."""
    seeds = frame.groupby(cells.rows.seeds(), dropna=False).ngroup()
    values = np.full((seeds.max() + 1, len(y.values), len(x.values)), np.nan)
    values[seeds, np.searchsorted(y.values, frame[y.name]), np.searchsorted(x.values, frame[x.name])] = frame["_v"]
    return values


def _means(values: Array, weights: Array, log: bool) -> Array:
    """Means over seeds, or their logarithms: one for each row of `weights`, which says how often each seed counts."""
    known, flat = np.isfinite(values), (len(values), -1)
    total = weights @ np.where(known, values, 0.0).reshape(flat)
    n = weights @ known.astype(float).reshape(flat)
    mean = np.where(n > 0, total / np.maximum(n, 1), np.nan).reshape(-1, *values.shape[1:])
    return np.log(np.where(mean > 0, mean, np.nan)) if log else mean


def _draws(seeds: int) -> Array:
    """How often each seed is drawn, in each resampling; none where there are too few to draw from."""
    if seeds < FEWEST:
        return np.empty((0, seeds))
    rng = np.random.default_rng(0)
    drawn = [rng.integers(seeds, size=seeds) for _ in range(RESAMPLES)]
    return np.array([np.bincount(one, minlength=seeds) for one in drawn], dtype=float)


def _table(found: Array, many: Array, along: Grid, other: Grid) -> pd.DataFrame:
    rows = []
    for i in np.flatnonzero(np.isfinite(found)):
        seen = many[:, i][np.isfinite(many[:, i])] if len(many) else np.array([])
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        bounds = np.quantile(seen, tails) if len(seen) >= RESAMPLES / 2 else np.full(2, np.nan)
        low, high = along.back(bounds)
        share = len(seen) / len(many) if len(many) else np.nan
        place = {other.name: other.values[i], along.name: float(along.back(found[i]))}
        rows.append(place | {"along": along.name, "low": low, "high": high, "share": share})
    return pd.DataFrame(rows, columns=[other.name, along.name, "along", "low", "high", "share"])
