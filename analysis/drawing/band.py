"""The band around a threshold: where the seeds leave open on which side of the level the mean lies.

Every resampled plane is interpolated as the mean itself is, on a fine grid, and the share of them above the level
counted; so the band follows loops, and lines that cross a column twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from analysis.drawing import style
from analysis.drawing.plane import Matrix
from analysis.drawing.surface import Surface
from analysis.statistics.boundary import TAIL, Heights

FINE = 121
"""Places along a side at which sides are counted, at least."""


@dataclass(frozen=True)
class Band:
    """How many draws lie above a level.

    Args:
        x, y: places, in data coordinates.
        share: of draws above, shape (y, x); NaN where nothing is known.
    """

    x: Matrix
    y: Matrix
    share: Matrix

    @classmethod
    def of(cls, heights: Heights, surface: Surface | None) -> Band | None:
        """Over cells, or over the triangles of `surface`; None where there is nothing to resample or no plane."""
        if not len(heights.drawn) or min(heights.mean.shape) < 2:
            return None
        return _over_cells(heights) if surface is None else _over_triangles(heights, surface)

    def is_seen(self) -> bool:
        """Whether any place is open."""
        return bool(((self.share > TAIL) & (self.share < 1 - TAIL)).any())

    def draw(self, axes: Axes) -> None:
        """Lighter where the side is open."""
        share, ends = np.ma.masked_invalid(self.share), [TAIL, 1 - TAIL]
        axes.contourf(self.x, self.y, share, levels=ends, colors=["white"], alpha=0.45)
        axes.contour(self.x, self.y, share, levels=ends, colors=[style.INK], linewidths=0.4)


def _over_cells(heights: Heights) -> Band:
    known = np.isfinite(heights.drawn).all(axis=0)
    share = _above(np.where(known, heights.drawn, 0.0)) / len(heights.drawn)
    lost = _above(np.where(known, 0.0, -1.0)[None]) == 0
    x, y = (grid.back(_finer(grid.along())) for grid in (heights.x, heights.y))
    return Band(x, y, np.where(lost, np.nan, share))


def _over_triangles(heights: Heights, surface: Surface) -> Band:
    places = np.linspace(0, 1, FINE)
    triangle = np.asarray(surface.mesh.get_trifinder()(*np.meshgrid(places, places)))
    inside = triangle >= 0
    y, x = (places[side] for side in np.nonzero(inside))
    corners = surface.mesh.triangles[triangle[inside]]
    weights = _barycentric(surface.points[corners], np.column_stack([x, y]))
    above = sum((weights * drawn[corners]).sum(axis=1) >= 0 for drawn in heights.drawn[:, heights.there])
    known = np.asarray(np.isfinite(heights.drawn[:, heights.there]).all(axis=0))
    share = np.full(triangle.shape, np.nan)
    share[inside] = np.where(known[corners].all(axis=1), above / len(heights.drawn), np.nan)
    return Band(surface.back("x", places), surface.back("y", places), share)


def _above(planes: Matrix) -> Matrix:
    """How many planes, shape (draws, y, x), are not below zero at their places and at those between.

    Places between neighbours are the same for all of these, so they are counted for all draws and rows at once.
    """
    wide, times = np.pad(_finer(planes), ((0, 0), (0, 1), (0, 0)), mode="edge"), _times(planes.shape[1])
    found = np.empty((planes.shape[1] * times, wide.shape[2]))
    for i in range(times):
        found[i::times] = (wide[:, :-1] + i / times * np.diff(wide, axis=1) >= 0).sum(axis=0)
    return found[: len(found) - times + 1]


def _finer(values: Matrix) -> Matrix:
    """Values of neighbours along the last axis, and those of the places between them."""
    times = _times(values.shape[-1])
    between = values[..., :-1, None] + np.diff(values)[..., None] * (np.arange(times) / times)
    return np.concatenate([between.reshape(*values.shape[:-1], -1), values[..., -1:]], axis=-1)


def _times(count: int) -> int:
    """Into how many parts the way between neighbours is cut, where there are so many places."""
    return -(-(FINE - 1) // (count - 1))


def _barycentric(corners: Matrix, at: Matrix) -> Matrix:
    """Weights of three corners, shape (points, 3, 2), at a point within each triangle, shape (points, 2)."""
    sides = np.swapaxes(corners[:, :2] - corners[:, 2:], 1, 2)
    first = np.linalg.solve(sides, (at - corners[:, 2])[..., None])[..., 0]
    return np.column_stack([first, 1 - first.sum(axis=1)])
