"""A table in words, written as Markdown, LaTeX (booktabs) or HTML for readers, and as CSV for programs.

The first three are rounded. CSV has a line for each cell with twelve digits: sums over seeds run in any order, so the
last digits of a double may differ from run to run. All end with a comment that holds the provenance as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from analysis.data.published import Beside, title
from analysis.data.rows import Source
from analysis.statistics.compare import UNKNOWN, Comparison, Entry
from analysis.statistics.differences import Difference
from analysis.statistics.intervals import LEVEL, Interval
from analysis.writing import files

SPECIAL = re.compile(r"[\\|*<`~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#|\w+;)|(?<=\])\(")
"""What Markdown would read: also a dollar, which begins a formula, and a bracket that would make a link."""
NO_TRIAL = Entry(0, UNKNOWN, False, None, 0, 0)


@dataclass(frozen=True)
class Said:
    """One cell in words: the estimate, its difference to the reference, and what is to be noted (lost trials)."""

    text: str
    difference: str = ""
    note: str = ""
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A comparison in words.

    Args:
        title: what is shown.
        corner: name of the rows.
        above: name of the columns; "" where there is one column, of the value.
        header: names of the columns.
        lines: name of each row and its cells.
        notes: what stands under it.
        facts: its provenance as JSON.
    """

    title: str
    corner: str
    above: str
    header: list[str]
    lines: list[tuple[str, list[Said]]]
    notes: str
    facts: str

    def _repr_html_(self) -> str:
        from analysis.writing.hypertext import part

        return part(self)


def publish(table: Table, numbers: str, paths: Sequence[Path]) -> None:
    """Write the table to each path in the format of its name, `numbers` as CSV; print it as Markdown without a path."""
    for path in paths:
        text = numbers + files.comment(table.facts) if path.suffix == ".csv" else _text(table, path)
        with files.written(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if not paths:
        print(markdown(table))


def markdown(table: Table) -> str:
    """A GitHub table under its title."""
    corner = f"{table.corner} \\ {table.above}" if table.above else table.corner
    lines = [[_md(corner), *map(_md, table.header)], [":--", *["--:"] * len(table.header)]]
    for name, cells in table.lines:
        told = [f"{estimate(cell, _md, '**', '**')} {aside(cell, _md)}".rstrip() for cell in cells]
        lines.append([_md(name), *told])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{_md(table.title)}**\n\n{body}\n\n{_md(table.notes)}\n\n{comment(table)}\n"


def comma_separated(comparison: Comparison, source: Source, published: Beside | None = None) -> str:
    """A line for each cell, with twelve digits; what does not exist is empty. Published values come last."""
    sides = [side.name for side in (comparison.rows, comparison.columns) if side.name]
    difference = ["difference", "difference_low", "difference_high", "difference_p", "difference_how"]
    about = ["value", "unit", "interval", "level", "sweep", "git_sha"]
    places = published.places if published else {}
    theirs = [*map(title, places), "published_in"] if published else []
    lines: list[list[object]] = [
        [*sides, "seeds", "mean", "low", "high", "best", *difference, "diverged", "failed", *about, *theirs]
    ]
    known = [comparison.value, comparison.unit, comparison.interval, LEVEL, source.sweep, " ".join(source.git_sha)]
    for place in product(comparison.rows.values, comparison.columns.values):
        entry, printed = comparison.entries.get(place), [found.get(place, "") for found in places.values()]
        if entry or any(v != "" for v in printed):
            beside = [*printed, published.source] if published else []
            lines.append([*place[: len(sides)], *_numbers(entry or NO_TRIAL), *known, *beside])
    return "".join(f"{','.join(map(_field, line))}\n" for line in lines)


def _text(table: Table, path: Path) -> str:
    from analysis.writing.hypertext import page
    from analysis.writing.latex import latex

    if path.suffix == ".tex":
        return latex(table, path.stem)
    return page(table) if path.suffix == ".html" else markdown(table)


def _field(value: object) -> str:
    """What holds a # is quoted too, so that a reader who passes over comments does not cut it off."""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if re.search('[,"#\r\n]', text) else text


def _numbers(entry: Entry) -> list[object]:
    told = [entry.n, *_bounds(entry.mean), entry.best, *_difference(entry.difference)]
    return [*told, entry.diverged, entry.failed]


def estimate(cell: Said, escape: Callable[[str], str] = str, start: str = "", end: str = "") -> str:
    """The estimate, in bold between `start` and `end`."""
    return f"{start}{escape(cell.text)}{end}" if cell.bold else escape(cell.text)


def aside(cell: Said, escape: Callable[[str], str] = str) -> str:
    """The difference in brackets, then the note."""
    return " ".join(f"({escape(part)})" for part in (cell.difference, cell.note) if part)


def comment(table: Table) -> str:
    """Its provenance as a comment of HTML."""
    # Two dashes would end the comment; in JSON they may as well be escaped.
    facts = table.facts.replace("--", r"\u002d\u002d")
    return f"<!-- tsd: {facts} -->"


def _md(text: str) -> str:
    """Text that Markdown shows as it stands, on one line. Inside of words it leaves underscores alone, and so do we."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _difference(found: Difference | None) -> list[str]:
    if found is None:
        return ["", "", "", "", ""]
    return [*_bounds(found.interval), f"{found.p:.6g}" if np.isfinite(found.p) else "", found.how]


def _bounds(interval: Interval) -> list[str]:
    return [f"{v:.12g}" if np.isfinite(v) else "" for v in (interval.mean, interval.low, interval.high)]
