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
    above = sum(_finer(np.where(known, drawn, 0.0)) >= 0 for drawn in heights.drawn)
    share = np.where(_finer((~known).astype(float)) > 0, np.nan, above / len(heights.drawn))
    x, y = (grid.back(_finer_along(grid.along())) for grid in (heights.x, heights.y))
    return Band(x, y, share)


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


def _finer(plane: Matrix) -> Matrix:
    """A plane, shape (y, x), at places between, along both sides."""
    return _finer_along(_finer_along(plane.T).T)


def _finer_along(values: Matrix) -> Matrix:
    """Values at places, and linearly at evenly many more between them, along the last axis."""
    times = -(-(FINE - 1) // (values.shape[-1] - 1))
    between = values[..., :-1, None] + np.diff(values)[..., None] * (np.arange(times) / times)
    return np.concatenate([between.reshape(*values.shape[:-1], -1), values[..., -1:]], axis=-1)


def _barycentric(corners: Matrix, at: Matrix) -> Matrix:
    """Weights of three corners, shape (points, 3, 2), at a point within each triangle, shape (points, 2)."""
    sides = np.swapaxes(corners[:, :2] - corners[:, 2:], 1, 2)
    first = np.linalg.solve(sides, (at - corners[:, 2])[..., None])[..., 0]
    return np.column_stack([first, 1 - first.sum(axis=1)])
