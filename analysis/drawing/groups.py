"""What the lines of a figure belong to: the values of one column, each with its name and its colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np

from analysis.data.rows import Rows
from analysis.drawing import style
from analysis.drawing.axis import Axis
from analysis.errors import AnalysisError

MOST = 10
"""What a legend can still tell apart."""


@dataclass(frozen=True)
class Groups:
    """The values of `by` in their order.

    Args:
        values: one for each group; (None,) where there is one group.
        names: what each is called.
        colours: one for each, in order of lightness where the values are numbers.
        title: what tells the groups apart; "" where there is one group.
    """

    values: tuple[Any, ...]
    names: tuple[str, ...]
    colours: tuple[Any, ...]
    title: str

    @classmethod
    def of(cls, rows: Rows, by: str | None, values: Sequence[Any]) -> Groups:
        """The groups of `values` of the column `by`. Raises AnalysisError where they are too many to tell apart."""
        if by is None:
            return cls((None,), ("",), tuple(style.categories(1)), "")
        side = Axis.over(rows, by, values)
        if len(side.values) > MOST:
            raise AnalysisError(
                f"`{by}` has {len(side.values)} values, and no eye follows more than {MOST} lines.\n"
                "Choose some with --where, or draw them as a phase diagram."
            )
        return cls(side.values, tuple(side.names()), _colours(len(side.values), side.numeric), side.label)


def _colours(count: int, ordered: bool) -> tuple[Any, ...]:
    if ordered and count > 1:
        return tuple(matplotlib.colormaps[style.COLOURS](np.linspace(0, 0.88, count)))
    return tuple(style.categories(count))
