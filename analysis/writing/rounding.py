"""A comparison in words: every number rounded to what its interval supports.

Half of an interval is told with two digits, the mean with as many decimals, alike down a column. A column that spans
more than three powers of ten has one of its own in each cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from analysis.data.published import Beside, title
from analysis.naming import RAISE, label
from analysis.statistics.compare import Comparison, Entry
from analysis.statistics.intervals import Interval
from analysis.writing.provenance import Provenance
from analysis.writing.tables import Said, Table

NOTHING = "–"
NAMELESS = "(empty)"
EXACT = 1e-12
"""Of a mean what rounding may leave where all seeds agree."""
BETTER = {"max": "; higher is better", "min": "; lower is better", None: ""}


def in_words(comparison: Comparison, provenance: Provenance, published: Beside | None = None) -> Table:
    """The table that is printed. A cell tells its n where that is less than the others'.

    Args:
        published: values that get rows of their own, each under the row of ours that it belongs to.
    """
    most = max((e.n for e in comparison.entries.values()), default=0)
    down = {
        column: _column([comparison.entries.get((row, column)) for row in comparison.rows.values], most)
        for column in comparison.columns.values
    }
    rows, columns, value = comparison.rows, comparison.columns, label(comparison.value, comparison.unit)
    by = " and ".join(label(side.name) for side in (rows, columns) if side.name)
    return Table(
        title=_sentence(f"{value} by {by}{BETTER[comparison.better]}"),
        corner=label(rows.name, rows.unit),
        above=label(columns.name, columns.unit) if columns.name else "",
        header=[named(column) for column in down] if columns.name else [value],
        lines=[
            line
            for i, row in enumerate(rows.values)
            for line in [(named(row), [cells[i] for cells in down.values()]), *_published(published, row, down)]
        ],
        notes=provenance.text(),
        facts=provenance.json(),
    )


@dataclass(frozen=True)
class Rounding:
    """How the numbers of one column are written. `decimals` is None where each number takes its own power of ten."""

    decimals: int | None

    @classmethod
    def of(cls, intervals: Sequence[Interval]) -> Rounding:
        """The rounding that suits all of `intervals`."""
        sizes = [size for i in intervals if (size := max(abs(i.mean), i.half)) > 0]
        halves = [i.half for i in intervals if i.half > EXACT * abs(i.mean)]
        if not sizes or max(sizes) > 1000 * min(sizes) or max(sizes) >= 1e6 or max(sizes) < 1e-4:
            return cls(None if sizes else 0)
        if not halves:
            return cls(max(0, 3 - _power(max(sizes))))
        usual, least = 1 - _power(float(np.median(halves))), -_power(min(halves))
        return cls(min(8, max(0, usual, min(least, usual + 2))))

    def text(self, interval: Interval, signed: bool = False) -> str:
        """A mean with its interval: "0.812 ± 0.004", or "0.812 [0.807, 0.815]" where that is not even."""
        mean, low, high = interval.mean, interval.low, interval.high
        if self.decimals is not None:
            return _bounded(mean, low, high, self.decimals, signed)
        size = max(abs(mean), interval.half)
        power = _power(size) if size else 0
        half = (high - low) / 2 / 10.0**power
        decimals = min(4, max(1, 1 - _power(half))) if half > 0 else 2
        text = _bounded(mean / 10.0**power, low / 10.0**power, high / 10.0**power, decimals, signed)
        return text if power == 0 else f"{f'({text})' if half > 0 else text} × 10{str(power).translate(RAISE)}"


def bounded(interval: Interval) -> str:
    """An estimate of any sign between bounds that may be far apart, each with two digits: "0.57 [0, 30]"."""
    size = max(abs(interval.mean), abs(interval.high))
    power = _power(size) if size else 0
    power = 0 if -4 < power < 5 else power
    mean, low, high = (_significant(v / 10.0**power) for v in (interval.mean, interval.low, interval.high))
    text = f"{mean} [{low}, {high}]"
    return f"({text}) × 10{str(power).translate(RAISE)}" if power else text


def _column(entries: Sequence[Entry | None], most: int) -> list[Said]:
    present = [e for e in entries if e and e.n]
    rounding = Rounding.of([e.mean for e in present])
    differences = Rounding.of([e.difference.interval for e in present if e.difference])
    return [_said(entry, rounding, differences, most) for entry in entries]


def _said(entry: Entry | None, rounding: Rounding, differences: Rounding, most: int) -> Said:
    if entry is None:
        return Said(NOTHING, note="no trial")
    lost = [f"{count} {state}" for count, state in ((entry.diverged, "diverged"), (entry.failed, "failed")) if count]
    if not entry.n:
        return Said(NOTHING, note=", ".join(lost) or "no value")
    return Said(
        text=rounding.text(entry.mean),
        difference=differences.text(entry.difference.interval, signed=True) if entry.difference else "",
        note=", ".join([*([f"n = {entry.n}"] if entry.n < most else []), *lost, *_settings(entry)]),
        bold=entry.best,
    )


def _settings(entry: Entry) -> list[str]:
    return [f"{entry.settings} of {entry.asked} settings"] if entry.settings < entry.asked else []


def _published(published: Beside | None, row: Any, columns: Iterable[Any]) -> list[tuple[str, list[Said]]]:
    """A line for each reading that has a value in this row."""
    readings = published.places.items() if published else ()
    return [
        (f"{named(row)}, {title(reading)}", [Said(_printed(places.get((row, column)))) for column in columns])
        for reading, places in readings
        if any(at[0] == row for at in places)
    ]


def _printed(value: Decimal | None) -> str:
    return "" if value is None else f"{value:f}".replace("-", "−")


def _bounded(mean: float, low: float, high: float, decimals: int, signed: bool) -> str:
    centre = _fixed(mean, decimals, "+" if signed else "-")
    if math.isnan(low):
        return centre
    if math.isclose(high - mean, mean - low, rel_tol=1e-6, abs_tol=10.0 ** -(decimals + 6)):
        return f"{centre} ± {_fixed(high - mean, decimals)}"
    return f"{centre} [{_fixed(low, decimals)}, {_fixed(high, decimals)}]"


def _fixed(value: float, decimals: int, sign: str = "-") -> str:
    return f"{value:{sign}z.{decimals}f}".replace("-", "−")


def _significant(value: float) -> str:
    decimals = 1 - _power(value) if value else 0
    return _fixed(round(value, decimals), max(0, decimals))


def _power(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def named(value: object) -> str:
    """A value of a column as its row or column is called, on one line."""
    if not isinstance(value, float):
        return " ".join(str(value).split()) or NAMELESS
    digits, _, power = f"{value:.6g}".partition("e")
    raised = f"10{str(int(power)).translate(RAISE)}" if power else ""
    return " × ".join(part for part in (digits if digits != "1" or not power else "", raised) if part).replace("-", "−")
