"""A page about one sweep or several: what was asked, what was run, what came out, what failed. It loads nothing."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.cells import gather
from analysis.data.load import Results
from analysis.data.lock import lock
from analysis.drawing.overview import Picture, metrics, pictures, varying
from analysis.naming import label
from analysis.statistics.intervals import half_width
from analysis.writing.webpage import PAGE

MOST_ROWS, MOST_COLUMNS = 400, 6


@dataclass(frozen=True)
class Section:
    """What the page says of one sweep. `facts` are pairs of a name and words; `rows` are cells in words."""

    name: str
    question: str
    facts: list[tuple[str, str]]
    states: Mapping[str, int]
    pictures: list[Picture]
    rows: pd.DataFrame
    cut: int
    failures: pd.DataFrame
    lock: Mapping[str, Any]


def section(path: str, question: str = "") -> Section:
    """Read one results folder, whose sweep asks its own question where none is given.

    Raises AnalysisError where it is no results folder, or holds no trial.
    """
    results = Results.open(path)
    rows = results.rows()
    counts = rows.sql("SELECT state, count(*) AS n FROM rows GROUP BY state").set_index("state")["n"]
    states = {state: int(counts.get(state, 0)) for state in ("done", "diverged", "failed")}
    table, cut = _cells(results)
    locked = lock(results, {"value": metrics(results, rows), "axes": varying(rows)})
    facts = list(_facts(results, rows.source.first, rows.source.last))
    failures = rows.sql(
        "SELECT coalesce(error_type, '') AS error, count(*) AS trials, any_value(trial_id) AS example, "
        "any_value(regexp_extract(trim(error), '[^\\n]*$')) AS says FROM rows WHERE state = 'failed' "
        "GROUP BY 1 ORDER BY 2 DESC"
    )
    asks = question or results.sweep.get("question", "")
    return Section(rows.source.sweep, asks, facts, states, list(pictures(results)), table, cut, failures, locked)


def page(sections: Sequence[Section], paths: Sequence[str]) -> str:
    """The sections as one web page."""
    title = " · ".join(one.name for one in sections)
    facts = {"verb": "report", "asked": {}, "results": list(paths), "locks": [dict(one.lock) for one in sections]}
    comment = json.dumps(facts, ensure_ascii=False, sort_keys=True).replace("--", r"\u002d\u002d")
    body = "".join(_section(one, i) for i, one in enumerate(sections))
    return PAGE.substitute(title=html.escape(title), body=body, comment=f"<!-- tsd: {comment} -->")


def _facts(results: Results, first: str, last: str) -> Iterator[tuple[str, str]]:
    sweep = results.sweep
    origin = sweep.get("provenance", {})
    yield "study", f"{sweep.get('study', '')}, version {sweep.get('version', '?')}"
    for name, values in sweep.get("axes", {}).items():
        yield name, ", ".join(map(str, values))
    for i, moved in enumerate(sweep.get("zip", []), 1):
        yield f"together, {i}", "; ".join(f"{name}: {', '.join(map(str, v))}" for name, v in moved.items())
    for name in ("fixed", "seeds", "except"):
        if sweep.get(name):
            yield name, json.dumps(sweep[name], ensure_ascii=False).strip("{}[]").replace('"', "")
    dirty = " with changes" if origin.get("git_dirty") else ""
    yield "code", f"git {str(origin.get('git_sha', ''))[:12]}{dirty}, tsd {origin.get('tsd_version', '')}"
    yield "versions", ", ".join(f"{name} {v}" for name, v in origin.get("versions", {}).items())
    yield "run", first if first == last else f"{first} to {last}"


def _cells(results: Results) -> tuple[pd.DataFrame, int]:
    """Means with intervals of a few metrics in every cell, in words, and how many cells are left out."""
    rows = results.rows()
    axes = varying(rows)
    numbers = [m for m in metrics(results, rows) if rows.is_numeric(m)][:MOST_COLUMNS]
    whole: pd.DataFrame | None = None
    for metric in numbers if axes else []:
        frame = gather(rows, axes, metric).frame
        half = half_width(frame["_n"], frame["_sd"])
        said = [_said(n, m, h) for n, m, h in zip(frame["_n"], frame["_mean"], half, strict=True)]
        column = frame[axes].assign(**{metric: said})
        whole = column.assign(trials=frame["_trials"]) if whole is None else whole.merge(column, on=axes, how="outer")
    if whole is None:
        return pd.DataFrame(), 0
    whole = whole[[*axes, "trials", *numbers]]
    return whole.head(MOST_ROWS), max(0, len(whole) - MOST_ROWS)


def _said(n: int, mean: float, half: float) -> str:
    if not n:
        return "–"
    return (f"{mean:.4g} ± {half:.2g}" if np.isfinite(half) else f"{mean:.4g}").replace("-", "−")


def _section(one: Section, number: int) -> str:
    parts = [f"<section><h2>{html.escape(one.name)}</h2>"]
    if one.question:
        parts.append(f'<p class="question">{html.escape(one.question)}</p>')
    parts.append(_coverage(one.states))
    facts = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in one.facts)
    parts.append(f'<dl class="facts">{facts}</dl>')
    if one.pictures:
        parts.append(f'<h3>Figures</h3><div class="figures">{"".join(map(_figure, one.pictures))}</div>')
    if len(one.rows):
        more = f' <span class="small">{one.cut} more cells are not shown.</span>' if one.cut else ""
        parts.append(
            f'<h3>Cells</h3><p class="small">Mean over seeds ± half of its 95 % t interval.{more}</p>'
            f'<input data-table="cells{number}" placeholder="filter: words that a row must hold" aria-label="filter">'
            f' <span class="small"></span>{_table(one.rows, f"cells{number}")}'
        )
    if len(one.failures):
        parts.append(f"<h3>Failures</h3>{_table(one.failures, f'failures{number}')}")
    return "\n".join([*parts, "</section>"])


def _coverage(states: Mapping[str, int]) -> str:
    total = sum(states.values())
    bars = "".join(f'<b class="{s}" style="width:{100 * n / total:.3f}%"></b>' for s, n in states.items() if n)
    said = ", ".join(f"{n} {state}" for state, n in states.items() if n)
    return f'<p>{total} trials: {said}.</p><div class="bar">{bars}</div>'


def _figure(picture: Picture) -> str:
    tips = "".join(
        f'<i style="left:{100 * t.left:.2f}%;bottom:{100 * t.bottom:.2f}%;width:{100 * t.width:.2f}%;'
        f'height:{100 * t.height:.2f}%" data-tip="{html.escape(t.words)}"></i>'
        for t in picture.tips
    )
    name, words = html.escape(picture.title), html.escape(picture.told.text())
    source = f"data:image/png;base64,{b64encode(picture.png).decode()}"
    drawn = f'<div class="picture"><img src="{source}" alt="{name}">{tips}</div>'
    return f"<figure>{drawn}<figcaption><b>{name}.</b> {words}</figcaption></figure>"


def _table(frame: pd.DataFrame, name: str) -> str:
    head = "".join(f"<th>{html.escape(label(str(column)))}</th>" for column in frame.columns)
    text = [not pd.api.types.is_numeric_dtype(frame[column]) for column in frame.columns]
    body = []
    for row in frame.itertuples(index=False):
        cells = (
            f"<td{' class=text' if t else ''}>{html.escape(_cell(v))}</td>" for v, t in zip(row, text, strict=True)
        )
        body.append(f"<tr>{''.join(cells)}</tr>")
    lines = "\n".join(body)
    return f'<div class="wide"><table id="{name}"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
