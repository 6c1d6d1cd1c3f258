"""Lines over the panels of a phase diagram: where a mean crosses its level, and what theory says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from analysis.data.cells import Cells, gather
from analysis.data.outcomes import outcomes
from analysis.data.rows import Rows, quoted
from analysis.drawing import style
from analysis.drawing.axis import Axis
from analysis.drawing.plane import Matrix, Plane
from analysis.drawing.surface import Surface
from analysis.errors import AnalysisError

Dashes = Literal["-", "--", ":"] | tuple[int, tuple[float, ...]]
MANY = 400
"""Points of a line beyond which it runs to and fro between cells, and is thin."""


@dataclass(frozen=True)
class Overlay:
    """One kind of line.

    Args:
        label: what the legend says of it.
        panels: for each panel its lines, each of shape (points, 2), in data coordinates.
        dashes: how it is drawn; what is measured is solid and ink, predictions are dashed and in a colour of their own.
        colour: of predictions.
    """

    label: str
    panels: tuple[list[Matrix], ...]
    dashes: Dashes = "-"
    colour: str = style.THEORY

    def draw(self, axes: Axes, panel: int) -> None:
        """The lines of one panel. Dashes over a solid line let it show between them."""
        lines = self.panels[panel]
        width = self._width if sum(map(len, lines)) < MANY else 0.5 * self._width
        if self.dashes == "-":
            axes.add_collection(LineCollection(lines, colors="white", linewidths=2.2 * width, capstyle="projecting"))
        look: Any = {"linewidths": width, "linestyles": self.dashes, "colors": self._colour}
        axes.add_collection(LineCollection(lines, **look))

    @property
    def _colour(self) -> str:
        return style.INK if self.dashes == "-" else self.colour

    @property
    def _width(self) -> float:
        return 1.2 if self.dashes == "-" else 1.5

    def handle(self) -> Line2D:
        """What stands for it in a legend."""
        return Line2D([], [], label=self.label, color=self._colour, linewidth=self._width, linestyle=self.dashes)


@dataclass(frozen=True)
class Place:
    """Where predictions are drawn: both axes, and the column and the values of the panels."""

    x: Axis
    y: Axis
    by: str | None
    panels: Sequence[Any]

    def frames(self, cells: Cells) -> list[pd.DataFrame]:
        """The frame of `cells` for each panel: its own, or the same for all where theirs does not depend on it."""
        frame = cells.frame
        return [frame[frame[self.by] == v] if self.by in cells.axes else frame for v in self.panels]

    def axes(self, rows: Rows, *names: str) -> list[str]:
        """The columns over which a prediction is averaged: `names`, and the panels where it depends on them."""
        told = self.by and rows.sql(f"SELECT count({quoted(self.by)}) AS n FROM rows")["n"][0]
        return [*names, *([self.by] if self.by and told else [])]


def crossing(panels: Sequence[Plane | Surface], value: str, level: float, log: bool) -> Overlay:
    """Where the mean crosses `level`."""
    lines = tuple(panel.boundary(level, log) for panel in panels)
    label = f"{style.label(value)} = {level:g}"
    return Overlay(label if any(lines) else f"{label} (never crossed)", lines)


def predicted_border(rows: Rows, name: str, place: Place, level: float | None, log: bool) -> Overlay:
    """Where the prediction `name` crosses `level`, or where its outcomes meet."""
    rows.require(name, place.x.name, place.y.name)
    axes, number = place.axes(rows, place.x.name, place.y.name), rows.is_numeric(name)
    if number and level is None:
        raise AnalysisError(f"--theory {name}: it is a number; --threshold says at which level its line is drawn.")
    cells = gather(rows, axes, name) if number else outcomes(rows, axes, name).cells
    x, y = (Axis.of(cells, side.name, side.log) if side.numeric else side for side in (place.x, place.y))
    planes = [Plane.of(frame, x, y, rows.step) for frame in place.frames(cells)]
    lines = [plane.borders() if level is None else plane.boundary(level, log) for plane in planes]
    return Overlay(f"theory: {style.label(name)}", tuple(lines), "--")


def predicted_line(rows: Rows, name: str, place: Place, dashes: Dashes) -> Overlay:
    """A column that predicts y, as a line over x."""
    if not place.y.numeric:
        raise AnalysisError(f"--line {name}: `{place.y.name}` holds words, and a line needs numbers to run over.")
    cells = gather(rows, place.axes(rows, place.x.name), name)
    cells.require_mean()
    return Overlay(style.label(name), tuple([_path(frame, place.x)] for frame in place.frames(cells)), dashes)


def _path(frame: pd.DataFrame, x: Axis) -> Matrix:
    seen = frame[frame["_n"] > 0]
    if not x.numeric:
        places = dict(zip(x.values, x.centres(), strict=True))
        seen = seen[seen[x.name].isin(places)].assign(**{x.name: seen[x.name].map(places)})
    return seen.sort_values(x.name)[[x.name, "_mean"]].to_numpy(dtype=float)
