"""Draw a plane of cells: colour for the mean, a line for a level, and grey for everything that is not a mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import style
from analysis.axis import round_ticks
from analysis.errors import AnalysisError
from analysis.plane import Mask, Matrix, Plane

HATCHES = {
    "no trial": {"facecolor": "white", "edgecolor": "#b5b5b5", "hatch": "/////"},
    "diverged": {"facecolor": "#dcdcdc", "edgecolor": "#4d4d4d", "hatch": "xxxxx"},
    "failed": {"facecolor": "#dcdcdc", "edgecolor": "#4d4d4d", "hatch": "....."},
}
PARTLY = "some diverged or failed"
VECTOR_CELLS = 40_000
"""Beyond so many cells the colours of a PDF are pixels; axes, lines and text stay vectors."""


def norm_of(mean: Matrix, log: bool, name: str) -> Normalize:
    """The scale that carries every finite mean to a colour. Raises AnalysisError where there is none."""
    finite = mean[np.isfinite(mean) & ((mean > 0) if log else True)]
    if not finite.size:
        why = "is positive, as --log-value needs" if log else "is finite"
        raise AnalysisError(f"Nothing to draw: no mean of `{name}` {why}.")
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        low, high = (low / 1.5, high * 1.5) if log else (low - 0.5, high + 0.5)
    return LogNorm(low, high, clip=True) if log else Normalize(low, high)


def draw(axes: Axes, plane: Plane, norm: Normalize, threshold: float | None = None) -> QuadMesh:
    """One panel: coloured cells, hatched cells, marks and the line of the threshold."""
    many = plane.mean.size > VECTOR_CELLS
    mesh = axes.pcolormesh(
        plane.x.edges(), plane.y.edges(), np.ma.masked_invalid(plane.mean), norm=norm, cmap=style.COLOURS, rasterized=many,
        edgecolors="face", linewidth=0 if many else 0.15,
    )  # fmt: skip
    for name, mask in _hatched(plane).items():
        if mask.any():
            axes.add_collection(PolyCollection(plane.boxes(mask), linewidth=0, **HATCHES[name]))
    if plane.thinned.any():
        _mark(axes, plane)
    if threshold is not None:
        lines = plane.boundary(threshold, isinstance(norm, LogNorm))
        axes.add_collection(LineCollection(lines, colors="white", linewidths=2.6, capstyle="projecting", zorder=2.1))
        axes.add_collection(LineCollection(lines, colors=style.INK, linewidths=1.2, capstyle="projecting", zorder=2.2))
    plane.x.apply(axes, "x")
    plane.y.apply(axes, "y")
    axes.set(xlim=plane.x.edges()[[0, -1]], ylim=plane.y.edges()[[0, -1] if plane.y.numeric else [-1, 0]])
    axes.spines[["top", "right"]].set_visible(True)
    axes.tick_params(direction="out")
    return mesh


def colour_bar(mesh: QuadMesh, axes: Sequence[Axes], label: str) -> None:
    """The scale of the colours, beside `axes`."""
    figure = mesh.figure
    assert figure is not None
    height = figure.get_figheight() * (np.max([a.get_position().y1 for a in axes]) - np.min([a.get_position().y0 for a in axes]))
    bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=max(8, height / 0.08), label=label)
    bar.outline.set_linewidth(0.6)
    bar.minorticks_off()
    round_ticks(bar.ax.yaxis, float(mesh.norm.vmin or 0), float(mesh.norm.vmax or 0), isinstance(mesh.norm, LogNorm))


def legend(planes: Sequence[Plane], threshold: str | None) -> list[Any]:
    """Handles for what the planes show besides colour, and for nothing else."""
    handles: list[Any] = [Line2D([], [], label=threshold, color=style.INK)] if threshold else []
    for name in HATCHES:
        if any(_hatched(plane)[name].any() for plane in planes):
            handles.append(Patch(label=name, linewidth=0.4, **HATCHES[name]))
    if any(plane.thinned.any() for plane in planes):
        handles.append(Line2D([], [], linestyle="", label=PARTLY, **_cross(4)))
    return handles


def _hatched(plane: Plane) -> dict[str, Mask]:
    lost = plane.lost()
    return {"no trial": plane.missing, "diverged": lost & (plane.diverged > 0), "failed": lost & (plane.diverged == 0)}


def _mark(axes: Axes, plane: Plane) -> None:
    rows, columns = np.nonzero(plane.thinned)
    figure = axes.figure
    assert figure is not None
    width, height = figure.get_size_inches() * axes.get_position().size * 72 / plane.mean.shape[::-1]
    size = float(np.clip(0.4 * min(width, height), 1.5, 4))
    axes.plot(plane.x.centres()[columns], plane.y.centres()[rows], linestyle="", **_cross(size))


def _cross(size: float) -> dict[str, Any]:
    halo = [patheffects.withStroke(linewidth=0.3 * size + 0.6, foreground=style.INK)]
    return {"marker": "x", "color": "white", "markersize": size, "markeredgewidth": 0.2 * size, "path_effects": halo}

