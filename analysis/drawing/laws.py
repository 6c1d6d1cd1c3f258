"""Draw scaling laws: points with bars, and for each group the law that is most credible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.data.cells import Cells, gather
from analysis.data.rows import Rows
from analysis.drawing import style
from analysis.drawing.groups import Groups
from analysis.drawing.series import MOST_BARS
from analysis.drawing.ticks import label_round
from analysis.errors import AnalysisError
from analysis.statistics.fits import Fit, Scaling, scalings, weights
from analysis.statistics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIKELY = 0.05
"""Weight above which a law is named that was not chosen."""
WORDS = {"power": "a x^(−b)", "power + floor": "a x^(−b) + c", "exponential": "a exp(−x/b) + c"}


@dataclass(frozen=True)
class Laws:
    """Fits and their looks.

    Args:
        cells: the aggregated rows behind them.
        found: points and laws of each group.
        groups: what they belong to.
        x, y: labels of the axes.
    """

    cells: Cells
    found: list[Scaling]
    groups: Groups
    x: str
    y: str

    @classmethod
    def of(cls, rows: Rows, value: str, x: str, by: str | None) -> Laws:
        """Aggregate rows and fit. Raises AnalysisError where the columns do not make points."""
        rows.require(x)
        rows.require_number(x)
        if len({x, value, by}) < 3:
            flags = f"--x {x} --value {value}" + (f" --by {by}" if by else "")
            raise AnalysisError(f"{flags}: each needs a column of its own.")
        cells = gather(rows, [by, x] if by else [x], value)
        cells.require_mean()
        groups = Groups.of(rows, by, cells.values(by) if by else ())
        labels = (style.label(name, rows.unit(name)) for name in (x, value))
        return cls(cells, scalings(cells, x, by), groups, *labels)

    def draw(self, axes: Axes, linear: bool = False) -> list[Line2D]:
        """The points and laws, on logarithmic axes but where they are asked to be linear."""
        for one, colour in zip(self.found, self.groups.colours, strict=True):
            mean, few = one.repeats.mean, len(one.x) <= MOST_BARS
            look: Any = {
                "markersize": 3 if few else 1.5,
                "elinewidth": 0.8 if few else 0.4,
                "capsize": 1.6 if few else 0,
            }
            axes.errorbar(one.x, mean, one.repeats.error, color=colour, fmt="o", **look)
            space = np.linspace if linear else np.geomspace
            along = space(one.x[0], one.x[-1], 200)
            axes.plot(along, one.fits[0](along), color=colour, linewidth=1)
        low, high = min(one.x[0] for one in self.found), max(one.x[-1] for one in self.found)
        means = np.concatenate([one.repeats.mean for one in self.found])
        log_y = not linear and bool((means > 0).all())
        axes.set(xscale="linear" if linear else "log", xlabel=self.x)
        axes.set(yscale="log" if log_y else "linear", ylabel=self.y)
        label_round(axes, "x", low, high, not linear)
        bottom, top = axes.get_ylim()
        label_round(axes, "y", bottom, top, log_y)
        named = zip(self.groups.names, self.groups.colours, strict=True)
        return [Line2D([], [], color=c, marker="o", markersize=3, label=name) for name, c in named if name]

    def page(self, width: str | None, linear: bool, shown: bool = False) -> Figure:
        """A figure of its own, its legend above; see `style.new_figure`."""
        inches = style.WIDTH[width or "one"]
        figure = style.new_figure(inches, min(0.72 * inches, 3.4), shown)
        style.finish(figure, self.draw(figure.subplots(), linear), title=self.groups.title or None)
        return figure

    def sentences(self) -> list[str]:
        """Of each group the chosen law, its parameters, and how much it is to be believed."""
        return [self._sentence(one, name) for one, name in zip(self.found, self.groups.names, strict=True)]

    def _sentence(self, one: Scaling, name: str) -> str:
        best, weight = one.fits[0], weights(one.fits)
        who = f"{style.naming.label(self.cells.axes[0])} {name}: " if name else ""
        after = f"; next {WORDS[one.fits[1].form.name]}, {weight[1]:.2f}" if weight[1] > LIKELY else ""
        quality = f"χ²/{best.freedom} = {best.chi2 / best.freedom:.2g}, weight {weight[0]:.2f} of 1{after}"
        return " ".join([f"{who}{WORDS[best.form.name]}, {_said(best)} ({quality}).", *one.warnings])


def _said(fit: Fit) -> str:
    told = ", ".join(f"{symbol} = {_bounded(i)}" for symbol, i in fit.parameters.items())
    return told.replace("-", "−").replace("inf", "∞")


def _bounded(interval: Interval) -> str:
    bounds = f" [{interval.low:.3g}, {interval.high:.3g}]" if not np.isnan(interval.low) else ""
    return f"{interval.mean:.3g}{bounds}"
