"""Compare the rows of a table within its columns: means over seeds, the best of a column, and what ties with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.data.cells import Cells, gather
from analysis.data.rows import Rows
from analysis.errors import AnalysisError, unknown
from analysis.statistics.differences import Compared, Difference, Place, by_place, of_iqms, of_means, place_of, settled
from analysis.statistics.intervals import Interval, Sample, bootstrap_interval, iqm_interval, mean_interval

BETTER = {
    "max": {"accuracy", "agreement", "auroc", "auc", "overlap", "fidelity", "similarity"},
    "min": {"mse", "loss", "error", "nll", "ece", "brier", "regret", "distance", "wall"},
}
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


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
class Entry:
    """One cell of the table.

    Args:
        n: seeds with a value; 0 where there is none.
        mean: the mean over seeds with its interval, whose bounds are NaN where n < 2.
        best: whether it is the best of its column or is not shown to differ from the best.
        difference: to the reference row, where there is one, and its test.
        diverged, failed: trials that ended so.
        settings, asked: how many settings of the parameters that are averaged over have a value, and how many trials
            there are of. Where all trials of a setting are lost, the cell is in no comparison.
    """

    n: int
    mean: Interval
    best: bool
    difference: Difference | None
    diverged: int
    failed: int
    settings: int = 1
    asked: int = 1


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
        pairings: how rows were compared: "paired", "Welch" or "unpaired", several or none.
        tests: how many comparisons what ties with the best was adjusted for, and how many those to the reference; 0
            where they were not.
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
    tests: tuple[int, int] = (0, 0)

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
        correct: "holm" adjusts what ties with the best for all comparisons of the table, and so the differences to
            the reference.
    Raises:
        AnalysisError: a column is unknown or named twice, or the value not a number.
    """
    if len({*axes, value}) < 3:
        columns = f" --columns {axes[1]}" if axes[1] else ""
        raise AnalysisError(f"--rows {axes[0]}{columns} --value {value}: each needs a column of its own.")
    cells = gather(rows, [a for a in axes if a is not None], value)
    sides = Side.of(cells, axes[0]), Side.of(cells, axes[1])
    target, better = _reference(sides[0], reference), better or direction(value)
    found = {place_of(r, cells): r for r in cells.frame.to_dict("records")}
    samples = {place: Sample(r["_free"], r["_mean"], r["_sd"]) for place, r in found.items() if r["_n"] > 0}
    means = _means(cells, samples, interval)
    whole = {place: means[place] for place in samples if found[place]["_settings"] == found[place]["_asked"]}
    champions = _champions(whole, better)
    targets = {} if reference is None else {column: target for row, column in whole if row == target}
    to_best, to_target = (
        settled(_compared(cells, samples, whole, rows_, interval), correct is not None)
        for rows_ in (champions, targets)
    )
    entries = {
        place: Entry(
            n=r["_n"],
            mean=means.get(place, UNKNOWN),
            best=_is_best(place, champions, whole, to_best),
            difference=to_target.get(place),
            diverged=r["_diverged"],
            failed=r["_failed"],
            settings=r["_settings"],
            asked=r["_asked"],
        )
        for place, r in found.items()
    }
    pairings = frozenset(d.how for d in [*to_best.values(), *to_target.values()] if d.how)
    counted = [sum(1 for d in told.values() if d.how) if correct else 0 for told in (to_best, to_target)]
    tests = counted[0], counted[1]
    return Comparison(value, rows.unit(value), *sides, entries, better, target, interval, pairings, cells, tests)


def direction(value: str) -> str | None:
    """Whether more ("max") or less ("min") of a value is better, by its name; None where the name does not say."""
    words = set(value.split("_"))
    return next((way for way, names in BETTER.items() if words & names), None)


def _reference(rows: Side, name: str | None) -> Any:
    if name is None:
        return None
    found = {str(v): v for v in rows.values}
    if name not in found:
        raise unknown(rows.name, name, found, f"--reference {name}")
    return found[name]


def _champions(means: Mapping[Place, Interval], better: str | None) -> dict[Any, Any]:
    """The row of the best mean in each column; empty where neither more nor less is better."""
    sign = {"max": 1, "min": -1}.get(better or "")
    if sign is None:
        return {}
    return {column: row for row, column in sorted(means, key=lambda place: sign * means[place].mean)}


def _is_best(
    place: Place, champions: Mapping[Any, Any], means: Mapping[Place, Interval], to_best: Mapping[Place, Difference]
) -> bool:
    """Whether it is as good as the best, or was compared with it and not shown to differ."""
    if place not in means or place[1] not in champions:
        return False
    tie = place in to_best and to_best[place].is_tie()
    return tie or means[place].mean == means[champions[place[1]], place[1]].mean


def _compared(
    cells: Cells,
    samples: Mapping[Place, Sample],
    places: Collection[Place],
    targets: Mapping[Any, Any],
    kind: str,
) -> dict[Place, Compared]:
    """Comparisons of `places` with the target row of their column."""
    if not targets:
        return {}
    found = of_iqms(cells, targets) if kind == "iqm" else of_means(cells, samples, targets)
    return {place: compared for place, compared in found.items() if place in places}


def _means(cells: Cells, samples: Mapping[Place, Sample], kind: str) -> dict[Place, Interval]:
    if kind == "t":
        return {place: mean_interval(sample) for place, sample in samples.items()}
    interval = iqm_interval if kind == "iqm" else bootstrap_interval
    return {place: interval(values.to_numpy()) for place, values in by_place(cells).items()}
