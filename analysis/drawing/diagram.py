"""A phase diagram as data: its cells on planes, one for each panel, and the page they are drawn on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from analysis.data.cells import Cells, gather
from analysis.data.rows import Rows
from analysis.drawing import heatmap, style
from analysis.drawing.axis import Axis
from analysis.drawing.plane import Plane
from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CELLS = 1_000_000
MOST_PANELS = 24
ACROSS = 3
"""Panels side by side."""


@dataclass(frozen=True)
class View:
    """What a phase diagram is to show: the columns of its axes, colour and panels, their scales, a level to mark."""

    x: str
    y: str
    value: str
    by: str | None = None
    log_x: bool = False
    log_y: bool = False
    log_value: bool = False
    threshold: float | None = None

    def check(self) -> None:
        """Raise AnalysisError where two axes are one column, or the level has no place among the values."""
        if len({self.x, self.y, self.by}) < 3:  # None counts as one
            asked = f"--x {self.x} --y {self.y}" + (f" --by {self.by}" if self.by else "")
            raise AnalysisError(f"{asked}: each needs a column of its own.")
        if self.log_value and self.threshold is not None and self.threshold <= 0:
            raise AnalysisError(
                f"--threshold {self.threshold:g} has no logarithm; take a positive one, or leave --log-value out."
            )


@dataclass(frozen=True)
class Diagram:
    """A value over two axes, in one or more panels.

    Args:
        view: what was asked for.
        cells: the aggregated rows behind it.
        panels: a plane for each panel, by its title; "" where there is one panel.
        norm: the scale of colours that all panels share.
        label: what the colours show, with unit.
    """

    view: View
    cells: Cells
    panels: Mapping[str, Plane]
    norm: Normalize
    label: str

    @classmethod
    def of(cls, rows: Rows, view: View) -> Diagram:
        """Aggregate rows into a diagram. Raises AnalysisError where the columns do not make one."""
        view.check()
        cells = gather(rows, [name for name in (view.x, view.y, view.by) if name], view.value)
        cells.require_mean()
        panels = _panels(cells, view)
        norm = heatmap.norm_of(np.stack([plane.mean for plane in panels.values()]), view.log_value, view.value)
        return cls(view, cells, panels, norm, style.label(view.value, rows.unit(view.value)))

    def missing(self) -> int:
        """Cells in which no trial ran."""
        return sum(int(plane.missing.sum()) for plane in self.panels.values())

    def draw(self, axes: Axes) -> None:
        """The one panel with colour bar and legend, on axes of the caller's own and in the style in force."""
        [plane] = self.panels.values()
        mesh = heatmap.draw(axes, plane, self.norm, self.view.threshold)
        heatmap.colour_bar(mesh, [axes], self.label)
        handles = self._legend()
        if handles:
            columns = style.legend_columns(handles, style.points(axes)[0])
            axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns)

    def page(self, width: str | None = None, shown: bool = False) -> Figure:
        """A figure of its own with every panel, sized for one or two columns of a paper; see `style.new_figure`."""
        columns = min(len(self.panels), ACROSS)
        lines = -(-len(self.panels) // columns)
        inches = style.WIDTH[width or ("one" if columns == 1 else "two")]
        figure = style.new_figure(inches, 0.5 + lines * self._height((inches - 0.9) / columns), shown)
        places = [figure.add_subplot(lines, columns, i + 1) for i in range(len(self.panels))]
        for i, (place, (title, plane)) in enumerate(zip(places, self.panels.items(), strict=True)):
            mesh = heatmap.draw(place, plane, self.norm, self.view.threshold)
            place.set_title(title)
            style.label_edges(place, left=i % columns == 0, bottom=i + columns >= len(places))
        heatmap.colour_bar(mesh, places, self.label)
        style.legend_above(figure, self._legend())
        return figure

    def _height(self, width: float) -> float:
        """Inches for a panel: in proportion to its width for numbers, a line for each category."""
        y = next(iter(self.panels.values())).y
        return 0.74 * width if y.numeric else float(np.clip(0.6 + 0.16 * len(y.values), 1, 8))

    def _legend(self) -> list[Any]:
        level, planes = self.view.threshold, list(self.panels.values())
        if level is None:
            return heatmap.legend(planes, "")
        crossed = any(plane.boundary(level, self.view.log_value) for plane in planes)
        line = f"{style.label(self.view.value)} = {level:g}"
        return heatmap.legend(planes, line if crossed else f"{line} (never crossed)")


def _panels(cells: Cells, view: View) -> dict[str, Plane]:
    x, y, by = Axis.of(cells, view.x, view.log_x), Axis.of(cells, view.y, view.log_y), view.by
    sizes = {name: len(cells.values(name)) for name in cells.axes}
    if np.prod(list(sizes.values())) > MOST_CELLS or (by and sizes[by] > MOST_PANELS):
        counts = ", ".join(f"`{name}` {count}" for name, count in sizes.items())
        raise AnalysisError(f"Too many values to see: {counts}.\nChoose some with --where, or take other axes.")
    if by is None:
        return {"": Plane.of(cells.frame, x, y, cells.rows.step)}
    frames = {value: cells.frame[cells.frame[by] == value] for value in cells.values(by)}
    return {f"{style.label(by)}: {style.plain(str(v))}": Plane.of(f, x, y, cells.rows.step) for v, f in frames.items()}
