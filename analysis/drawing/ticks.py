"""What an axis labels: its values where they are few, else round numbers, and never two in one place.

How many labels fit depends on the size that the layout leaves to the axes, so it is decided when the figure is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise, product
from typing import Literal

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.drawing.axis import Axis
from analysis.drawing.style import SMALL, numbers, points, text_width

MOST_LABELLED = 12
GAP = 4.0
"""Points between two labels."""

Side = Literal["x", "y"]


def label_values(axes: Axes, side: Side, along: Axis) -> None:
    """Scale, ticks and label for the side "x" or "y" of `axes`, over the values of `along`."""
    axes.set(**{f"{side}label": along.label, f"{side}scale": "log" if along.log else "linear"})
    if along.numeric and len(along.values) > MOST_LABELLED:
        label_round(axes, side, min(along.values), max(along.values), along.log)
        return
    names = along.names()
    slanted = side == "x" and not along.numeric and _crowded(axes, names)
    _label(axes, side, Fitting(along.centres(), names, side, slanted))
    if slanted:
        axes.tick_params("x", rotation=45, rotation_mode="xtick")
    if not along.numeric:
        axes.tick_params(side, length=0)


def label_round(axes: Axes, side: Side, low: float, high: float, log: bool) -> None:
    """Label round numbers: on a logarithmic axis decades, 1, 2 and 5 of few of them, or even steps within one."""
    even = ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    if not log:
        axis = getattr(axes, f"{side}axis")
        axis.set_major_locator(even)
        axis.set_major_formatter(RoundNumbers())
        return
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    leading = (1, 2, 5) if high <= 100 * low else (1,)
    found = _leading(leading, decades, low, high)
    found = found if len(found) > 1 else [v for v in even.tick_values(low, high) if low <= v <= high]
    _label(axes, side, Fitting(np.asarray(found), numbers(found), side))


def _leading(digits: Iterable[int], decades: Iterable[int], low: float, high: float) -> list[float]:
    places = product(sorted(decades), digits)
    return [m * 10.0**d for d, m in places if low * 0.999 <= m * 10.0**d <= high * 1.001]


class Fitting(ticker.Locator):
    """Of given places, as many as their labels leave room for.

    Args:
        places: data coordinates.
        names: their labels.
        side: "x", where labels stand side by side, or "y", where they stand above each other.
        slanted: whether labels along x are turned, and need their height only.
    """

    def __init__(self, places: NDArray[np.float64], names: Sequence[str], side: Side, slanted: bool = False) -> None:
        self.places = places
        self.names = list(names)
        self.side = side
        wide = side == "x" and not slanted
        self.room = [text_width(name, SMALL) + GAP if wide else 1.25 * SMALL for name in names]

    def __call__(self) -> list[float]:
        """The places that are labelled now."""
        kept: list[float] = []
        end = -np.inf
        for at, place, room in sorted(zip(self._points(), self.places, self.room, strict=True)):
            if at - room / 2 >= end:
                kept.append(place)
                end = at + room / 2
        return kept

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Every place, whatever its label needs."""
        return list(self.places)

    def name(self, place: float) -> str:
        """The label of the place that is nearest."""
        return self.names[int(np.argmin(np.abs(self.places - place)))]

    def _points(self) -> NDArray[np.float64]:
        axes: Axes = self.axis.axes  # type: ignore[union-attr]
        transform, column = (axes.get_xaxis_transform(), 0) if self.side == "x" else (axes.get_yaxis_transform(), 1)
        return transform.transform(np.column_stack([self.places, self.places]))[:, column] * 72 / axes.figure.dpi


class RoundNumbers(ticker.Formatter):
    """Writes all ticks of an axis alike."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """One tick by itself."""
        return numbers([x])[0]

    def format_ticks(self, values: list[float]) -> list[str]:
        """All ticks together."""
        return numbers(values)


def _label(axes: Axes, side: Side, places: Fitting) -> None:
    axis = getattr(axes, f"{side}axis")
    axis.set_major_locator(places)
    axis.set_major_formatter(ticker.FuncFormatter(lambda place, _: places.name(place)))
    axis.set_minor_locator(ticker.NullLocator())


def _crowded(axes: Axes, names: Sequence[str]) -> bool:
    """Whether neighbours of equal cells would touch; the layout will leave the axes about 85 % of their length now."""
    cell = 0.85 * points(axes)[0] / len(names)
    widths = [text_width(name, SMALL) + GAP for name in names]
    return any((a + b) / 2 > cell for a, b in pairwise(widths))
