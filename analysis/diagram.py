"""A phase diagram as data: its cells on planes, one for each panel, and the page they are drawn on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from analysis import heatmap, style
from analysis.axis import Axis
from analysis.cells import Cells, gather
from analysis.errors import AnalysisError
from analysis.plane import Plane
from analysis.rows import Rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CELLS = 1_000_000
MOST_PANELS = 24


@dataclass(frozen=True)
class Diagram:
    """A value over two axes, in one or more panels.

    Args:
        cells: the aggregated rows behind it.
        panels: a plane for each panel, by its title; "" where there is one panel.
        norm: the scale of colours that all panels share.
        label: what the colours show, with unit.
        threshold: level whose line is drawn.
        line: what the line is called.
    """

    cells: Cells
    panels: Mapping[str, Plane]
    norm: Normalize
    label: str
    threshold: float | None
    line: str

    @classmethod
    def of(
        cls, rows: Rows, x: str, y: str, value: str, by: str | None,
        log_x: bool, log_y: bool, log_value: bool, threshold: float | None,
    ) -> Diagram:  # fmt: skip
        """Aggregate rows into a diagram. Raises AnalysisError where the columns do not make one."""
        if len({x, y, by}) < 3:
            raise AnalysisError(f"Each axis needs a column of its own, but --x is `{x}`, --y is `{y}` and --by is `{by}`.")
        cells = gather(rows, [name for name in (x, y, by) if name], value)
        sides = Axis.of(rows, x, log_x), Axis.of(rows, y, log_y)
        panels = dict(_panels(cells, rows, *sides, by))
        norm = heatmap.norm_of(np.stack([plane.mean for plane in panels.values()]), log_value, value)
        if log_value and threshold is not None and threshold <= 0:
            raise AnalysisError(f"--threshold {threshold:g} lies on no logarithmic scale; leave --log-value out or take one > 0.")
        line = "" if threshold is None else f"{style.label(value)} = {threshold:g}"
        if threshold is not None and not any(plane.boundary(threshold, log_value) for plane in panels.values()):
            line += " (never crossed)"
        return cls(cells, panels, norm, style.label(value, rows.unit(value)), threshold, line)

    def missing(self) -> int:
        """Cells in which no trial ran."""
        return sum(int(plane.missing.sum()) for plane in self.panels.values())

    def draw(self, axes: Axes) -> None:
        """The one panel with colour bar and legend, on axes of the caller's own."""
        [plane] = self.panels.values()
        mesh = heatmap.draw(axes, plane, self.norm, self.threshold)
        heatmap.colour_bar(mesh, [axes], self.label)
        handles = self._handles()
        if handles:
            axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=min(3, len(handles)))

    def page(self, width: str | None = None) -> Figure:
        """A figure of its own with every panel, sized for one or two columns of a paper."""
        columns = min(len(self.panels), 3)
        inches = style.WIDTH[width or ("one" if columns == 1 else "two")]
        lines = -(-len(self.panels) // columns)
        sides = next(iter(self.panels.values()))
        figure = style.new_figure(inches, lines * sides.y.height(0.74 * (inches - 0.9) / columns) + 0.5)
        axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        used, spare = axes.flat[: len(self.panels)], axes.flat[len(self.panels) :]
        for i, (place, (title, plane)) in enumerate(zip(used, self.panels.items(), strict=True)):
            mesh = heatmap.draw(place, plane, self.norm, self.threshold)
            place.set_title(title)
            style.label_edges(place, left=i % columns == 0, bottom=i + columns >= len(used))
        for place in spare:
            place.remove()
        heatmap.colour_bar(mesh, list(used), self.label)
        handles = self._handles()
        if handles:
            style.legend_above(figure, handles)
        return figure

    def _handles(self) -> list[Any]:
        return heatmap.legend(list(self.panels.values()), self.line)


def _panels(cells: Cells, rows: Rows, x: Axis, y: Axis, by: str | None) -> Iterator[tuple[str, Plane]]:
    panels = rows.values(by) if by else [None]
    if len(x.values) * len(y.values) * len(panels) > MOST_CELLS or len(panels) > MOST_PANELS:
        raise AnalysisError(
            f"`{x.name}` has {len(x.values)} values, `{y.name}` {len(y.values)}{f' and `{by}` {len(panels)}' if by else ''}: "
            f"too many to see.\nChoose some with --where, or other axes."
        )
    for panel in panels:
        frame = cells.frame if by is None else cells.frame[cells.frame[by] == panel]
        yield ("" if by is None else f"{style.label(by)}: {style.plain(str(panel))}"), Plane.of(frame, x, y, rows.step)
