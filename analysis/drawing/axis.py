"""One axis of a figure over the values of a column: where each value stands, and where its cell begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.data.cells import Cells
from analysis.data.rows import Rows
from analysis.drawing.style import label, numbers, plain
from analysis.errors import AnalysisError
from analysis.statistics.boundary import Grid

LONGEST_NAME = 24
EMPTY = '""'


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
    def of(cls, cells: Cells, name: str, log: bool = False) -> Axis:
        """One of the axes of `cells`. Raises AnalysisError where its values cannot stand on a logarithmic one."""
        return cls.over(cells.rows, name, cells.values(name), log)

    @classmethod
    def over(cls, rows: Rows, name: str, values: Sequence[Any], log: bool = False) -> Axis:
        """The values of the column `name` of `rows`, in their order. Raises AnalysisError as `of` does."""
        values, numeric = tuple(values), rows.is_numeric(name)
        if not values:
            raise AnalysisError(f"`{name}` applies to none of these trials, so it cannot be an axis.")
        if log and not numeric:
            raise AnalysisError(f"`{name}` holds words, such as {values[0]}; only numbers have a logarithm.")
        if log and values[0] <= 0:
            raise AnalysisError(
                f"`{name}` holds {values[0]}, which has no place on a logarithmic axis.\n"
                f'Leave the axis linear, or choose what is positive: --where "{name} > 0".'
            )
        return cls(name, label(name, rows.unit(name)), values, numeric, log)

    def centres(self) -> NDArray[np.float64]:
        """Where each value stands: the number itself, or its place among the categories."""
        return np.asarray(self.values if self.numeric else range(len(self.values)), dtype=float)

    def grid(self) -> Grid:
        """Where its values stand, as statistics ask for it."""
        return Grid(self.name, self.centres(), self.log)

    def edges(self) -> NDArray[np.float64]:
        """Cell borders, one more than values: half way between neighbours, in ratio on a logarithmic axis."""
        places = self.along()
        if len(places) == 1:
            return self.back(places[0] + np.array([-0.5, 0.5]))
        middles = (places[1:] + places[:-1]) / 2
        first, last = 2 * places[0] - middles[0], 2 * places[-1] - middles[-1]
        return self.back(np.concatenate([[first], middles, [last]]))

    def along(self) -> NDArray[np.float64]:
        """The centres in the measure in which the axis is even."""
        return self.grid().along()

    def back(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the even measure to data coordinates."""
        return self.grid().back(places)

    def names(self) -> list[str]:
        """What each value is called."""
        if self.numeric:
            return numbers([float(v) for v in self.values])
        return [plain(name) for name in _cut([str(v) or EMPTY for v in self.values])]


def _cut(words: list[str]) -> list[str]:
    """Long words without their end, or without their middle where the end tells them apart."""
    for tail in (0, LONGEST_NAME // 2):
        head = LONGEST_NAME - 1 - tail
        short = [w if len(w) <= LONGEST_NAME else f"{w[:head]}…{w[len(w) - tail :]}" for w in words]
        if len(set(short)) == len(set(words)):
            return short
    return words
