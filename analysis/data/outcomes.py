"""Rows → cells whose value is a word: the outcome that most trials of a cell had, and how many agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.cells import Cells, joined
from analysis.data.rows import Rows, literal, quoted
from analysis.data.tally import applies, grouped, listed, states, streams, tally, totals
from analysis.errors import AnalysisError

MOST = 10
"""Outcomes that colours can still tell apart."""


@dataclass(frozen=True)
class Outcomes:
    """What trials ended as.

    Args:
        cells: as of a number, `_mean` being the place of the most frequent outcome among `categories` (of equally
            frequent ones the first), `_n` the trials with an outcome, of `_seeds` seeds, and `_share` the share of the
            trials that agree.
        categories: the outcomes in their order.
    """

    cells: Cells
    categories: tuple[Any, ...]

    def divided(self) -> int:
        """Cells whose trials do not agree."""
        return int((self.cells.frame["_share"] < 1).sum())


def outcomes(rows: Rows, axes: Sequence[str], value: str) -> Outcomes:
    """Count the outcomes `value` of finished trials in every cell. Raises AnalysisError where they are too many."""
    rows.require(*axes, value)
    placed = [a for a in axes if a != rows.step]
    seeds = rows.varying_seeds()
    trials = rows.held([*axes, value, *seeds, "state", "trial_id"]) if rows.step else rows
    each = tally(trials, [*axes, value, *seeds], value)
    named, known = ", ".join(map(quoted, [*axes, value])), f"_known AND {applies(axes)}"
    counts = each.sql(f"SELECT {named}, sum(_k) AS _k FROM rows WHERE {known} GROUP BY ALL")
    categories = tuple(rows.ordered(value, counts[value].unique().tolist()))
    if len(categories) > MOST:
        some = ", ".join(map(literal, categories[:2]))
        raise AnalysisError(
            f"`{value}` has {len(categories)} outcomes, and colours tell no more than {MOST} apart.\n"
            f'Choose some, such as --where "{value} IN ({some})", or show a metric that is a number.'
        )
    repeated = f"count(DISTINCT row({listed(seeds)})) AS _seeds"
    seen = each.sql(f"SELECT {listed(axes)}, {repeated} FROM rows WHERE {known} {grouped(axes)}")
    frame = _majority(counts, list(axes), value, categories).merge(seen, on=list(axes))
    frame = joined(frame, states(each, placed), placed)
    lost = totals(trials if rows.step else each, placed, value)
    found = Cells(frame, tuple(axes), value, each, lost, (), streams(each))
    return Outcomes(found, categories)


def _majority(counts: pd.DataFrame, axes: list[str], value: str, categories: Sequence[Any]) -> pd.DataFrame:
    coded = counts.assign(_mean=counts[value].map({name: float(i) for i, name in enumerate(categories)}))
    ranked = coded.sort_values([*axes, "_k", "_mean"], ascending=[True] * len(axes) + [False, True])
    first = ranked.groupby(axes, as_index=False, sort=False).first()
    total = ranked.groupby(axes, as_index=False, sort=False)["_k"].sum()["_k"]
    return first.assign(_n=total, _share=first["_k"] / total, _sd=0.0).drop(columns=[value, "_k"])
