"""One axis of a figure over the values of a column: where its cells begin and end, and which of them are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis as MplAxis
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.rows import Rows
from analysis.style import SMALL, label, numbers, plain, text_width

MOST_LABELLED = 12
"""Up to so many numbers the axis labels the values themselves, beyond that round numbers."""

LONGEST_NAME = 24


@dataclass(frozen=True)
class Axis:
    """The values of one column along one side of a figure.

    Args:
        name: the column.
        label: what the side is called, with unit.
        values: ascending numbers, or categories in their order.
        numeric: whether the values are numbers.
        log: whether equal ratios are equal lengths.
    """

    name: str
    label: str
    values: tuple[Any, ...]
    numeric: bool
    log: bool = False

    @classmethod
    def of(cls, rows: Rows, name: str, log: bool = False) -> Axis:
        """The axis of a column. Raises AnalysisError where its values cannot stand on a logarithmic one."""
        rows.require(name)
        values, numeric = tuple(rows.values(name)), rows.is_numeric(name)
        if not values:
            raise AnalysisError(f"`{name}` applies to none of these trials, so it cannot be an axis.")
        if log and not (numeric and values[0] > 0):
            raise AnalysisError(
                f"`{name}` cannot be logarithmic: it holds {values[0]}.\n"
                f'Leave the scale linear' + (f', or choose with --where "{name} > 0".' if numeric else ".")
            )
        return cls(name, label(name, rows.unit(name)), values, numeric, log)

    def centres(self) -> NDArray[np.float64]:
        """Where each value stands: the number itself, or its place among the categories."""
        return np.asarray(self.values if self.numeric else range(len(self.values)), dtype=float)

    def edges(self) -> NDArray[np.float64]:
        """Cell borders, one more than values: half way between neighbours, in ratio where the axis is logarithmic."""
        return self.back(_borders(self.along()))

    def along(self) -> NDArray[np.float64]:
        """The centres in the measure in which the axis is even."""
        return np.log(self.centres()) if self.log else self.centres()

    def back(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the even measure to data coordinates."""
        return np.exp(places) if self.log else places

    def names(self) -> list[str]:
        """What each value is called."""
        if self.numeric:
            return numbers([float(v) for v in self.values])
        words = [str(v) for v in self.values]
        return [plain(w if len(w) <= LONGEST_NAME else w[: LONGEST_NAME - 1] + "…") for w in words]

    def height(self, natural: float) -> float:
        """Inches that a panel needs with this as its vertical side: `natural` for numbers, a line each for categories."""
        return natural if self.numeric else float(np.clip(0.6 + 0.16 * len(self.values), 1.0, 8.0))

    def apply(self, axes: Axes, side: str) -> None:
        """Give the side "x" or "y" of matplotlib axes its scale, ticks and label."""
        axes.set(**{f"{side}label": self.label, f"{side}scale": "log" if self.log else "linear"})
        ticks(axes, side, self)


def ticks(axes: Axes, side: str, along: Axis) -> None:
    """Label the values where they are few or words, else round numbers; never two labels over each other."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    axis.set_minor_locator(ticker.NullLocator())
    if along.numeric and len(along.values) > MOST_LABELLED:
        round_ticks(axis, min(along.values), max(along.values), along.log)
        return
    names, places = along.names(), along.centres()
    slanted = side == "x" and not along.numeric and _crowded(axes, names)
    axis.set_major_locator(Fitting(places, names, "slanted" if slanted else side))
    axis.set_major_formatter(ticker.FuncFormatter(lambda place, _: names[int(np.argmin(np.abs(places - place)))]))
    if slanted:
        axis.set_tick_params(rotation=45, rotation_mode="xtick")
    if not along.numeric:
        axis.set_tick_params(length=0)


def round_ticks(axis: MplAxis, low: float, high: float, log: bool) -> None:
    """Round numbers between `low` and `high`: 1, 2 and 5 of every decade, or only decades where there are many."""
    if not log:
        axis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: numbers([value])[0]))
        return
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    within = [m * 10.0**d for d in decades for m in ((1, 2, 5) if len(decades) < 4 else (1,))]
    within = [v for v in within if low * 0.999 <= v <= high * 1.001]
    names = numbers(within)
    side = "x" if axis.axis_name == "x" else "y"
    axis.set_major_locator(Fitting(np.asarray(within), names, side))
    axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: names[int(np.argmin(np.abs(np.log(within) - np.log(v))))]))


class Fitting(ticker.Locator):
    """Of given places, as many as their labels leave room for, whatever size the figure takes.

    Args:
        places: data coordinates in order.
        names: their labels.
        along: "x" (labels side by side), "y" (labels above each other) or "slanted" (along x, at 45 degrees).
    """

    def __init__(self, places: NDArray[np.float64], names: Sequence[str], along: str) -> None:
        self.places = places
        self.x = along != "y"
        self.room = [text_width(n, SMALL) + 4 if along == "x" else 1.25 * SMALL for n in names]

    def __call__(self) -> list[float]:
        """The places that are labelled now."""
        kept: list[float] = []
        last, half = -np.inf, 0.0
        for place, at, room in sorted(zip(self.places, self._points(), self.room, strict=True), key=lambda each: each[1]):
            if at - last >= half + room / 2:
                kept.append(place)
                last, half = at, room / 2
        return kept

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Every place, whatever its label needs."""
        return list(self.places)

    def _points(self) -> NDArray[np.float64]:
        axes = self.axis.axes
        pairs = np.column_stack([self.places, self.places])
        transform = axes.get_xaxis_transform() if self.x else axes.get_yaxis_transform()
        pixels = transform.transform(pairs)[:, 0 if self.x else 1]
        return pixels * 72 / axes.figure.dpi


def _crowded(axes: Axes, names: Sequence[str]) -> bool:
    """Whether neighbours of equal cells would touch; the figure's frame takes a seventh of what it has now."""
    figure = axes.figure
    assert figure is not None
    cell = 72 * figure.get_figwidth() * axes.get_position().width * 0.85 / len(names)
    widths = [text_width(n, SMALL) + 4 for n in names]
    return any((a + b) / 2 > cell for a, b in pairwise(widths))


def _borders(places: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(places) == 1:
        return places[0] + np.array([-0.5, 0.5])
    middles = (places[1:] + places[:-1]) / 2
    return np.concatenate([[2 * places[0] - middles[0]], middles, [2 * places[-1] - middles[-1]]])
