"""A table as Markdown, LaTeX (booktabs) or HTML for readers, and as CSV for programs.

The first three are rounded. CSV has a line for each cell with twelve digits: sums over seeds run in any order, so the
last digits of a double may differ from run to run. All end with a comment that holds the provenance as JSON.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from string import Template

import numpy as np

from analysis.data.published import Beside, title
from analysis.data.rows import Source
from analysis.naming import LOWERED, RAISED
from analysis.statistics.compare import Comparison
from analysis.statistics.differences import Difference
from analysis.statistics.intervals import LEVEL, Interval
from analysis.writing import files

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''",
    "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "–": "--",
    "…": r"\ldots{}",
}  # fmt: skip

LONGEST_LINE = 130
"""Letters of a line of a LaTeX table, some four fifths of its size when it is shrunk to the page."""

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 16px/1.45 Georgia, "Times New Roman", serif; color: #1a1a1a; margin: 2rem auto; padding: 0 1rem;
       max-width: 60rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid }
th, td { padding: .25rem .9rem; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
th { font-weight: normal }
th:first-child { text-align: left }
th[colspan] { text-align: center }
td:nth-child(even) { padding-right: 0 }
td:nth-child(odd) { padding-left: .35rem; text-align: left }
thead tr:last-child th { border-bottom: 1px solid }
p { font-size: .85rem; color: #555 }
</style></head>
<body>
<h3>$title</h3>
<div class="wide"><table>
<thead>$head</thead>
<tbody>
$body
</tbody>
</table></div>
<p>$notes</p>
$comment
</body></html>
""")


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
        return page(self)


