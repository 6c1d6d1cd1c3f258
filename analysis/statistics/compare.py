"""Compare the rows of a table within its columns: means over seeds, the best of a column, and what ties with it.

Equal seeds mean equal draws for every method, so two rows are compared seed by seed where they share two seeds or
more; else by Welch's interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.data.cells import Cells, gather, paired, seed_means
from analysis.data.rows import Rows
from analysis.errors import unknown
from analysis.statistics.intervals import (
    LEVEL,
    Interval,
    Sample,
    bootstrap_interval,
    holm,
    iqm_interval,
    mean_interval,
    mean_p,
    welch_interval,
    welch_p,
)

BETTER = {
    "max": {"accuracy", "agreement", "auroc", "auc", "overlap", "fidelity", "similarity"},
    "min": {"mse", "loss", "error", "nll", "ece", "brier", "regret", "distance", "wall"},
}
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))
Place = tuple[Any, Any]


@dataclass(frozen=True)
class Side:
    """The rows or the columns of a table. One column, of the value itself, has no name and the value None."""

    name: str = ""
    unit: str = ""
    values: tuple[Any, ...] = (None,)

    @classmethod
    def of(cls, cells: Cells, name: str | None) -> Side:
        """One of the axes of `cells`, if it has a name."""
        return cls(name, cells.rows.unit(name), tuple(cells.values(name))) if name else cls()


@dataclass(frozen=True)
class Difference:
    """One place minus another. `how` is "paired", "Welch", or "" where seeds are too few to tell; `p` of its test."""

    interval: Interval
    how: str
    p: float

    def is_tie(self) -> bool:
        """Whether the two were compared and not shown to differ."""
        return self.how != "" and not self.p < 1 - LEVEL


@dataclass(frozen=True)
class Entry:
    """One cell of the table.

    Args:
        n: seeds with a value; 0 where there is none.
        mean: the mean over seeds with its interval, whose bounds are NaN where n < 2.
        best: whether it is the best of its column or is not shown to differ from the best.
        difference: to the reference row, where there is one.
        diverged, failed: trials that ended so.
    """

    n: int
    mean: Interval
    best: bool
    difference: Interval | None
    diverged: int
    failed: int


@dataclass(frozen=True)
class Comparison:
    """A table of means.

    Args:
        value, unit: what is compared.
        rows, columns: its sides.
        entries: by (row, column); a place without trials has none.
        better: "max" or "min"; None where neither is better.
        reference: the row that differences are to; None where there is none.
        interval: "t", "bootstrap" or "iqm".
        pairings: how rows were compared: "paired", "Welch", both or neither.
        tests: how many comparisons what ties with the best was adjusted for; 0 where it was not.
        cells: the aggregated rows behind it.
    """

    value: str
    unit: str
    rows: Side
    columns: Side
    entries: dict[Place, Entry]
    better: str | None
    reference: Any
    interval: str
    pairings: frozenset[str]
    cells: Cells
    tests: int = 0

    def missing(self) -> int:
        """Places in which no trial ran."""
        return len(self.rows.values) * len(self.columns.values) - len(self.entries)


def compare(
    rows: Rows,
    axes: tuple[str, str | None],
    value: str,
    *,
    better: str | None,
    reference: str | None,
    interval: str,
    correct: str | None = None,
) -> Comparison:
    """The table of `value` over (rows, columns).

    Args:
        correct: "holm" adjusts what ties with the best for all comparisons of the table.
    Raises:
        AnalysisError: a column is unknown or the value not a number.
    """
    cells = gather(rows, [a for a in axes if a], value)
    sides = Side.of(cells, axes[0]), Side.of(cells, axes[1])
    target, better = _reference(sides[0], reference), better or direction(value)
    found = {_place(r, cells): r for r in cells.frame.to_dict("records")}
    samples = {place: Sample(r["_n"], r["_mean"], r["_sd"]) for place, r in found.items() if r["_n"] > 0}
    champions = _champions(samples, better)
    to_best = _differences(cells, samples, champions)
    to_best = _adjusted(to_best) if correct else to_best
    to_target = _differences(cells, samples, dict.fromkeys(sides[1].values, target) if reference else {})
    means = _means(cells, samples, interval)
    entries = {
        place: Entry(
            n=r["_n"],
            mean=means.get(place, UNKNOWN),
            best=champions.get(place[1]) == place[0] or (place in to_best and to_best[place].is_tie()),
            difference=to_target[place].interval if place in to_target else None,
            diverged=r["_diverged"],
            failed=r["_failed"],
        )
        for place, r in found.items()
    }
    pairings = frozenset(d.how for d in [*to_best.values(), *to_target.values()] if d.how)
    tests = sum(1 for d in to_best.values() if d.how) if correct else 0
    return Comparison(value, rows.unit(value), *sides, entries, better, target, interval, pairings, cells, tests)


def direction(value: str) -> str | None:
    """Whether more ("max") or less ("min") of a value is better, by its name; None where the name does not say."""
    words = set(value.split("_"))
    return next((way for way, names in BETTER.items() if words & names), None)


def _place(record: dict[Any, Any], cells: Cells) -> Place:
    return record[cells.axes[0]], record[cells.axes[1]] if cells.axes[1:] else None


def _reference(rows: Side, name: str | None) -> Any:
    if name is None:
        return None
    found = {str(v): v for v in rows.values}
    if name not in found:
        raise unknown(rows.name, name, found, f"--reference {name}")
    return found[name]


def _champions(samples: dict[Place, Sample], better: str | None) -> dict[Any, Any]:
    """The row of the best mean in each column; empty where neither more nor less is better."""
    sign = {"max": 1, "min": -1}.get(better or "")
    if sign is None:
        return {}
    return {column: row for row, column in sorted(samples, key=lambda place: sign * samples[place].mean)}


def _differences(cells: Cells, samples: dict[Place, Sample], targets: dict[Any, Any]) -> dict[Place, Difference]:
    """Every place minus the target row of its column."""
    found: dict[Place, Difference] = {}
    for target in set(targets.values()):
        records = paired(cells, target).to_dict("records")
        shared = {_place(r, cells): Sample(r["_n"], r["_mean"], r["_sd"]) for r in records}
        for (row, column), sample in samples.items():
            other = samples.get((target, column))
            if other and row != target and targets.get(column) == target:
                found[row, column] = _difference(sample, other, shared.get((row, column)))
    return found


def _difference(sample: Sample, other: Sample, shared: Sample | None) -> Difference:
    if shared and shared.n > 1:
        return Difference(mean_interval(shared), "paired", mean_p(shared))
    welch = welch_interval(sample, other)
    return Difference(welch, "Welch" if np.isfinite(welch.low) else "", welch_p(sample, other))


def _adjusted(found: dict[Place, Difference]) -> dict[Place, Difference]:
    tested = [place for place, difference in found.items() if difference.how]
    p = holm([found[place].p for place in tested])
    return found | {place: replace(found[place], p=p_) for place, p_ in zip(tested, p, strict=True)}


def _means(cells: Cells, samples: dict[Place, Sample], kind: str) -> dict[Place, Interval]:
    if kind == "t":
        return {place: mean_interval(sample) for place, sample in samples.items()}
    groups = seed_means(cells).groupby(list(cells.axes))["_v"]
    interval = iqm_interval if kind == "iqm" else bootstrap_interval
    return {(key[0], key[1] if cells.axes[1:] else None): interval(v) for key, v in groups}
