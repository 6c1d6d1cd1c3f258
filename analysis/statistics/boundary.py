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

from analysis.data.cells import Cells, seed_means
from analysis.statistics.intervals import LEVEL

Array = NDArray[np.float64]
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


def boundary(cells: Cells, x: Grid, y: Grid, level: float, *, log: bool = False, group: Any = None) -> pd.DataFrame:
    """Crossings of y for each x, or of x for each y where more of those cross.

    Args:
        cells: aggregated over x, y and maybe a third axis.
        level, log: what is crossed, and whether the value is interpolated in its logarithm.
        group: the value of the third axis.
    Returns:
        A row for each crossing: both columns by name, `along` (the one that was interpolated), its `low` and `high`,
        and the `share` of resamplings that cross at all. Bounds are NaN for fewer than three seeds.
    """
    frame = seed_means(cells)
    frame = frame if group is None else frame[frame[cells.axes[2]] == group]
    values = _cube(frame, cells, x, y)
    [height] = _means(values, np.ones((1, len(values))), log)
    level = float(np.log(level)) if log else level
    upwards, sideways = crossings(height, y.along(), level), crossings(height.T, x.along(), level)
    flipped = np.isfinite(sideways).sum() > np.isfinite(upwards).sum()
    along, other = (x, y) if flipped else (y, x)
    found = sideways if flipped else upwards
    drawn = _means(values, _draws(len(values)), log)
    many = np.array([crossings(m.T if flipped else m, along.along(), level) for m in drawn])
    return _table(found, many, along, other)


def crossings(height: Array, places: Array, level: float) -> Array:
    """For each column of `height`, shape (places, columns), the first place at which it crosses `level`; else NaN."""
    above = height >= level
    known = np.isfinite(height)
    crossed = (above[1:] != above[:-1]) & known[1:] & known[:-1]
    first = crossed.argmax(axis=0)
    columns = np.arange(height.shape[1])
    low, high = height[first, columns], height[first + 1, columns]
    with np.errstate(invalid="ignore", divide="ignore"):
        at = places[first] + (level - low) / (high - low) * (places[first + 1] - places[first])
    return np.where(crossed.any(axis=0), at, np.nan)


def _cube(frame: pd.DataFrame, cells: Cells, x: Grid, y: Grid) -> Array:
    """Repetitions by place, shape (seeds, y, x)."""
    wide = frame.pivot_table(index=cells.rows.seeds(), columns=[y.name, x.name], values="_v")
    every = pd.MultiIndex.from_product([y.values, x.values], names=[y.name, x.name])
    return wide.reindex(columns=every).to_numpy(dtype=float).reshape(-1, len(y.values), len(x.values))


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
