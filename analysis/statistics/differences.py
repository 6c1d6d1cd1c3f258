"""One place of a table minus another: seed by seed where they share two seeds or more, else by Welch's interval.

Equal seeds mean equal draws for every method, so what a seed does to both falls out of their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.cells import Cells, paired, seed_means
from analysis.statistics.intervals import (
    LEVEL,
    Interval,
    Sample,
    holm,
    iqm_difference,
    mean_interval,
    mean_p,
    welch_interval,
    welch_p,
)

Place = tuple[Any, Any]
Compared = Callable[[float], "Difference"]
"""A comparison that is not yet made: it takes the level of its interval."""


@dataclass(frozen=True)
class Difference:
    """One place minus another. `how`: "paired", "Welch" or "unpaired"; "" where seeds are too few. `p` of its test."""

    interval: Interval
    how: str
    p: float

    def is_tie(self) -> bool:
        """Whether the two were compared and not shown to differ."""
        return self.how != "" and not self.p < 1 - LEVEL


def place_of(record: Mapping[Any, Any], cells: Cells) -> Place:
    """The row and the column of a cell; the column is None where there is one."""
    return record[cells.axes[0]], record[cells.axes[1]] if cells.axes[1:] else None


def of_means(cells: Cells, samples: Mapping[Place, Sample], targets: Mapping[Any, Any]) -> dict[Place, Compared]:
    """The mean of every place minus that of the target row of its column."""
    found: dict[Place, Compared] = {}
    for target in set(targets.values()):
        records = paired(cells, target).to_dict("records")
        shared = {place_of(r, cells): Sample(r["_free"], r["_mean"], r["_sd"]) for r in records}
        for (row, column), sample in samples.items():
            other = samples.get((target, column))
            if other and row != target and targets.get(column) == target:
                found[row, column] = _of_means(sample, other, shared.get((row, column)))
    return found


def of_iqms(cells: Cells, targets: Mapping[Any, Any]) -> dict[Place, Compared]:
    """The inter-quartile mean of every place minus that of the target row of its column."""
    values = by_place(cells)
    return {
        (row, column): _of_iqms(own, values[targets[column], column])
        for (row, column), own in values.items()
        if column in targets and row != targets[column] and (targets[column], column) in values
    }


def by_place(cells: Cells) -> dict[Place, pd.Series[float]]:
    """The repetitions of every place, by their seeds."""
    frame = seed_means(cells).set_index(cells.rows.seeds())
    groups = frame.groupby(list(cells.axes), sort=False)["_v"]
    return {(key[0], key[1] if cells.axes[1:] else None): values for key, values in groups}


def settled(found: Mapping[Place, Compared], correct: bool) -> dict[Place, Difference]:
    """Make comparisons, each by itself or for all of them together.

    Together, p is adjusted after Holm, and the intervals are those that hold all at once (Bonferroni), which are a
    little wider than Holm's test: what one of them tells apart, the test does too.
    """
    alone = {place: compared(LEVEL) for place, compared in found.items()}
    tested = [place for place, difference in alone.items() if difference.how]
    if not correct or not tested:
        return alone
    p = holm([alone[place].p for place in tested])
    level = 1 - (1 - LEVEL) / len(tested)
    raised = dict(zip(tested, p, strict=True))
    return alone | {q: Difference(found[q](level).interval, alone[q].how, raised[q]) for q in tested}


def _of_means(sample: Sample, other: Sample, shared: Sample | None) -> Compared:
    def compared(level: float) -> Difference:
        if shared and shared.n > 1:
            return Difference(mean_interval(shared, level), "paired", mean_p(shared))
        welch = welch_interval(sample, other, level)
        return Difference(welch, "Welch" if np.isfinite(welch.low) else "", welch_p(sample, other))

    return compared


def _of_iqms(own: pd.Series[float], other: pd.Series[float]) -> Compared:
    shared = own.index.intersection(other.index)
    pair = len(shared) > 1
    a, b = (own.loc[shared], other.loc[shared]) if pair else (own, other)

    def compared(level: float) -> Difference:
        interval, p = iqm_difference(a.to_numpy(), b.to_numpy(), paired=pair, level=level)
        how = "paired" if pair else "unpaired"
        return Difference(interval, how if np.isfinite(interval.low) else "", p)

    return compared
