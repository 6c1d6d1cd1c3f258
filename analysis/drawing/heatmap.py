"""Draw a plane of cells: colour for the mean, a line for a level, and grey for everything that is not a mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.drawing import style
from analysis.drawing.plane import Mask, Matrix, Plane
from analysis.drawing.ticks import label_round, label_values
from analysis.errors import AnalysisError

HATCHES: dict[str, dict[str, Any]] = {
    "no trial": {"facecolor": "white", "edgecolor": "#b5b5b5", "hatch": "/////"},
    "no mean": {"facecolor": "white", "edgecolor": "#b5b5b5", "hatch": "-----"},
    "diverged": {"facecolor": "#dcdcdc", "edgecolor": "#4d4d4d", "hatch": "xxxxx"},
    "failed": {"facecolor": "#dcdcdc", "edgecolor": "#4d4d4d", "hatch": "....."},
}
PARTLY, DIVIDED, FEW = "some diverged or failed", "seeds disagree", "few seeds"
VECTOR_CELLS = 40_000
"""Beyond so many cells the colours of a PDF are pixels; axes, lines and text stay vectors."""


@dataclass(frozen=True)
class Scale:
    """What colours mean.

    Args:
        norm: carries a mean to a place among the colours.
        label: what the colours show, with unit.
        categories: outcomes, where the mean is the place of one of them.
        diverging: whether 0 is a middle from which colours part.
    """

    norm: Normalize
    label: str
    categories: tuple[str, ...] = ()
    diverging: bool = False

    @classmethod
    def of_categories(cls, categories: Sequence[str], label: str) -> Scale:
        """A colour for each outcome."""
        return cls(Normalize(-0.5, len(categories) - 0.5), label, tuple(categories))

    @classmethod
    def of_differences(cls, mean: Matrix, label: str) -> Scale:
        """Colours that part at 0 and reach as far on either side."""
        far = float(np.nanmax(np.abs(mean))) or 1.0
        return cls(Normalize(-far, far), label, diverging=True)

    @property
    def log(self) -> bool:
        """Whether equal ratios are equal steps of colour."""
        return isinstance(self.norm, LogNorm)

    def colours(self) -> Any:
        """The map from a place to a colour."""
        if self.categories:
            return ListedColormap(style.categories(len(self.categories)))
        return style.DIVERGING if self.diverging else style.COLOURS


def norm_of(mean: Matrix, log: bool, name: str) -> Normalize:
    """The scale that carries every finite mean to a colour. Raises AnalysisError where there is none."""
    finite = mean[np.isfinite(mean) & ((mean > 0) if log else True)]
    if not finite.size:
        why = "positive, as --log-value needs" if log else "finite"
        raise AnalysisError(f"Nothing to draw: no mean of `{name}` is {why}.")
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        low, high = (low / 1.5, high * 1.5) if log else (low - 0.5, high + 0.5)
    return LogNorm(low, high, clip=True) if log else Normalize(low, high)


def draw(axes: Axes, plane: Plane, scale: Scale) -> QuadMesh:
    """One panel: coloured cells, hatched cells and marks."""
    x, y, many = plane.x.edges(), plane.y.edges(), plane.mean.size > VECTOR_CELLS
    # Cells overlap by a hair, or viewers of PDF show seams between them.
    seam = {"rasterized": True} if many else {"edgecolors": "face", "linewidth": 0.4}
    mesh = axes.pcolormesh(x, y, np.ma.masked_invalid(plane.mean), norm=scale.norm, cmap=scale.colours(), **seam)
    label_values(axes, "x", plane.x)
    label_values(axes, "y", plane.y)
    axes.set(xlim=x[[0, -1]], ylim=y[[0, -1] if plane.y.numeric else [-1, 0]])
    for name, mask in _hatched(plane).items():
        if mask.any():
            axes.add_collection(PolyCollection(list(plane.boxes(mask)), linewidth=0, **HATCHES[name]))
    _mark(axes, plane)
    axes.spines[["top", "right"]].set_visible(True)
    return mesh


def colour_bar(mesh: QuadMesh, axes: Sequence[Axes], label: str) -> None:
    """The scale of the colours, beside `axes`, as wide as a line of text is high."""
    top, bottom = max(a.bbox.y1 for a in axes), min(a.bbox.y0 for a in axes)
    height = (top - bottom) * 72 / axes[0].figure.dpi
    bar = axes[0].figure.colorbar(mesh, ax=list(axes), pad=0.02, aspect=max(8, height / 6), label=label)
    bar.outline.set_linewidth(0.6)
    bar.minorticks_off()
    low, high = mesh.get_clim()
    label_round(bar.ax, "y", low or 0.0, high or 0.0, isinstance(mesh.norm, LogNorm))


def legend(planes: Sequence[Plane], scale: Scale) -> list[Any]:
    """Handles for the outcomes that the planes show."""
    if not scale.categories:
        return []
    colours = style.categories(len(scale.categories))
    shown = {int(place) for plane in planes for place in np.unique(plane.mean[~np.isnan(plane.mean)])}
    named = [pair for i, pair in enumerate(zip(scale.categories, colours, strict=True)) if i in shown]
    return [Patch(facecolor=colour, label=style.plain(name)) for name, colour in named]


def marks(planes: Sequence[Plane]) -> list[Any]:
    """Handles for the hatches and marks of cells that there are."""
    handles: list[Any] = []
    for name, look in HATCHES.items():
        if any(_hatched(plane)[name].any() for plane in planes):
            handles.append(Patch(label=name, linewidth=0.4, **look))
    if any(plane.thinned.any() for plane in planes):
        handles.append(Line2D([], [], linestyle="", label=PARTLY, **_cross(4)))
    if any(plane.divided.any() for plane in planes):
        handles.append(Line2D([], [], linestyle="", label=DIVIDED, **_dot(2.5)))
    if any(plane.few.any() for plane in planes):
        handles.append(Line2D([], [], linestyle="", label=FEW, **_ring(3)))
    return handles


def _hatched(plane: Plane) -> dict[str, Mask]:
    lost = plane.lost()
    return {
        "no trial": plane.missing,
        "no mean": plane.unsettled,
        "diverged": lost & (plane.diverged > 0),
        "failed": lost & (plane.diverged == 0),
    }


def _mark(axes: Axes, plane: Plane) -> None:
    width, height = style.points(axes)
    size = float(np.clip(0.4 * min(width / len(plane.x.values), height / len(plane.y.values)), 1.5, 4))
    marked = {"thinned": _cross(size), "divided": _dot(0.6 * size), "few": _ring(0.7 * size)}
    for name, look in marked.items():
        mask = getattr(plane, name) & ~(plane.thinned if name != "thinned" else False)
        rows, columns = np.nonzero(mask)
        if len(rows):
            axes.plot(plane.x.centres()[columns], plane.y.centres()[rows], linestyle="", **look)


def _dot(size: float) -> dict[str, Any]:
    return {"marker": "o", "color": "white", "markersize": size, "markeredgewidth": 0.4, "markeredgecolor": style.INK}


def _ring(size: float) -> dict[str, Any]:
    halo = [patheffects.withStroke(linewidth=1.4, foreground=style.INK)]
    return {"marker": "o", "markerfacecolor": "none", "markeredgecolor": "white", "markersize": size} | {
        "markeredgewidth": 0.7, "path_effects": halo
    }  # fmt: skip


def _cross(size: float) -> dict[str, Any]:
    halo = [patheffects.withStroke(linewidth=0.3 * size + 0.6, foreground=style.INK)]
    return {"marker": "x", "color": "white", "markersize": size, "markeredgewidth": 0.2 * size, "path_effects": halo}
