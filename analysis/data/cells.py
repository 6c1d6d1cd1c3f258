"""Rows → cells: every combination of some axes, with the mean and the spread of a value over its seeds.

The repetition is a combination of seeds. Where other parameters vary inside a cell, they are averaged seed by seed, so
that no interval counts a seed twice, and only over seeds that have all of them, so that like is compared with like.
Along a curve this holds at every step: where the shortest of the curves in a mean ends, the mean ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.rows import Rows, literal, quoted
from analysis.errors import AnalysisError

MOST_BITS = 1 << 31
"""As many may mark which repetition has which setting."""
WORD_BITS = 64
"""Settings that have room in one number."""


@dataclass(frozen=True)
class Totals:
    """How many trials there are in all, and how many of them are in no mean, and why.

    Args:
        diverged, failed: trials in that state.
        valueless: finished trials that report no finite value.
        placeless: trials to which an axis does not apply; they are in no cell.
    """

    trials: int
    diverged: int
    failed: int
    valueless: int
    placeless: int


@dataclass(frozen=True)
class Cells:
    """What rows say about a value.

    Args:
        frame: a row for each combination of the axes that occurs: the axes, `_n` seeds with a value, their `_mean` and
            `_sd` (NaN where n < 2), how many `_trials` there are, and how many of them `_diverged` or `_failed`. No
            column of a study begins so.
        axes, value: the columns' names.
        rows: the repetitions behind them, in memory: a row for each cell and combination of seeds, `_v` its mean of the
            value. Of outcomes, the trials.
        pooled: parameters that vary inside a cell; of curves, inside a group of them.
        streams: number of seeds of each random stream that has more than one.
    """

    frame: pd.DataFrame
    axes: tuple[str, ...]
    value: str
    rows: Rows
    totals: Totals
    pooled: tuple[str, ...]
    streams: dict[str, int]

    def seeds(self) -> tuple[int, int]:
        """Fewest and most seeds of a cell that has a mean; (0, 0) where none has."""
        n = self.frame["_n"][self.frame["_n"] > 0]
        return (int(n.min()), int(n.max())) if len(n) else (0, 0)

    def lack(self) -> str:
        """Why there is no mean at all; "" where there is one."""
        if self.seeds()[1]:
            return ""
        if self.totals.diverged + self.totals.failed == self.totals.trials:
            return "No mean: every trial failed or diverged."
        if not self.pooled:
            return f"No mean: no trial has a finite `{self.value}`."
        shared = f" at one `{self.rows.step}`" if self.rows.step else ""
        return f"No mean: no seed has all values of {', '.join(self.pooled)}{shared}."

    def require_mean(self) -> None:
        """Raise AnalysisError where there is no mean to draw."""
        if self.lack():
            raise AnalysisError(f"Nothing to draw. {self.lack()}\nSee what there is with the verb `table` or `sql`.")

    def values(self, axis: str) -> list[Any]:
        """The values of an axis in their order."""
        return self.rows.ordered(axis, self.frame[axis].dropna().unique().tolist())


def gather(rows: Rows, axes: Sequence[str], value: str) -> Cells:
    """Aggregate `value` over all but `axes`. Raises AnalysisError where a column is unknown or not a number."""
    rows.require(*axes)
    rows.require_number(value)
    # A trial that did not finish has no steps: it is lost to its whole curve.
    placed = [a for a in axes if a != rows.step]
    pooled = _pooled(rows, placed)
    held = _held(rows, [*axes, value, *rows.varying_seeds(), "state", *(["trial_id"] if rows.step else [])], pooled)
    found = held.over(held.table(_repetitions(held, axes, value, bool(pooled))))
    keys = "".join(f"{quoted(a)}, " for a in axes)
    spread = "count(*) AS _n, favg(_v) AS _mean, stddev_samp(_v) AS _sd"
    frame = joined(found.sql(f"SELECT {keys}{spread} FROM rows {_grouped(axes)}"), states(held, placed), placed)
    frame = frame.sort_values(list(axes), ignore_index=True) if axes else frame
    return Cells(frame, tuple(axes), value, found, totals(held, placed, value), pooled, streams(held))


def seed_means(cells: Cells) -> pd.DataFrame:
    """The repetitions behind the cells: a row for each cell and combination of seeds, `_v` the mean of the value."""
    return cells.rows.sql("SELECT * FROM rows ORDER BY ALL")


def paired(cells: Cells, target: object) -> pd.DataFrame:
    """Each cell minus the one whose first axis is `target`: `_n` seeds in common, `_mean` and `_sd` of it."""
    each = _list([*cells.axes[1:], *cells.rows.seeds()])
    keys = _list(cells.axes)
    return cells.rows.sql(
        f"SELECT {keys}, count(*) AS _n, favg(a._v - b._v) AS _mean, stddev_samp(a._v - b._v) AS _sd FROM rows a "
        f"JOIN (SELECT {each}, _v FROM rows WHERE {quoted(cells.axes[0])} = {literal(target)}) b USING ({each}) "
        f"GROUP BY {keys}"
    )


def totals(rows: Rows, axes: Sequence[str], value: str) -> Totals:
    """How many trials there are, and what is lost of them to a mean of `value` over places of `axes`."""
    each = "DISTINCT trial_id" if rows.step else "*"
    found = rows.sql(
        f"SELECT count({each}) AS trials, count({each}) FILTER (state = 'diverged') AS diverged, "
        f"count({each}) FILTER (state = 'failed') AS failed, "
        f"count({each}) FILTER (state = 'done' AND NOT coalesce({finite(rows, value)}, false)) AS valueless, "
        f"count({each}) FILTER (NOT ({applies(axes)})) AS placeless FROM rows"
    )
    return Totals(**{str(name): int(count) for name, count in found.iloc[0].items()})


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, dict.fromkeys(names)))


def applies(names: Sequence[str]) -> str:
    """The condition that a trial has a place on every axis."""
    return " AND ".join(f"{quoted(n)} IS NOT NULL" for n in names) or "true"


def finite(rows: Rows, value: str) -> str:
    """The condition that a trial finished and reports a value, of numbers a finite one."""
    known = f"isfinite(CAST({quoted(value)} AS DOUBLE))" if rows.is_numeric(value) else f"{quoted(value)} IS NOT NULL"
    return f"state = 'done' AND {known}"


def _held(rows: Rows, names: Sequence[str], pooled: Sequence[str]) -> Rows:
    """These columns in memory and, as `_setting`, a number for each combination of what varies inside a cell."""
    if not pooled:
        return rows.held(names)
    same = " AND ".join(f"r.{quoted(p)} IS NOT DISTINCT FROM s.{quoted(p)}" for p in pooled)
    numbered = f"SELECT *, row_number() OVER () - 1 AS _setting FROM (SELECT DISTINCT {_list(pooled)} FROM rows)"
    kept = ", ".join(f"r.{quoted(n)}" for n in dict.fromkeys(names))
    return rows.over(rows.table(f"SELECT {kept}, _setting FROM rows r JOIN ({numbered}) s ON {same}"))


def _repetitions(held: Rows, axes: Sequence[str], value: str, pooled: bool) -> str:
    """The question for the mean of each cell and combination of seeds, of those that have every setting of the cell."""
    keys = _list([*axes, *held.seeds()])
    chosen = f"rows WHERE {finite(held, value)} AND {applies(axes)}"
    mean = f"favg(CAST({quoted(value)} AS DOUBLE)) AS _v"
    if not pooled or "trial_id" in held.seeds():  # a trial is one setting, and no repetition has them all
        return f"SELECT {keys}, {mean} FROM {chosen} GROUP BY {keys}"
    placed, settings = [a for a in axes if a != held.step], _distinct_settings(held, keys)
    groups = f"SELECT {', '.join([*map(quoted, placed), settings])} AS _all FROM {chosen} {_grouped(placed)}"
    joined = f"JOIN groups USING ({_list(placed)})" if placed else "CROSS JOIN groups"
    each = f"SELECT {keys}, {mean}, {settings} AS _own FROM {chosen} GROUP BY {keys}"
    return f"WITH groups AS ({groups}), own AS ({each}) SELECT {keys}, _v FROM own {joined} WHERE _own = _all"


def _distinct_settings(held: Rows, keys: str) -> str:
    """The expression that counts them; a bit for each is several times as fast as a set, where there is room for it."""
    [most] = held.sql("SELECT max(_setting) FROM rows").iloc[0]
    if most < WORD_BITS:
        return "bit_count(bit_or(CAST(1 AS UBIGINT) << _setting))"
    [groups] = held.sql(f"SELECT approx_count_distinct(hash({keys})) FROM rows").iloc[0]
    few = (most + 1) * groups <= MOST_BITS
    return f"bit_count(bitstring_agg(_setting, 0, {int(most)}))" if few else "count(DISTINCT _setting)"


def states(rows: Rows, axes: Sequence[str]) -> pd.DataFrame:
    """For each combination of the axes how many `_trials` there are, and how many `_diverged` and `_failed`."""
    counts = ", ".join(f"count(*) FILTER (state = '{s}') AS _{s}" for s in ("diverged", "failed"))
    named = ", ".join([*map(quoted, axes), "count(*) AS _trials", counts])
    return rows.sql(f"SELECT {named} FROM rows WHERE {applies(axes)} {_grouped(axes)}")


def _grouped(axes: Sequence[str]) -> str:
    return f"GROUP BY {_list(axes)}" if axes else ""


def joined(means: pd.DataFrame, counts: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Means beside the counts of `states`; a combination without a mean is there too."""
    frame = means.merge(counts, on=on, how="outer") if on else means.merge(counts, how="cross")
    whole = ["_n", "_trials", "_diverged", "_failed"]
    return frame.assign(**frame[whole].fillna(0).astype("int64"))


