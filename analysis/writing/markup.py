"""The sections of a report as HTML. Every word of a results folder goes through `html.escape`."""

from __future__ import annotations

import html
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.drawing.overview import Picture
from analysis.writing import hypertext
from analysis.writing.asked import Asked
from tsd.words import counted, number


@dataclass(frozen=True)
class Column:
    """A column of a table in words.

    Args:
        name: what conditions of the filter call it.
        title: what stands above it.
        words: its cells.
        worth: the numbers behind them, by which the column is sorted and filtered; None where it holds words.
    """

    name: str
    title: str
    words: Sequence[str]
    worth: Sequence[float] | None = None


@dataclass(frozen=True)
class Failure:
    """Failed trials of one cause: their error and its last line, how many, what all of them share, and one trace."""

    error: str
    says: str
    trials: int
    shared: str
    example: str
    trace: str


def escaped(words: object) -> str:
    """Words as HTML shows them; half a surrogate pair, which no file can hold, as a question mark."""
    return html.escape(str(words).encode("utf-8", "replace").decode())


def heading(name: str, question: str) -> str:
    """The question of a sweep under its name, "" where the page is called so."""
    title = f"<h2>{escaped(name)}</h2>" if name else ""
    asked = f'<p class="question">{escaped(question)}</p>' if question else ""
    return f"<div>{title}{asked}</div>"


def coverage(states: Mapping[str, int], missing: int, facts: Sequence[tuple[str, str]]) -> str:
    """How many trials ended in which state, in words and as a bar, and what is known of the sweep."""
    counts = {state: n for state, n in {**states, "missing": missing}.items() if n}
    total = sum(counts.values())
    said = ", ".join(f"{number(n)} {state}" for state, n in counts.items())
    bars = "".join(f'<b class="{state}" style="width:{100 * n / total:.3f}%"></b>' for state, n in counts.items())
    known = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(words)}</dd>" for name, words in facts if words)
    trials = f"{counted(total, 'trial')}: {said}."
    return f'<div><p>{trials}</p><div class="bar" aria-hidden="true">{bars}</div><dl class="facts">{known}</dl></div>'


def figures(made: Asked, pictures: Sequence[Picture]) -> str:
    """What the sweep asks for itself, and the figures at a glance with the words over their marks."""
    parts = [_figures("Figures of the sweep", made.pictures, footed=True)]
    parts += [hypertext.STYLE if made.tables else "", *made.tables.values()]
    parts += [
        f'<p class="small">Not made: <code>{escaped(line)}</code> – {escaped(why)}</p>' for line, why in made.refused
    ]
    parts.append(_figures("At a glance" if made.pictures else "Figures", pictures))
    return f"<div>{''.join(parts)}</div>"


def _figures(title: str, pictures: Sequence[Picture], footed: bool = False) -> str:
    drawn = "".join(_figure(picture, footed) for picture in pictures)
    return f'<h3>{title}</h3><div class="figures">{drawn}</div>' if drawn else ""


def cells(columns: Sequence[Column], said: str, anchor: str) -> str:
    """The cells of a sweep under a filter; `said` is what their numbers are."""
    if not columns:
        return "<div></div>"
    example = f"{columns[0].name}={columns[0].words[0]}".replace(" ", "_")
    entry = (
        f'<input type="search" data-table="{anchor}" placeholder="filter, such as {escaped(example)}" '
        f'aria-label="filter: words that a row must hold, or conditions such as {escaped(example)}">'
    )
    return (
        f'<div><h3>Cells</h3><p class="small">{escaped(said)}</p>{entry} <output class="small"></output>'
        f"{table(columns, anchor)}</div>"
    )


def failures(causes: Sequence[Failure], anchor: str) -> str:
    """What failed, by cause, and a trace of each."""
    if not causes:
        return "<div></div>"
    columns = [
        Column("error", "error", [c.error for c in causes]),
        Column("trials", "trials", [str(c.trials) for c in causes], [c.trials for c in causes]),
        Column("shared", "all of them have", [c.shared for c in causes]),
        Column("says", "says", [c.says for c in causes]),
    ]
    traces = "".join(
        f"<details><summary>{escaped(c.error)}: trial {escaped(c.example)}</summary>"
        f"<pre>{escaped(c.trace)}</pre></details>"
        for c in causes
    )
    return f"<div><h3>Failures</h3>{table(columns, anchor)}{traces}</div>"


def table(columns: Sequence[Column], anchor: str) -> str:
    """A table whose columns sort."""
    kinds = ["" if column.worth is not None else ' class="text"' for column in columns]
    head = "".join(
        f'<th scope="col" data-name="{escaped(c.name)}"{kind}><button>{escaped(c.title)}</button></th>'
        for c, kind in zip(columns, kinds, strict=True)
    )
    lines = zip(*(_column(column, kind) for column, kind in zip(columns, kinds, strict=True)), strict=True)
    body = "\n".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return f'<div class="wide"><table id="{anchor}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _column(column: Column, kind: str) -> list[str]:
    if column.worth is None:
        return [f"<td{kind}>{escaped(words)}</td>" for words in column.words]
    return [
        f'<td data-value="{worth:.9g}">{escaped(words)}</td>'
        for words, worth in zip(column.words, column.worth, strict=True)
    ]


def _figure(picture: Picture, footed: bool) -> str:
    """A figure over its caption, whose words only the blind need where they stand in the picture itself."""
    marks = "".join(
        f'<i style="left:{100 * t.left:.2f}%;bottom:{100 * t.bottom:.2f}%;width:{100 * t.width:.2f}%;'
        f'height:{100 * t.height:.2f}%" data-tip="{escaped(t.words)}"></i>'
        for t in picture.tips
        if math.isfinite(t.left + t.bottom + t.width + t.height)
    )
    name, words = escaped(picture.title), escaped(picture.told.text())
    alt, beside = (f"{name}. {words}", "") if footed else (name, words)
    image = f'<img src="data:image/png;base64,{b64encode(picture.png).decode()}" alt="{alt}">'
    called = f'tabindex="0" role="group" aria-label="{name}: arrow keys tell values"' if marks else ""
    drawn = f'<div class="picture{" broad" * picture.broad}" {called}>{image}{marks}</div>'
    button = '<button aria-expanded="false">Enlarge</button>'
    return f'<figure><div class="wide">{drawn}</div><figcaption><b>{name}.</b> {beside} {button}</figcaption></figure>'
