"""Draw values over the steps of a curve: a line for the mean over seeds, a band for its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.data.cells import Cells, gather
from analysis.data.rows import Rows
from analysis.drawing import style
from analysis.drawing.axis import Axis
from analysis.drawing.ticks import Side, label_round
from analysis.errors import AnalysisError
from analysis.statistics.intervals import half_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 10
"""What a legend can still tell apart."""


@dataclass(frozen=True)
class Trajectories:
    """Curves of several groups.

    Args:
        cells: the aggregated rows behind them.
        groups: `x` (the step), `mean`, `low` and `high` of each group, by its name; the bounds are NaN for one seed.
        colours: one for each group, in order of lightness where the groups are numbers.
        by: what tells the groups apart; "" where there is one group.
        x, y: labels of the axes.
    """

    cells: Cells
    groups: dict[str, pd.DataFrame]
    colours: list[Any]
    by: str
    x: str
    y: str

    @classmethod
    def of(cls, rows: Rows, value: str, by: str | None) -> Trajectories:
        """Aggregate rows into curves. Raises AnalysisError where the columns do not make any."""
        step = rows.step or "step"
        rows.require(step)
        cells = gather(rows, [by, step] if by else [step], value)
        cells.require_mean()
        labels = {"x": style.label(step), "y": style.label(value, rows.unit(value))}
        if by is None:
            return cls(cells, {"": _band(cells.frame, step)}, _colours(1, ordered=False), "", **labels)
        side = Axis.of(cells, by)
        if len(side.values) > MOST_LINES:
            raise AnalysisError(
                f"`{by}` has {len(side.values)} values, and no eye follows more than {MOST_LINES} lines.\n"
                "Choose some with --where, or draw them as a phase diagram."
            )
        frames = [_band(cells.frame[cells.frame[by] == value], step) for value in side.values]
        groups = dict(zip(side.names(), frames, strict=True))
        return cls(cells, groups, _colours(len(groups), side.numeric), side.label, **labels)

    def draw(self, axes: Axes, log_x: bool, log_value: bool) -> list[Line2D]:
        """The lines and their bands. Returns the lines, for a legend."""
        lines: list[Line2D] = []
        for (name, group), colour in zip(self.groups.items(), self.colours, strict=True):
            lines += axes.plot(group["x"], group["mean"], color=colour, label=name)
            axes.fill_between(group["x"], group["low"], group["high"], color=colour, alpha=0.2, linewidth=0)
        every = pd.concat(self.groups.values())
        _scale(axes, "x", every[["x"]], "--log-x" if log_x else "")
        _scale(axes, "y", every[["mean", "low", "high"]], "--log-value" if log_value else "")
        axes.set(xlabel=self.x, ylabel=self.y)
        return lines

    def page(self, width: str | None, log_x: bool, log_value: bool, shown: bool = False) -> Figure:
        """A figure of its own, its legend above; see `style.new_figure`."""
        inches = style.WIDTH[width or "one"]
        figure = style.new_figure(inches, min(0.66 * inches, 3.2), shown)
        lines = self.draw(figure.subplots(), log_x, log_value)
        if self.by:
            style.legend_above(figure, lines, title=self.by)
        return figure


def _band(frame: pd.DataFrame, step: str) -> pd.DataFrame:
    seen = frame[frame["_n"] > 0]
    mean, half = seen["_mean"], half_width(seen["_n"], seen["_sd"])
    return pd.DataFrame({"x": seen[step], "mean": mean, "low": mean - half, "high": mean + half})


def _scale(axes: Axes, side: Side, shown: pd.DataFrame, log: str) -> None:
    """A scale that ends with the data. A logarithmic one reaches down to a tenth of the least mean, bands or not."""
    centre = shown.iloc[:, 0]
    if log:
        centre = centre[centre > 0]
        if centre.empty:
            raise AnalysisError(f"Nothing to draw: no value is positive, as {log} needs.")
    low, high = float(np.nanmin([centre.min(), shown.min().min()])), float(shown.max().max())
    low = max(low, float(centre.min()) / 10) if log else low
    if side == "y" or log:
        pad = (high / low) ** 0.04 if log else 0.04 * (high - low) or 0.5
        limits = (low / pad, high * pad) if log else (low - pad, high + pad)
        axes.set(**{f"{side}scale": "log" if log else "linear", f"{side}lim": limits})
    label_round(axes, side, low, high, bool(log))


def _colours(count: int, ordered: bool) -> list[Any]:
    if ordered and count > 1:
        return list(matplotlib.colormaps[style.COLOURS](np.linspace(0, 0.88, count)))
    return sns.color_palette("colorblind", count)
