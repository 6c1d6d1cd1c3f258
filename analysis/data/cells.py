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
from analysis.data.spread import crossing, moments
from analysis.data.tally import Totals, applies, grouped, listed, states, streams, tally, totals
from analysis.errors import AnalysisError

SAMPLE = 100_000
"""Trials of which the first tell of most that varies inside a cell."""


@dataclass(frozen=True)
class Cells:
    """What rows say about a value.

    Args:
        frame: a row for each combination of the axes that occurs: the axes, `_n` seeds with a value, their `_mean`, its
            `_free` and `_sd` (see `moments`; of independent seeds n and their standard deviation), how many `_trials`
            there are, how many of them `_diverged` or `_failed`, how many settings of `pooled` they were `_asked`, and
            of how many `_settings` there is a value. No column of a study begins so.
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
        if self.totals.placeless == self.totals.trials:
            return f"No mean: no trial has a value of {' and '.join(map('`{}`'.format, self.axes))}."
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
    pooled, seeds = _pooled(rows.trials(), placed), rows.varying_seeds()
    trials = rows.held([*axes, value, *seeds, *pooled, "state", "trial_id"]) if rows.step else rows
    each = tally(trials, [*axes, *seeds], value, pooled)
    found = each.over(each.table(_repetitions(each, axes)))
    frame = joined(moments(found, axes, crossing(found)), states(each, placed), placed)
    frame = _with_settings(frame, each, placed, bool(pooled))
    frame = frame.sort_values(list(axes), ignore_index=True) if axes else frame
    lost = totals(trials if rows.step else each, placed, value)
    return Cells(frame, tuple(axes), value, found, lost, pooled, streams(each))


def seed_means(cells: Cells) -> pd.DataFrame:
    """The repetitions behind the cells: a row for each cell and combination of seeds, `_v` the mean of the value."""
    return cells.rows.sql("SELECT * FROM rows ORDER BY ALL")


def paired(cells: Cells, target: object) -> pd.DataFrame:
    """Each cell minus the one whose first axis is `target`: the `moments` of the differences of seeds in common."""
    each, seeds = listed([*cells.axes[1:], *cells.rows.seeds()]), cells.rows.seeds()
    differences = cells.rows.relation.query(
        "rows",
        f"SELECT {listed([*cells.axes, *seeds])}, a._v - b._v AS _v FROM rows a "
        f"JOIN (SELECT {each}, _v FROM rows WHERE {quoted(cells.axes[0])} = {literal(target)}) b USING ({each})",
    )
    assert differences is not None, "a question has an answer"
    return moments(cells.rows.over(differences), cells.axes, crossing(cells.rows))


def _repetitions(each: Rows, axes: Sequence[str]) -> str:
    """The question for the mean of each cell and combination of seeds, of those that have every setting of the cell."""
    keys, chosen = listed([*axes, *each.seeds()]), f"rows WHERE _known AND {applies(axes)}"
    if not _numbered(each) or "trial_id" in each.seeds():  # a trial is one setting, and no repetition has them all
        return f"SELECT {keys}, _sum / _k AS _v FROM {chosen}"
    mean = f"SELECT {keys}, fsum(_sum) / sum(_k) AS _v"
    placed = [a for a in axes if a != each.step]
    words = f"SELECT {listed([*placed, '_word'])}, bit_or(_bits) AS _bits FROM {chosen} {grouped([*placed, '_word'])}"
    cells = ", ".join([*map(quoted, placed), "sum(bit_count(_bits)) AS _all"])
    return (
        f"WITH cells AS (SELECT {cells} FROM ({words}) {grouped(placed)}), "
        f"own AS ({mean}, sum(bit_count(_bits)) AS _own FROM {chosen} GROUP BY {keys}) SELECT {keys}, _v FROM own "
        f"{f'JOIN cells USING ({listed(placed)})' if placed else 'CROSS JOIN cells'} WHERE _own = _all"
    )


def joined(means: pd.DataFrame, counts: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Means beside the counts of `states`; a combination without a mean is there too."""
    if on and len(counts):  # pandas cannot join nothing by several columns of words
        frame = means.merge(counts, on=on, how="outer")
    else:
        frame = means.merge(counts.drop(columns=on), how="cross")
    whole = ["_n", "_trials", "_diverged", "_failed"]
    return frame.assign(**frame[whole].fillna(0).astype("int64"))


def _with_settings(frame: pd.DataFrame, each: Rows, axes: list[str], pooled: bool) -> pd.DataFrame:
    """The cells with the number of settings of their trials, and of those that have a value."""
    if not _numbered(each):
        number = int(each.sql("SELECT max(_k) AS k FROM rows")["k"].iloc[0]) if pooled else 1
        return frame.assign(_asked=number, _settings=number)
    bits = "bit_or(_bits) AS _all, coalesce(bit_or(_bits) FILTER (_known), 0) AS _own"
    words = f"SELECT {listed([*axes, '_word'])}, {bits} FROM rows WHERE {applies(axes)} {grouped([*axes, '_word'])}"
    count = "CAST(sum(bit_count({})) AS BIGINT) AS {}".format
    counts = f"{count('_all', '_asked')}, {count('_own', '_settings')}"
    settings = each.sql(f"SELECT {', '.join([*map(quoted, axes), counts])} FROM ({words}) {grouped(axes)}")
    return frame.merge(settings, on=axes, how="left") if axes else frame.merge(settings, how="cross")


def _numbered(each: Rows) -> bool:
    """Whether settings have numbers: where each repetition has all of them, they need none."""
    return "_bits" in each.relation.columns


def _pooled(trials: Rows, axes: Sequence[str]) -> tuple[str, ...]:
    """Parameters that vary inside a cell. The first trials tell of most of them that they do, at little cost."""
    names = [p for p in trials.parameters() if p not in axes]
    done = trials.over(trials.relation.filter(f"state = 'done' AND {applies(axes)}"))
    seen = _varying(done.over(done.relation.limit(SAMPLE)), names, axes)
    unseen = done.differing([p for p in names if p not in seen])
    found = [*seen, *_varying(done, unseen, axes)]
    return tuple(p for p in names if p in found)


def _varying(done: Rows, names: Sequence[str], axes: Sequence[str]) -> list[str]:
    """Those of `names` that have several values inside a cell."""
    if not names:
        return []
    spread = ", ".join(f"min({quoted(p)}) IS DISTINCT FROM max({quoted(p)}) AS {quoted(p)}" for p in names)
    varies = ", ".join(f"coalesce(bool_or({quoted(p)}), false) AS {quoted(p)}" for p in names)
    told = done.sql(f"SELECT {varies} FROM (SELECT {spread} FROM rows {grouped(axes)})").iloc[0]
    return [p for p in names if told[p]]
