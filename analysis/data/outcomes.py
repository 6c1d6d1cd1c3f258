"""Rows → cells whose value is a word: the outcome that most trials of a cell had, and how many agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.cells import Cells, applies, joined, states, streams, totals
from analysis.data.rows import Rows, quoted
from analysis.errors import AnalysisError

MOST = 10
"""Outcomes that colours can still tell apart."""


@dataclass(frozen=True)
class Outcomes:
    """What trials ended as.

    Args:
        cells: as of a number, `_mean` being the place of the most frequent outcome among `categories` (of equally
            frequent ones the first), `_n` the trials with an outcome, and `_share` the share of them that agree.
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
    rows = rows.held([*axes, value, *rows.varying_seeds(), "state", *(["trial_id"] if rows.step else [])])
    known = f"FROM rows WHERE state = 'done' AND {quoted(value)} IS NOT NULL AND {applies(axes)}"
    counts = rows.sql(f"SELECT {', '.join(map(quoted, [*axes, value]))}, count(*) AS _k {known} GROUP BY ALL")
    categories = tuple(rows.ordered(value, counts[value].unique().tolist()))
    if len(categories) > MOST:
        raise AnalysisError(
            f"`{value}` has {len(categories)} outcomes, and colours tell no more than {MOST} apart.\n"
            "Choose some with --where, or show a metric that is a number."
        )
    frame = joined(_majority(counts, list(axes), value, categories), states(rows, placed), placed)
    found = Cells(frame, tuple(axes), value, rows, totals(rows, placed, value), (), streams(rows))
    return Outcomes(found, categories)


def _majority(counts: pd.DataFrame, axes: list[str], value: str, categories: Sequence[Any]) -> pd.DataFrame:
    coded = counts.assign(_mean=counts[value].map({name: float(i) for i, name in enumerate(categories)}))
    ranked = coded.sort_values([*axes, "_k", "_mean"], ascending=[True] * len(axes) + [False, True])
    first = ranked.groupby(axes, as_index=False, sort=False).first()
    total = ranked.groupby(axes, as_index=False, sort=False)["_k"].sum()["_k"]
    return first.assign(_n=total, _share=first["_k"] / total, _sd=0.0).drop(columns=[value, "_k"])
