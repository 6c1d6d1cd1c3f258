"""Draw a collapse: the curves of all sizes as they were measured, and as they lie on one curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.drawing import style
from analysis.drawing.groups import Groups
from analysis.drawing.ticks import label_round
from analysis.statistics.collapse import Collapse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARK: Any = {"marker": "o", "markersize": 2.6, "elinewidth": 0.7}


@dataclass(frozen=True)
class Collapsed:
    """A collapse and its looks.

    Args:
        found: the fit.
        groups: a colour for each size.
        size, control, value: labels of the columns.
    """

    found: Collapse
    groups: Groups
    size: str
    control: str
    value: str

    @classmethod
    def of(cls, found: Collapse, size: str, control: str, value: str) -> Collapsed:
        """Raises AnalysisError where there are more sizes than an eye can follow."""
        rows, sizes = found.cells.rows, [p.size for p in found.points]
        return cls(found, Groups.of(rows, size, sizes), *(style.label(name) for name in (size, control, value)))

    def draw(self, axes: Axes) -> list[Line2D]:
        """The points on one curve. Returns handles for a legend of the sizes."""
        law = self.found.law
        scaled = [law.scaled(points) for points in self.found.points]
        for (x, y, error), colour in zip(scaled, self.groups.colours, strict=True):
            axes.errorbar(x, y, error, color=colour, linestyle="", **MARK)
        height = rf" $\times$ {self.size}$^{{-h}}$" if law.height else ""
        axes.set(xlabel=rf"({self.control} $-$ critical) $\times$ {self.size}$^{{1/\nu}}$", ylabel=self.value + height)
        return [self._handle(i) for i in range(len(scaled))]

    def draw_measured(self, axes: Axes) -> None:
        """The points as they were measured, and the critical point with its interval."""
        for points, colour in zip(self.found.points, self.groups.colours, strict=True):
            axes.errorbar(points.control, points.mean, points.error, color=colour, linewidth=0.8, **MARK)
        critical = self.found.intervals["critical"]
        axes.axvline(critical.mean, color=style.INK, linewidth=0.8, linestyle="--", zorder=0)
        axes.axvspan(critical.low, critical.high, color=style.INK, alpha=0.12, linewidth=0, zorder=0)
        axes.set(xlabel=self.control, ylabel=self.value)

    def page(self, width: str | None, shown: bool = False) -> Figure:
        """Both side by side, the legend above; see `style.new_figure`."""
        inches = style.WIDTH[width or "two"]
        figure = style.new_figure(inches, 0.42 * inches, shown)
        measured, collapsed = figure.subplots(1, 2)
        self.draw_measured(measured)
        handles = self.draw(collapsed)
        for axes in (measured, collapsed):
            (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
            label_round(axes, "x", left, right, log=False)
            label_round(axes, "y", low, high, log=False)
        style.finish(figure, handles, title=self.groups.title)
        style.with_room(figure, 0.29 * inches)
        return figure

    def sentences(self) -> list[str]:
        """The estimates and what speaks against them, for a footer."""
        names = {"critical": f"Critical {self.control}", "nu": "ν", "height": "h"}
        told = [f"{names[name]} = {_bounded(i.mean, i.low, i.high)}" for name, i in self.found.intervals.items()]
        law = self.found.law
        if law.height and "height" not in self.found.intervals:
            told.append(f"h = {law.height:.4g} as given".replace("-", "−"))
        quality = f"quality S = {self.found.quality:.2g} (1 is as good as the errors allow)"
        return [
            f"{', '.join(told)}; 95 % bootstrap over seeds; {quality}. Bars: standard errors.",
            *self.found.warnings,
        ]

    def _handle(self, group: int) -> Line2D:
        colour, name = self.groups.colours[group], self.groups.names[group]
        return Line2D([], [], color=colour, marker="o", markersize=3, linestyle="", label=name)


def _bounded(mean: float, low: float, high: float) -> str:
    said = f"{mean:.4g} [{low:.4g}, {high:.4g}]" if np.isfinite(low) else f"{mean:.4g}"
    return said.replace("-", "−")
