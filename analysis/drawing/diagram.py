"""A phase diagram as data: its cells on planes, one for each panel, and the page they are drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.cells import Cells, gather
from analysis.data.minus import SIGN, minus
from analysis.data.outcomes import Outcomes, outcomes
from analysis.data.rows import Rows
from analysis.drawing import heatmap, style, surface
from analysis.drawing.axis import Axis
from analysis.drawing.band import Band
from analysis.drawing.overlay import Dashes, Overlay, Place, crossing, predicted_border, predicted_line
from analysis.drawing.plane import Plane
from analysis.drawing.surface import Surface
from analysis.drawing.view import View
from analysis.errors import AnalysisError
from analysis.statistics.boundary import Heights
from tsd.words import counted, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CELLS = 1_000_000
MOST_PANELS = 24
LEAST = 0.8
"""Of the height meant for a panel: what legend and labels leave of it at least."""
LINES: tuple[Dashes, ...] = (":", (0, (3, 1, 0.7, 1)), "--")
"""Short enough to be told apart in a legend."""
NO_PREDICTIONS: Mapping[str, Rows] = {}
ACROSS = {"one": 2, "two": 3}
"""Panels side by side, by the columns of a page."""


@dataclass(frozen=True)
class Diagram:
    """A value over two axes, in one or more panels.

    Args:
        view: what was asked for.
        cells: the aggregated rows behind it.
        panels: a plane for each panel, by its title; "" where there is one panel.
        scale: the colours, which all panels share.
        surfaces: the panels as points with triangles between them, where these are drawn in the place of tiles.
        overlays: lines over the panels.
        heights: of each panel, the mean above the threshold and resamplings of it; none where there is no threshold.
        bands: of each panel, where the seeds leave open on which side of the threshold the mean lies.
    """

    view: View
    cells: Cells
    panels: Mapping[str, Plane]
    scale: heatmap.Scale
    surfaces: tuple[Surface, ...]
    overlays: tuple[Overlay, ...]
    heights: tuple[Heights, ...] = ()
    bands: tuple[Band | None, ...] = ()

    @classmethod
    def of(cls, rows: Rows, view: View, predictions: Mapping[str, Rows] = NO_PREDICTIONS) -> Diagram:
        """Aggregate rows into a diagram.

        Args:
            predictions: the rows that hold `view.theory` and `view.lines`, by name; else `rows` do.
        Raises:
            AnalysisError: the columns do not make a diagram.
        """
        view.check()
        rows.require(view.value)
        axes = [name for name in (view.x, view.y, view.by) if name]
        given = rows
        if view.minus:
            rows, view = minus(rows, view.minus, view.value, axes), replace(view, value=SIGN + view.value)
        found = None if rows.is_numeric(view.value) else outcomes(rows, axes, view.value)
        cells = found.cells if found else gather(rows, axes, view.value)
        cells.require_mean()
        if found and view.threshold is not None:
            raise AnalysisError(f"--threshold {view.threshold:g}: `{view.value}` holds words, which have no level.")
        panels = _panels(cells, view)
        scale, surfaces = _scale(view, rows, panels, found), _surfaces(view, cells, panels)
        overlays = _overlays(view, cells, panels, predictions, given)
        if found:  # their colours leave none for theory
            overlays = [replace(overlay, colour=style.INK) for overlay in overlays]
        if view.threshold is not None:
            shown: Sequence[Plane | Surface] = surfaces or list(panels.values())
            overlays = [crossing(shown, view.value, view.threshold, view.log_value), *overlays]
        heights = _heights(view, cells, panels, bool(surfaces))
        bands = tuple(Band.of(h, surfaces[i] if surfaces else None) for i, h in enumerate(heights))
        return cls(view, cells, panels, scale, surfaces, tuple(overlays), heights, bands)

    def missing(self) -> int:
        """Cells in which no trial ran, of a grid that is full but for them."""
        if self.surfaces and _scattered(self.view, self.cells, self.panels):
            return 0
        return sum(int(plane.missing.sum()) for plane in self.panels.values())

    def agreement(self) -> str:
        """Of outcomes, in how many cells the trials agree; "" of numbers."""
        if not self.scale.categories:
            return ""
        planes = self.panels.values()
        divided, cells = sum(p.divided.sum() for p in planes), sum((~np.isnan(p.mean)).sum() for p in planes)
        told = f"{number(divided)} of {counted(cells, 'cell')}"
        return f"Colour: the outcome of most trials of a cell; in {told} they disagree."

    def told(self) -> list[str]:
        """What is drawn, where it is more than means."""
        view = self.view
        minus = f"Colour: each trial minus the one where {view.minus}, with its seeds and other parameters."
        band = "Light band: where seeds leave open on which side of the line the mean lies, 95 % bootstrap."
        how = "the outcome of the nearest" if self.scale.categories else "linear over triangles of neighbours"
        dots = "Dots: what was measured; between them" if all(s.dotted for s in self.surfaces) else "Between points"
        between = f"{dots} {how}."
        low = sum(int((plane.mean <= 0).sum()) for plane in self.panels.values()) if view.log_value else 0
        colourless = f"Means that are not positive have {'no' if self.surfaces else 'the least'} colour: {number(low)}."
        said = ((view.minus, minus), (self.surfaces, between), (low, colourless), (self._banded(), band))
        return [words for holds, words in said if holds]

    def boundary(self) -> pd.DataFrame:
        """The boundaries of all panels as one table, the panel's value in a column of its own."""
        by = self.view.by
        groups = self.cells.values(by) if by else [None]
        tables = [heights.boundary() for heights in self.heights]
        found = [t.assign(**{by: g}) if by else t for t, g in zip(tables, groups, strict=False)]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame()

    def _banded(self) -> bool:
        return any(band and band.is_seen() for band in self.bands)

    def draw(self, axes: Axes) -> None:
        """The one panel with colour bar and legend, on axes of the caller's own and in the style in force."""
        [plane] = self.panels.values()
        self._draw_panel(axes, 0, plane, [axes])
        handles = self._legend()
        if handles:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), **style.in_lines(handles, style.points(axes)[0]))

    def page(self, width: str | None = None, shown: bool = False) -> Figure:
        """A figure of its own with every panel, sized for one or two columns of a paper; see `style.new_figure`."""
        width = width or ("one" if len(self.panels) == 1 else "two")
        columns = min(len(self.panels), ACROSS[width])
        lines, inches = -(-len(self.panels) // columns), style.WIDTH[width]
        wide = (inches - 0.9) / columns
        figure = style.new_figure(inches, 0.5 + lines * self._height(wide), shown)
        places = [figure.add_subplot(lines, columns, i + 1) for i in range(len(self.panels))]
        for i, (place, (title, plane)) in enumerate(zip(places, self.panels.items(), strict=True)):
            self._draw_panel(place, i, plane, places if i + 1 == len(places) else [])
            place.set_title("\n".join(style.wrapped(title, 72 * wide, style.TEXT)))
            style.label_edges(place, left=i % columns == 0, bottom=i + columns >= len(places))
        style.finish(figure, self._legend(), title=self.scale.label if self.scale.categories else None)
        style.with_room(figure, LEAST * self._height(wide), lines)
        return figure

    def _draw_panel(self, axes: Axes, number: int, plane: Plane, all_axes: list[Axes]) -> None:
        """One panel; with the last of them the colour bar, beside them all."""
        tiles = not self.surfaces
        mesh = heatmap.draw(axes, plane, self.scale) if tiles else self.surfaces[number].draw(axes, self.scale)
        if self.bands and (band := self.bands[number]):
            band.draw(axes)
        for overlay in self.overlays:
            overlay.draw(axes, number)
        if all_axes and not self.scale.categories:
            heatmap.colour_bar(mesh, all_axes, self.scale.label)

    def _height(self, width: float) -> float:
        """Inches for a panel: in proportion to its width for numbers, a line for each category."""
        y = next(iter(self.panels.values())).y
        return 0.74 * width if y.numeric else float(np.clip(0.6 + 0.16 * len(y.values), 1, 8))

    def _legend(self) -> list[Any]:
        planes = list(self.panels.values())
        marks = surface.legend(self.surfaces) if self.surfaces else heatmap.marks(planes)
        return [*(o.handle() for o in self.overlays), *heatmap.legend(planes, self.scale), *marks]


def _scale(view: View, rows: Rows, panels: Mapping[str, Plane], found: Outcomes | None) -> heatmap.Scale:
    label = style.label(view.value, rows.unit(view.value))
    if found:
        return heatmap.Scale.of_categories([str(c) for c in found.categories], label)
    mean = np.stack([plane.mean for plane in panels.values()])
    if view.minus:
        return heatmap.Scale.of_differences(mean, label)
    return heatmap.Scale(heatmap.norm_of(mean, view.log_value, view.value), label)


def _scattered(view: View, cells: Cells, panels: Mapping[str, Plane]) -> bool:
    """Whether trials fill less than half of the places, as those of a grid do that is finer in some parts."""
    places = sum(plane.mean.size for plane in panels.values())
    return cells.rows.step not in (view.x, view.y) and 2 * len(cells.frame) < places


def _surfaces(view: View, cells: Cells, panels: Mapping[str, Plane]) -> tuple[Surface, ...]:
    """The panels as surfaces; none where tiles suit or were asked for. Raises AnalysisError where neither can be."""
    scattered = _scattered(view, cells, panels)
    if view.shading == "tiles" or (view.shading is None and not scattered):
        return ()
    found = [Surface.of(plane, scattered) for plane in panels.values()]
    if all(found):
        return tuple(s for s in found if s)
    if view.shading is None:
        return ()
    raise AnalysisError(
        "--shading continuous needs two axes of numbers, and three cells with a mean in every panel that are not on "
        "one line.\nLeave it out, or take --shading tiles."
    )


def _overlays(
    view: View, cells: Cells, panels: Mapping[str, Plane], predictions: Mapping[str, Rows], rows: Rows
) -> list[Overlay]:
    """The lines of predictions."""
    first, found = next(iter(panels.values())), []
    place = Place(first.x, first.y, view.by, cells.values(view.by) if view.by else [None])
    if view.theory:
        held = predictions.get(view.theory, rows)
        found.append(predicted_border(held, view.theory, place, view.threshold, view.log_value))
    for name, dashes in zip(view.lines, LINES, strict=False):
        found.append(predicted_line(predictions.get(name, rows), name, place, dashes))
    return found


def _heights(view: View, cells: Cells, panels: Mapping[str, Plane], between: bool) -> tuple[Heights, ...]:
    x, y = next(iter(panels.values())).x, next(iter(panels.values())).y
    if view.threshold is None or not (x.numeric and y.numeric):
        return ()
    groups = cells.values(view.by) if view.by else [None]
    how: Any = {"log": view.log_value, "between": between and _scattered(view, cells, panels)}
    return tuple(Heights.of(cells, x.grid(), y.grid(), view.threshold, **how, group=g) for g in groups)


def _panels(cells: Cells, view: View) -> dict[str, Plane]:
    x, y, by = Axis.of(cells, view.x, view.log_x), Axis.of(cells, view.y, view.log_y), view.by
    sizes = {name: len(cells.values(name)) for name in cells.axes}
    if np.prod(list(sizes.values())) > MOST_CELLS or (by and sizes[by] > MOST_PANELS):
        counts = ", ".join(f"`{name}` {count}" for name, count in sizes.items())
        raise AnalysisError(f"Too many values to see: {counts}.\nChoose some with --where, or take other axes.")
    if by is None:
        return {"": Plane.of(cells.frame, x, y, cells.rows.step)}
    panels = Axis.of(cells, by)
    titles = [f"{style.label(by)}: {name}" for name in panels.names()]
    frames = [cells.frame[cells.frame[by] == value] for value in panels.values]
    return {t: Plane.of(f, x, y, cells.rows.step) for t, f in zip(titles, frames, strict=True)}
