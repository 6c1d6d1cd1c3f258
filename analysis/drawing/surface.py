"""A value between the points where it was measured: linear over triangles of neighbours, an outcome up to half way.

For grids that are finer where more happens, which squares would fill with more than was measured, and for a continuous
look of any other. A triangle with a corner that has no mean is left empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.lines import Line2D
from matplotlib.tri import LinearTriInterpolator, Triangulation
from numpy.typing import NDArray

from analysis.drawing import style
from analysis.drawing.axis import Axis
from analysis.drawing.heatmap import Scale
from analysis.drawing.plane import Mask, Matrix, Plane
from analysis.drawing.ticks import label_values

PIXELS = 240
"""Of a side; colours between points are pixels, everything else stays a vector."""
PAD = 0.02
MOST_DOTS = 600
"""Points beyond which a dot on each would hide the colours."""
MARKS: dict[str, dict[str, Any]] = {
    "measured": {"marker": "o", "markersize": 1.2, "color": style.INK, "alpha": 0.7, "markeredgewidth": 0},
    "few seeds": {"marker": "o", "markersize": 3.2, "color": "none", "markeredgewidth": 0.6},
    "seeds disagree": {"marker": "o", "markersize": 2.5, "color": "white", "markeredgewidth": 0.4},
    "no mean": {"marker": "_", "markersize": 4, "markeredgewidth": 0.8},
    "diverged": {"marker": "x", "markersize": 3.2, "markeredgewidth": 0.8},
    "failed": {"marker": "s", "markersize": 3, "color": "white", "markeredgewidth": 0.6},
}


@dataclass(frozen=True)
class Surface:
    """The places of a plane as points.

    Args:
        x, y: the axes.
        points: where they are in the measure in which the axes are even, from 0 to 1, shape (points, 2).
        mean: NaN where there is none, shape (points,).
        mesh: the triangles whose corners all have a mean.
        marks: for each kind of mark the points that bear it.
    """

    x: Axis
    y: Axis
    points: Matrix
    mean: Matrix
    mesh: Triangulation
    marks: dict[str, Mask]

    @classmethod
    def of(cls, plane: Plane, scattered: bool) -> Surface | None:
        """None where no triangle has three means. Where they are not `scattered`, a place without a trial is one."""
        if not (plane.x.numeric and plane.y.numeric):
            return None
        there = ~plane.missing if scattered else np.ones_like(plane.missing)
        rows, columns = np.nonzero(there)
        points = np.column_stack([_even(plane.x)[columns], _even(plane.y)[rows]])
        if len(points) < 3 or np.linalg.matrix_rank(points - points[0], tol=1e-9) < 2:
            return None
        mean = plane.mean[there]
        mesh = Triangulation(points[:, 0], points[:, 1], None if scattered else _halves(np.isnan(plane.mean)))
        empty = np.isnan(mean)[mesh.triangles].any(axis=1) | _flat(mesh)
        mesh.set_mask(empty)
        marks = {name: mask[there] for name, mask in _marked(plane).items()}
        return None if empty.all() else cls(plane.x, plane.y, points, mean, mesh, marks)

    def draw(self, axes: Axes, scale: Scale) -> QuadMesh:
        """The colours between the points, and the points."""
        edges = np.linspace(0, 1, PIXELS + 1)
        image = self._image((edges[1:] + edges[:-1]) / 2, bool(scale.categories), scale.log)
        sides = _back(self.x, edges), _back(self.y, edges)
        look: Any = {"norm": scale.norm, "cmap": scale.colours(), "rasterized": True}
        drawn = axes.pcolormesh(*sides, np.ma.masked_invalid(image), **look)
        label_values(axes, "x", self.x)
        label_values(axes, "y", self.y)
        axes.set(xlim=_back(self.x, np.array([-PAD, 1 + PAD])), ylim=_back(self.y, np.array([-PAD, 1 + PAD])))
        for name, mask in self.marks.items():
            if name != "measured" or self.dotted:
                x, y = self.points[mask].T
                axes.plot(_back(self.x, x), _back(self.y, y), **_look(name))
        axes.spines[["top", "right"]].set_visible(True)
        return drawn

    @property
    def dotted(self) -> bool:
        """Whether points bear a dot."""
        return len(self.points) <= MOST_DOTS

    def boundary(self, level: float, log: bool = False) -> list[Matrix]:
        """Pieces of the line on which the value crosses `level`, each of shape (2, 2), in data coordinates.

        With `log` the value is interpolated in its logarithm.
        """
        height = np.log(np.where(self.mean > 0, self.mean, np.nan)) if log else self.mean
        above = height - (np.log(level) if log else level)
        pieces = []
        for corners in self.mesh.get_masked_triangles():
            sides = [(a, b) for a, b in zip(corners, np.roll(corners, 1), strict=True)]
            crossed = [(a, b) for a, b in sides if (above[a] >= 0) != (above[b] >= 0)]
            if len(crossed) == 2 and np.isfinite(above[corners]).all():
                pieces.append(np.array([self._between(a, b, above) for a, b in crossed]))
        return [np.column_stack([_back(self.x, p[:, 0]), _back(self.y, p[:, 1])]) for p in pieces]

    def back(self, side: Literal["x", "y"], places: Matrix) -> Matrix:
        """From 0 to 1 along one side to data coordinates."""
        return _back(getattr(self, side), places)

    def _between(self, a: int, b: int, above: Matrix) -> Matrix:
        share = above[a] / (above[a] - above[b])
        return np.asarray(self.points[a] + share * (self.points[b] - self.points[a]))

    def _image(self, places: Matrix, words: bool, log: bool) -> Matrix:
        x, y = np.meshgrid(places, places)
        inside = np.asarray(self.mesh.get_trifinder()(x, y)) >= 0
        if words:
            return np.where(inside, self._nearest(x, y), np.nan)
        known = np.where(np.isnan(self.mean), 1.0, self.mean)
        height = np.log(np.where(known > 0, known, np.nan)) if log else known
        found = np.ma.filled(LinearTriInterpolator(self.mesh, height)(x, y), np.nan)
        return np.asarray(np.exp(found) if log else found)

    def _nearest(self, x: Matrix, y: Matrix) -> Matrix:
        from scipy.spatial import KDTree

        known = ~np.isnan(self.mean)
        return np.asarray(self.mean[known][KDTree(self.points[known]).query(np.stack([x, y], axis=-1))[1]])


def legend(surfaces: tuple[Surface, ...]) -> list[Line2D]:
    """Handles for the marks that there are, but for those of points that were measured as planned."""
    seen = [name for name in MARKS if any(s.marks[name].any() for s in surfaces) and name != "measured"]
    return [Line2D([], [], label=name, **_look(name)) for name in seen]


def _look(name: str) -> dict[str, Any]:
    return {"linestyle": "", "color": style.INK, "markeredgecolor": style.INK} | {
        key.replace("color", "markerfacecolor"): value for key, value in MARKS[name].items()
    }


def _marked(plane: Plane) -> dict[str, Mask]:
    known, lost = ~np.isnan(plane.mean), plane.lost()
    return {
        "measured": known & ~plane.few & ~plane.divided,
        "few seeds": known & plane.few,
        "seeds disagree": plane.divided & ~plane.few,
        "no mean": plane.unsettled,
        "diverged": lost & (plane.diverged > 0),
        "failed": lost & (plane.diverged == 0),
    }


def _even(axis: Axis) -> Matrix:
    places = axis.along()
    return np.asarray((places - places[0]) / (np.ptp(places) or 1.0))


def _back(axis: Axis, places: Matrix) -> Matrix:
    along = axis.along()
    return axis.back(along[0] + places * np.ptp(along))


def _halves(lost: Mask) -> NDArray[np.intp]:
    """Two triangles for each rectangle of a grid; a corner without a mean costs one of them where it can.

    Args:
        lost: where there is no mean, shape (values of y, values of x).
    Returns:
        Places of corners in `lost`, shape (triangles, 3).
    """
    number = np.arange(lost.size).reshape(lost.shape)
    corners = [number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]]
    around = np.stack([corner.ravel() for corner in corners], axis=1)
    turned = np.any(lost.ravel()[around[:, [0, 2]]], axis=1)
    around[turned] = np.roll(around[turned], -1, axis=1)
    return np.concatenate([around[:, [0, 1, 2]], around[:, [0, 2, 3]]])


def _flat(mesh: Triangulation) -> NDArray[np.bool_]:
    """Triangles of hardly any area, along the edge of what was measured."""
    x, y = mesh.x[mesh.triangles], mesh.y[mesh.triangles]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    return np.asarray(np.abs(area) < 1e-9)
