"""Single runs behind a mean that cannot follow them: some end before others, or have steps of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.cells import Cells
from analysis.data.rows import Rows, literal, quoted
from analysis.data.tally import finite
from tsd.words import number

MOST = 60
"""Runs in a figure; of more, so many are shown."""


@dataclass(frozen=True)
class Runs:
    """The curves of single trials.

    Args:
        frame: `g` their group, `trial_id`, `x` and `value`, in the order of steps.
        known: how many trials these groups have; some of many are in the frame.
    """

    frame: pd.DataFrame
    known: int

    @classmethod
    def of(cls, rows: Rows, value: str, by: str | None, groups: Sequence[Any], cells: Cells) -> Runs:
        """Runs of the groups that have a step at which the mean is not of all their seeds."""
        points = (
            f"(SELECT {quoted(by) if by else '0'} AS g, trial_id, {quoted(rows.step or '')} AS x, "
            f"{quoted(value)} AS value FROM rows WHERE {finite(rows, value)})"
        )
        steps = rows.sql(f"SELECT g, count(DISTINCT x) AS n FROM {points} GROUP BY g").set_index("g")["n"]
        behind = [g for g in (groups if by else [0]) if steps.get(g, 0) > _whole(cells.frame, by, g)]
        ids = rows.sql(f"SELECT DISTINCT g, trial_id FROM {points} ORDER BY trial_id")
        ids = ids[ids["g"].isin(behind)]
        shown = [_evenly(own["trial_id"].tolist(), MOST // len(behind)) for _, own in ids.groupby("g")]
        asked = ", ".join(literal(trial) for trials in shown for trial in trials) or "NULL"
        return cls(rows.sql(f"SELECT * FROM {points} WHERE trial_id IN ({asked}) ORDER BY trial_id, x"), len(ids))

    def of_group(self, group: Any) -> list[pd.DataFrame]:
        """The curves of one group."""
        own = self.frame if group is None else self.frame[self.frame["g"] == group]
        return [run for _, run in own.groupby("trial_id")]

    def told(self) -> list[str]:
        """What they are; nothing where there are none."""
        shown = self.frame["trial_id"].nunique()
        some = f", {shown} of {number(self.known)}" if shown < self.known else ""
        return [f"Thin: single runs{some}."] if shown else []


def _whole(frame: pd.DataFrame, by: str | None, group: Any) -> int:
    """Steps of a group whose mean is of as many seeds as any."""
    seeds = (frame if by is None else frame[frame[by] == group])["_n"]
    return int((seeds == seeds.max()).sum()) if seeds.max() else 0


def _evenly(names: Sequence[Any], most: int) -> list[Any]:
    return [
        names[i] for i in np.unique(np.linspace(0, len(names) - 1, max(1, min(most, len(names)))).round().astype(int))
    ]
