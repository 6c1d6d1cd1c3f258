"""How the values of a column are spread: counts in bins of equal width or ratio, counted inside DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.data.rows import Rows, quoted
from analysis.data.tally import Totals, totals
from analysis.errors import AnalysisError

FEWEST, MOST = 5, 200
"""Bins that are taken without being asked for."""
VISIBLE = 10_000
"""Bins that are taken at all."""


@dataclass(frozen=True)
class Histogram:
    """Values in bins.

    Args:
        edges: shape (bins + 1,), ascending, in the unit of the value.
        counts: shape (bins,) for each value of `by`, in its order; one for None where there is no `by`.
        value: the column.
        log: whether bins are equal in ratio.
        unplaced: values that a logarithmic axis has no place for.
        totals: of the trials behind the values, and what is lost of them.
    """

    edges: NDArray[np.float64]
    counts: dict[Any, NDArray[np.int64]]
    value: str
    log: bool
    unplaced: int
    totals: Totals

    @property
    def size(self) -> int:
        """How many values are in bins."""
        return int(sum(counts.sum() for counts in self.counts.values()))

    def density(self, group: Any) -> NDArray[np.float64]:
        """Share of the group's values in each bin, by the bin's width; its integral over the value is 1."""
        counts = self.counts[group]
        return counts / counts.sum() / np.diff(self.edges)


def histogram(rows: Rows, value: str, by: str | None = None, bins: int | None = None, log: bool = False) -> Histogram:
    """Count every finite value of finished trials, those of a curve at all of its steps.

    Args:
        bins: how many; else as Sturges advises, or Freedman and Diaconis (1981, Z. Wahrscheinlichkeitstheorie 57, 453)
            where they want more, and for whole numbers that are few, one each.
    Raises:
        AnalysisError: a column is unknown, the value is not a number, or there is no value to count.
    """
    rows.require(*([by] if by else []))
    rows.require_number(value)
    if bins is not None and not 1 <= bins <= VISIBLE:
        raise AnalysisError(f"--bins {bins}: a histogram has 1 to {VISIBLE} bins; leave it out to have them chosen.")
    found = totals(rows, [by] if by else [], value)
    whole = str(rows.relation.types[rows.relation.columns.index(value)]) not in ("FLOAT", "DOUBLE")
    rows = _measured(rows, value, by, log)
    total, unplaced, low, high, width = rows.sql(
        "SELECT count(_v), count(*) - count(_v), min(_v), max(_v), "
        "2 * (quantile_cont(_v, 0.75) - quantile_cont(_v, 0.25)) * count(_v) ** (-1 / 3.0) FROM rows"
    ).iloc[0]
    if not total:
        raise AnalysisError(f"Nothing to draw: no value of `{value}` is {'positive' if log else 'finite'}.")
    if bins is None and not (whole and not log and high - low < MOST):
        advised = (high - low) / width if width > 0 else 0.0
        bins = int(np.clip(np.ceil(max(advised, np.log2(total) + 1)), FEWEST, MOST)) if low < high else 1
    edges = _edges(low, high, bins)
    counts = _counts(rows, edges)
    groups = rows.ordered(by, [v for v in counts if v is not None]) if by else [None]
    shown = np.exp(edges) if log else edges
    return Histogram(shown, {v: counts[v] for v in groups}, value, log, int(unplaced), found)


def _measured(rows: Rows, value: str, by: str | None, log: bool) -> Rows:
    """The values as `_v`, in the measure in which bins are equal, and NULL where it has no place for them."""
    number = f"CAST({quoted(value)} AS DOUBLE)"
    placed = f"CASE WHEN {number} > 0 THEN ln({number}) END" if log else number
    group = f"{quoted(by)}" if by else "NULL"
    chosen = rows.relation.filter(f"state = 'done' AND isfinite({number}) {f'AND {group} IS NOT NULL' if by else ''}")
    return rows.over(chosen.project(f"{placed} AS _v, {group} AS {quoted(by or '_group')}"))


def _edges(low: float, high: float, bins: int | None) -> NDArray[np.float64]:
    """So many bins, or without a number one for each whole number."""
    if bins is None:
        return np.arange(low - 0.5, high + 1)
    around = 0.1 * abs(low) or 0.5
    return np.linspace(low, high, bins + 1) if low < high else np.linspace(low - around, low + around, bins + 1)


def _counts(rows: Rows, edges: NDArray[np.float64]) -> dict[Any, NDArray[np.int64]]:
    bins, group = len(edges) - 1, quoted(rows.relation.columns[1])
    position = f"floor((_v - {float(edges[0])!r}) / {float(edges[1] - edges[0])!r})"
    found = rows.relation.query(
        "rows",
        f"SELECT {group}, CAST(least(greatest({position}, 0), {bins - 1}) AS INTEGER), count(*) "
        "FROM rows WHERE _v IS NOT NULL GROUP BY ALL",
    )
    assert found is not None, "a question has an answer"
    counts: dict[Any, NDArray[np.int64]] = {}
    for value, place, n in found.fetchall():
        counts.setdefault(value, np.zeros(bins, dtype=np.int64))[place] = n
    return counts
