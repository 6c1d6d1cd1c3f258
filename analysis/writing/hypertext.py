"""A table in words as HTML: a page of its own, or a part of a notebook. It loads nothing, and styles nothing else."""

from __future__ import annotations

import html
from string import Template

from analysis.writing.tables import Said, Table, aside, comment, estimate

STYLE = """<style>
.tsd-table { margin: 0; font: 16px/1.45 Georgia, "Times New Roman", serif; color: inherit }
.tsd-table div { overflow-x: auto }
.tsd-table table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; margin: 0 }
.tsd-table caption { text-align: left; font-weight: bold; padding: .5rem 0; caption-side: top; color: inherit }
.tsd-table th, .tsd-table td {
  padding: .25rem .9rem; text-align: right; font-weight: normal; font-variant-numeric: tabular-nums;
  white-space: nowrap; background: none }
.tsd-table th:first-child, .tsd-table .aside { text-align: left }
.tsd-table th[colspan] { text-align: center }
.tsd-table .beside { padding-right: 0 }
.tsd-table .aside { padding-left: .35rem }
.tsd-table thead tr:last-child th { border-bottom: 1px solid }
.tsd-table figcaption { font-size: .85rem; opacity: .8; margin-top: .8rem }
</style>"""

PART = Template("""<figure class="tsd-table">
<div role="region" tabindex="0" aria-label="$title"><table>
<caption>$title</caption>
<thead>$head</thead>
<tbody>
$body
</tbody>
</table></div>
<figcaption>$notes</figcaption>
</figure>
$comment
""")

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>:root { color-scheme: light dark } body { margin: 2rem auto; padding: 0 1rem; max-width: 60rem }</style>
$style</head>
<body>
$figure</body></html>
""")


def page(table: Table) -> str:
    """A web page of its own."""
    return PAGE.substitute(title=html.escape(table.title), style=STYLE, figure=_figure(table))


def part(table: Table) -> str:
    """What a notebook shows, in the colours of its theme."""
    return f"{STYLE}\n{_figure(table)}"


def _figure(table: Table) -> str:
    apart = [any(aside(line[i]) for _, line in table.lines) for i in range(len(table.header))]
    above = f'<tr><td></td><th scope="col" colspan="{len(apart) + sum(apart)}">{html.escape(table.above)}</th></tr>'
    heads = [_head(name, two) for name, two in zip(table.header, apart, strict=True)]
    lines = [
        f'<tr><th scope="row">{html.escape(name)}</th>{"".join(map(_cell, cells, apart))}</tr>'
        for name, cells in table.lines
    ]
    return PART.substitute(
        title=html.escape(table.title),
        head=f'{above if table.above else ""}<tr><th scope="col">{html.escape(table.corner)}</th>{"".join(heads)}</tr>',
        body="\n".join(lines),
        notes=html.escape(table.notes),
        comment=comment(table),
    )


def _head(name: str, two: bool) -> str:
    span = ' colspan="2"' if two else ""
    return f'<th scope="col"{span}>{html.escape(name)}</th>'


def _cell(cell: Said, two: bool) -> str:
    """An estimate, and beside it a place for its difference and note where the column has any."""
    text = estimate(cell, html.escape, "<b>", "</b>")
    if not two:
        return f"<td>{text}</td>"
    return f'<td class="beside">{text}</td><td class="aside">{aside(cell, html.escape)}</td>'
