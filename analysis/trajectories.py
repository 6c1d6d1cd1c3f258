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

from analysis import style
from analysis.axis import Axis, round_ticks
from analysis.cells import Cells, gather
from analysis.errors import AnalysisError
from analysis.rows import Rows
from analysis.stats import half_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 10
"""What a legend can still tell apart."""


@dataclass(frozen=True)
class Trajectories:
    """Curves of several groups.

    Args:
        cells: the aggregated rows behind them.
        groups: mean, low and high by step for each value of the column that tells groups apart; low and high are NaN where
            there is one seed.
        colours: one for each group: in order of lightness where the groups are numbers.
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
        side = Axis.of(rows, by) if by else None
        names = side.names() if side else [""]
        if len(names) > MOST_LINES:
            raise AnalysisError(
                f"`{by}` has {len(names)} values, and no eye follows more than {MOST_LINES} lines.\\n"
                "Choose some with --where, or draw them as a phase diagram."
            )
        frames = [cells.frame if side is None else cells.frame[cells.frame[side.name] == v] for v in (side.values if side else [0])]
        groups = {name: _band(frame, step) for name, frame in zip(names, frames, strict=True)}
        ordered = side is not None and side.numeric
        return cls(
            cells, groups, _colours(len(names), ordered), side.label if side else "", style.label(step), style.label(value, rows.unit(value))
        )

    def draw(self, axes: Axes, log_x: bool, log_value: bool) -> list[Line2D]:
        """The lines and their bands. Returns the lines, for a legend."""
        axes.set(xscale="log" if log_x else "linear", yscale="log" if log_value else "linear", xlabel=self.x, ylabel=self.y)
        lines = []
        for (name, group), colour in zip(self.groups.items(), self.colours, strict=True):
            lines += axes.plot(group["step"], group["mean"], color=colour, label=name)
            axes.fill_between(group["step"], group["low"], group["high"], color=colour, alpha=0.2, linewidth=0)
        self._limit(axes, log_x, log_value)
        return lines

    def page(self, width: str | None, log_x: bool, log_value: bool) -> Figure:
        """A figure of its own, its legend above."""
        inches = style.WIDTH[width or "one"]
        figure = style.new_figure(inches, min(0.66 * inches, 3.2))
        lines = self.draw(figure.subplots(), log_x, log_value)
        if self.by:
            style.legend_above(figure, lines, title=self.by)
        return figure

    def _limit(self, axes: Axes, log_x: bool, log_value: bool) -> None:
        """Scales that end with the data. A logarithmic one shows what is positive, and no band below a tenth of the least mean."""
        every = pd.concat(self.groups.values())
        for side, log, centre, low, high in (("x", log_x, "step", "step", "step"), ("y", log_value, "mean", "low", "high")):
            shown = every[every[centre] > 0] if log else every
            if shown.empty:
                raise AnalysisError(f"Nothing to draw: no {centre} is positive, as --log-{'x' if side == 'x' else 'value'} needs.")
            least, most = shown[[centre, low]].min().min(), shown[[centre, high]].max().max()
            least = max(least, shown[centre].min() / 10) if log else least
            pad = (most / least) ** 0.04 if log else 0.04 * (most - least)
            if side == "y" or log:
                axes.set(**{f"{side}lim": (least / pad, most * pad) if log else (least - pad, most + pad)})
            round_ticks(axes.xaxis if side == "x" else axes.yaxis, least, most, log)


def _band(frame: pd.DataFrame, step: str) -> pd.DataFrame:
    seen = frame[frame["n"] > 0]
    half = half_width(seen["n"], seen["sd"])
    return pd.DataFrame({"step": seen[step], "mean": seen["mean"], "low": seen["mean"] - half, "high": seen["mean"] + half})


def _colours(count: int, ordered: bool) -> list[Any]:
    if ordered and count > 1:
        return list(matplotlib.colormaps[style.COLOURS](np.linspace(0, 0.88, count)))
    return sns.color_palette("colorblind", count)
