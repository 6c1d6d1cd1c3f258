"""Draw means against a number or a category, with their intervals, and theory as lines over them.

Without theory a line joins the means, and bands or bars show their intervals. With it the lines belong to theory, and
the means are points with bars. Along curves that are not all as long, thin lines are single runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.data.cells import Cells, gather
from analysis.data.rows import Rows, quoted
from analysis.drawing import style
from analysis.drawing.axis import Axis
from analysis.drawing.groups import Groups
from analysis.drawing.runs import Runs
from analysis.drawing.ticks import Side, label_round, label_values
from analysis.errors import AnalysisError
from analysis.statistics.intervals import half_width
from tsd.words import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THEORY_LINES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
MOST_BARS = 60
"""Numbers on an axis beyond which intervals are bands."""
MOST_POINTS = 24
"""Points with bars along one line; of more, so many are shown."""
ASIDE = 0.02
"""Of the axis: how far groups stand from each other at one number, where their bars would lie over each other."""


@dataclass(frozen=True)
class Series:
    """Means of several groups along one axis.

    Args:
        cells: the aggregated rows behind them.
        axis: the horizontal axis.
        label: what the vertical one shows, with unit.
        groups: what the lines belong to.
        means: `x`, `mean`, `low`, `high` and the seeds `n` of each group; the bounds are NaN for one seed.
        theory: lines of each prediction, by its name: `x` and `mean` for each group, or once for all of them.
        bands: whether intervals are bands and the axis is a continuum, as along a curve or many numbers.
        runs: single runs, where means cannot follow them.
    """

    cells: Cells
    axis: Axis
    label: str
    groups: Groups
    means: tuple[pd.DataFrame, ...]
    theory: Mapping[str, tuple[pd.DataFrame, ...]] = field(default_factory=dict)
    bands: bool = False
    runs: Runs | None = None

    @classmethod
    def of(
        cls, rows: Rows, value: str, x: str, *, by: str | None, theory: Mapping[str, Rows], log_x: bool = False
    ) -> Series:
        """Aggregate rows into lines over `x`, and predictions of `value` beside them.

        Args:
            theory: for each column that predicts the value, the rows that hold it.
        Raises:
            AnalysisError: the columns do not make lines.
        """
        if x == by:
            raise AnalysisError(f"--x {x} --by {by}: each needs a column of its own.")
        cells = gather(rows, [by, x] if by else [x], value)
        cells.require_mean()
        along = rows.step == x
        runs = Runs.of(rows, value, by, cells.values(by) if by else (), cells) if along else None
        values = sorted({*cells.values(x), *runs.frame["x"]}) if runs else cells.values(x)
        values = [v for v in values if v > 0] if along and log_x else values
        axis = Axis.over(rows, x, values, log_x)
        along |= axis.numeric and len(values) > MOST_BARS
        groups = Groups.of(rows, by, cells.values(by) if by else ())
        means = tuple(_means(_of_group(cells.frame, by, value), axis) for value in groups.values)
        predicted = {name: _predicted(held, name, axis, by, groups) for name, held in theory.items()}
        return cls(cells, axis, style.label(value, rows.unit(value)), groups, means, predicted, along, runs)

    def draw(self, axes: Axes, log_value: bool) -> list[Line2D]:
        """The lines and their intervals. Returns handles for a legend, of the groups and of theory."""
        self._draw_runs(axes)
        for i, (mean, colour) in enumerate(zip(self._shown, self.groups.colours, strict=True)):
            self._draw_group(axes, mean.assign(x=self._aside(i, mean["x"])), colour, self.groups.names[i])
        self._draw_theory(axes)
        self._scale_x(axes)
        drawn = [*self.means, *(line for lines in self.theory.values() for line in lines)]
        drawn += [self.runs.frame.rename(columns={"value": "mean"})] if self.runs else []
        _scale(axes, "y", pd.concat(drawn)[["mean", "low", "high"]], "--log-value" if log_value else "")
        axes.set(ylabel=self.label)
        return self._legend()

    def told(self, log_value: bool = False) -> list[str]:
        """What is drawn, where it is more than means and their intervals, and what has no place on the scale."""
        below = sum(int((mean["mean"] <= 0).sum()) for mean in self._shown) if log_value else 0
        aside = "Groups stand a little aside of a number at which their bars would lie over each other."
        dotted = "Dotted: the mean over the seeds whose runs go on."
        said = [*(self.runs.told() if self.runs else []), *([dotted] if any(map(self._partly, self.means)) else [])]
        said += [aside] if self.axis.numeric and self._apart() else []
        return said + ([f"Means that are not positive lie below the scale: {number(below)}."] if below else [])

    def page(self, width: str | None, log_value: bool, shown: bool = False) -> Figure:
        """A figure of its own, its legend above; see `style.new_figure`."""
        inches = style.WIDTH[width or "one"]
        figure = style.new_figure(inches, min(0.66 * inches, 3.2), shown)
        handles = self.draw(figure.subplots(), log_value)
        style.finish(figure, handles, title=self.groups.title or None)
        style.with_room(figure, min(0.38 * inches, 1.8))
        return figure

    def _draw_group(self, axes: Axes, mean: pd.DataFrame, colour: Any, name: str) -> None:
        points = bool(self.theory)
        marked = points or not self.bands or len(mean) == 1
        look: Any = {"marker": "o", "markersize": 3.2} if marked else {}
        look |= {"linestyle": "", "zorder": 3} if points else {}
        if self._partly(mean):
            axes.plot(mean["x"], mean["mean"].where(mean["n"] == mean["n"].max()), color=colour, label=f"_{name}")
            look |= {"linestyle": ":"}
        axes.plot(mean["x"], mean["mean"], color=colour, label=name, **look)
        if self.bands and not points and len(mean) > 1:
            axes.fill_between(mean["x"], mean["low"], mean["high"], color=colour, alpha=0.2, linewidth=0)
            return
        known = mean.dropna(subset=["low"])
        reach = [known["mean"] - known["low"], known["high"] - known["mean"]]
        axes.errorbar(known["x"], known["mean"], reach, fmt="none", ecolor=colour, elinewidth=0.8, capsize=1.6)

    @cached_property
    def _shown(self) -> Sequence[pd.DataFrame]:
        """The means that are drawn of each group: beside theory as many as leave room for their bars."""
        if not self.theory:
            return self.means
        return [m.iloc[_spread(m["x"], self.axis.log)] if len(m) > MOST_POINTS else m for m in self.means]

    @cached_property
    def _crowd(self) -> pd.Series[float]:
        """The places at which intervals of groups have values in common."""
        bars = pd.concat(self._shown).dropna(subset=["low"]).sort_values(["x", "low"])
        reached = bars.groupby("x")["high"].cummax().groupby(bars["x"]).shift()
        return bars["x"][bars["low"] < reached]

    def _draw_runs(self, axes: Axes) -> None:
        for value, colour in zip(self.groups.values, self.groups.colours, strict=True):
            for run in self.runs.of_group(value) if self.runs else []:
                axes.plot(run["x"], run["value"], color=colour, linewidth=0.5, alpha=0.4, label="_run")

    def _partly(self, mean: pd.DataFrame) -> bool:
        """Whether a mean along runs goes on over fewer seeds."""
        return self.runs is not None and not self.theory and mean["n"].nunique() > 1

    def _draw_theory(self, axes: Axes) -> None:
        for (name, lines), dashes in zip(self.theory.items(), THEORY_LINES, strict=False):
            colours = self.groups.colours if len(lines) == len(self.groups.values) else (style.INK,)
            for line, colour in zip(lines, colours, strict=True):
                axes.plot(line["x"], line["mean"], color=colour, linestyle=dashes, linewidth=1, label=f"_{name}")

    def _legend(self) -> list[Line2D]:
        mark: Any = {"marker": "o", "markersize": 3.2} if self.theory or not self.bands else {}
        mark |= {"linestyle": ""} if self.theory else {}
        named = zip(self.groups.names, self.groups.colours, strict=True)
        handles = [Line2D([], [], color=colour, label=name, **mark) for name, colour in named if name]
        for name, dashes in zip(self.theory, THEORY_LINES, strict=False):
            handles.append(Line2D([], [], color=style.INK, linestyle=dashes, linewidth=1, label=style.label(name)))
        return handles

    def _aside(self, group: int, x: pd.Series[float]) -> pd.Series[float]:
        """Where a group stands: beside the others among categories, and where bars would lie over each other."""
        step = self._apart() * (group - (len(self.means) - 1) / 2)
        there = x.isin(self._crowd) if step and self.axis.numeric else 1.0
        return x * np.exp(step * there) if self.axis.log else x + step * there

    def _apart(self) -> float:
        """From one group to the next, in the measure in which the axis is even."""
        many = max(1, len(self.means) - 1)
        if not self.axis.numeric:
            return min(0.12, 0.7 / many)
        if (self.bands and not self.theory) or self._crowd.empty:
            return 0.0
        places = [np.log(mean["x"]) if self.axis.log else mean["x"] for mean in self._shown]
        nearest = min((x.diff().min() for x in places if len(x) > 1), default=1.0)
        return min(ASIDE * (np.ptp(self.axis.along()) or 1.0), 0.6 * nearest / many)

    def _scale_x(self, axes: Axes) -> None:
        if self.bands:
            ends = [self._aside(i, pd.Series(self.axis.centres())) for i in (0, len(self.means) - 1)]
            _scale(axes, "x", pd.concat(ends).to_frame(), "--log-x" if self.axis.log else "")
            axes.set(xlabel=self.axis.label)
            return
        label_values(axes, "x", self.axis)
        places = self.axis.along()
        pad = 0.04 * np.ptp(places) if self.axis.numeric and np.ptp(places) else 0.5
        pad += self._apart() * (len(self.means) - 1) / 2 if self.axis.numeric else 0.0
        axes.set(xlim=self.axis.back(np.array([places[0] - pad, places[-1] + pad])))


def _of_group(frame: pd.DataFrame, by: str | None, value: Any) -> pd.DataFrame:
    return frame if by is None else frame[frame[by] == value]


def _means(frame: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    places = dict(zip(axis.values, axis.centres(), strict=True))
    seen = frame[(frame["_n"] > 0) & frame[axis.name].isin(places)]
    mean, half = seen["_mean"], half_width(seen["_free"], seen["_sd"])
    x = seen[axis.name].map(places).astype(float)
    found = pd.DataFrame({"x": x, "mean": mean, "low": mean - half, "high": mean + half, "n": seen["_n"]})
    return found.sort_values("x")


def _predicted(rows: Rows, name: str, axis: Axis, by: str | None, groups: Groups) -> tuple[pd.DataFrame, ...]:
    """The mean prediction of each group, or once for all where it does not depend on groups.

    Among numbers it has places of its own; one without a place there is a constant.
    """
    each = [by] if by and rows.sql(f"SELECT count({quoted(by)}) AS n FROM rows")["n"][0] else []
    placed = axis.name in rows.relation.columns
    found = gather(rows, [*each, axis.name] if placed else each, name)
    if not found.seeds()[1]:
        raise AnalysisError(f"--theory {name}: it has no value for these trials. {found.lack()}")
    frames = [_of_group(found.frame, by, value) for value in groups.values] if each else [found.frame]
    if not placed:
        return tuple(pd.DataFrame({"x": axis.centres()[[0, -1]], "mean": frame["_mean"].iloc[0]}) for frame in frames)
    own = [v for v in found.values(axis.name) if not axis.log or v > 0] if axis.numeric else axis.values
    side = Axis.over(rows, axis.name, own, axis.log)
    return tuple(_means(frame, side)[["x", "mean"]] for frame in frames)


def _spread(x: pd.Series[float], log: bool) -> list[int]:
    """Rows that lie evenly along the axis."""
    places = np.log(x.to_numpy()) if log else x.to_numpy()
    wanted = np.linspace(places[0], places[-1], MOST_POINTS)
    return sorted({int(np.abs(places - at).argmin()) for at in wanted})


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


def columns_of(rows: Rows, names: Sequence[str]) -> dict[str, Rows]:
    """Predictions that are columns of the rows themselves."""
    rows.require(*names)
    return dict.fromkeys(names, rows)