def _pooled(rows: Rows, axes: Sequence[str]) -> tuple[str, ...]:
    """Parameters that vary inside a cell; those that vary nowhere are told apart first, at little cost."""
    within = f"FROM rows WHERE state = 'done' AND {applies(axes)}"
    found = [p for p in rows.parameters() if p not in axes]
    for grouped in ("", _grouped(axes)):
        if found:
            spread = ", ".join(f"min({quoted(p)}) IS DISTINCT FROM max({quoted(p)}) AS {quoted(p)}" for p in found)
            varies = ", ".join(f"coalesce(bool_or({quoted(p)}), false) AS {quoted(p)}" for p in found)
            told = rows.sql(f"SELECT {varies} FROM (SELECT {spread} {within} {grouped})").iloc[0]
            found = [p for p in found if told[p]]
    return tuple(found)


def streams(rows: Rows) -> dict[str, int]:
    """Number of seeds of each random stream that has more than one."""
    names = [s for s in rows.seeds() if s.startswith("seed_")]
    if not names:
        return {}
    counts = ", ".join(f"count(DISTINCT {s}) AS {s.removeprefix('seed_')}" for s in names)
    found = rows.sql(f"SELECT {counts} FROM rows").iloc[0]
    return {str(name): int(count) for name, count in found.items() if count > 1}