def publish(table: Table, numbers: str, paths: Sequence[Path]) -> None:
    """Write the table to each path in the format of its name, `numbers` as CSV; print it as Markdown without a path."""
    for path in paths:
        text = numbers + files.comment(table.facts) if path.suffix == ".csv" else WRITERS[path.suffix](table)
        with files.written(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if not paths:
        print(markdown(table))


def markdown(table: Table) -> str:
    """A GitHub table under its title."""
    corner = f"{table.corner} \\ {table.above}" if table.above else table.corner
    lines = [[_md(corner), *map(_md, table.header)], [":--", *["--:"] * len(table.header)]]
    for name, cells in table.lines:
        lines.append([_md(name), *(_whole(cell, _md, "**", "**") for cell in cells)])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"**{_md(table.title)}**\n\n{body}\n\n{_md(table.notes)}\n\n{_comment(table)}\n"


def latex(table: Table) -> str:
    r"""A float with booktabs rules, ready for \input; needs \usepackage{booktabs,graphicx}.

    What is wider than a line is shrunk to it; many columns stand in blocks below each other.
    """
    caption = rf"\caption{{{tex(table.title)}. {tex(table.notes)}}}"
    parts = [
        r"\begin{table}[tb]", r"\centering", caption, r"\smallskip\small",
        "\n\\medskip\n\n".join(_tabular(table, block) for block in _blocks(table)),
        r"\end{table}", f"% needs booktabs and graphicx\n% tsd: {table.facts}", "",
    ]  # fmt: skip
    return "\n".join(parts)


def page(table: Table) -> str:
    """A web page of its own; it loads nothing."""
    above = f'<tr><th></th><th colspan="{2 * len(table.header)}">{html.escape(table.above)}</th></tr>'
    head = f"<th>{html.escape(table.corner)}</th>"
    head += "".join(f'<th colspan="2">{html.escape(name)}</th>' for name in table.header)
    lines = []
    for name, cells in table.lines:
        parts = [(_estimate(cell, html.escape, "<b>", "</b>"), _aside(cell, html.escape)) for cell in cells]
        inside = "".join(f"<td>{estimate}</td><td>{aside}</td>" for estimate, aside in parts)
        lines.append(f"<tr><th>{html.escape(name)}</th>{inside}</tr>")
    return PAGE.substitute(
        title=html.escape(table.title),
        head=f"{above if table.above else ''}<tr>{head}</tr>",
        body="\n".join(lines),
        notes=html.escape(table.notes),
        comment=_comment(table),
    )


def comma_separated(comparison: Comparison, source: Source, published: Beside | None = None) -> str:
    """A line for each cell, with twelve digits; what does not exist is empty. Published values come last."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    sides = [side.name for side in (comparison.rows, comparison.columns) if side.name]
    difference = ["difference", "difference_low", "difference_high", "difference_p"]
    about = ["value", "unit", "interval", "level", "sweep", "git_sha"]
    places = published.places if published else {}
    theirs = [*map(title, places), "published_in"] if published else []
    writer.writerow(
        [*sides, "seeds", "mean", "low", "high", "best", *difference, "diverged", "failed", *about, *theirs]
    )
    known = [comparison.value, comparison.unit, comparison.interval, LEVEL, source.sweep, " ".join(source.git_sha)]
    for place in product(comparison.rows.values, comparison.columns.values):
        entry = comparison.entries.get(place)
        if entry:
            told = [entry.n, *_bounds(entry.mean), entry.best, *_difference(entry.difference)]
            beside = [*(found.get(place, "") for found in places.values()), published.source] if published else []
            writer.writerow([*place[: len(sides)], *told, entry.diverged, entry.failed, *known, *beside])
    return out.getvalue()


def tex(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    escaped = "".join(TEX.get(letter, letter) for letter in text)
    return re.sub(f"[{RAISED}]+", lambda found: f"$^{{{found[0].translate(LOWERED)}}}$", escaped)


WRITERS: dict[str, Callable[[Table], str]] = {".md": markdown, ".tex": latex, ".html": page}


def _blocks(table: Table) -> list[slice]:
    """The columns that stand side by side, so that no line is much longer than a page is wide."""
    names = max(len(text) for text in (table.corner, *(name for name, _ in table.lines)))
    widths = [
        2 + max(len(head), *(len(_whole(line[i], str, "", "")) for _, line in table.lines))
        for i, head in enumerate(table.header)
    ]
    starts, room = [0], LONGEST_LINE - names
    for i, width in enumerate(widths):
        if width > room and i > starts[-1]:
            starts.append(i)
            room = LONGEST_LINE - names
        room -= width
    return [slice(a, b) for a, b in pairwise([*starts, len(widths)])]


def _tabular(table: Table, block: slice) -> str:
    columns = len(table.header[block])
    above = rf" & \multicolumn{{{columns}}}{{c}}{{{tex(table.above)}}} \\ \cmidrule(l){{2-{columns + 1}}}"
    lines = [[tex(table.corner), *map(tex, table.header[block])]]
    for name, cells in table.lines:
        lines.append([tex(name), *(_whole(cell, tex, r"\textbf{", "}") for cell in cells[block])])
    head, *body = [rf"{' & '.join(line)} \\" for line in lines]
    parts = [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * columns}}}", r"\toprule", *([above] if table.above else []), head, r"\midrule",
        *body, r"\bottomrule", r"\end{tabular}}",
    ]  # fmt: skip
    return "\n".join(parts)


def _whole(cell: Said, escape: Callable[[str], str], start: str, end: str) -> str:
    return f"{_estimate(cell, escape, start, end)} {_aside(cell, escape)}".rstrip()


def _estimate(cell: Said, escape: Callable[[str], str], start: str, end: str) -> str:
    return f"{start}{escape(cell.text)}{end}" if cell.bold else escape(cell.text)


def _aside(cell: Said, escape: Callable[[str], str]) -> str:
    """The difference in brackets, then the note."""
    return " ".join(f"({escape(part)})" for part in (cell.difference, cell.note) if part)


def _md(text: str) -> str:
    return re.sub(r"([\\|*<`])", r"\\\1", text)


def _comment(table: Table) -> str:
    # Two dashes would end the comment; in JSON they may as well be escaped.
    facts = table.facts.replace("--", r"\u002d\u002d")
    return f"<!-- tsd: {facts} -->"


def _difference(found: Difference | None) -> list[str]:
    if found is None:
        return ["", "", "", ""]
    return [*_bounds(found.interval), f"{found.p:.6g}" if np.isfinite(found.p) else ""]


def _bounds(interval: Interval) -> list[str]:
    return [f"{v:.12g}" if np.isfinite(v) else "" for v in (interval.mean, interval.low, interval.high)]
