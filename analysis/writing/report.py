"""What a page says of one sweep or several: what was asked, what was run, what came out, what failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.cells import gather
from analysis.data.load import Results
from analysis.data.lock import lock
from analysis.data.rows import Rows, quoted
from analysis.data.where import count
from analysis.drawing.overview import Picture, metrics, pictures, varying
from analysis.naming import label
from analysis.statistics.intervals import Interval, half_width
from analysis.writing import markup, webpage
from analysis.writing.asked import Asked, asked
from analysis.writing.markup import Column, Failure
from analysis.writing.provenance import NO_INTERVAL
from analysis.writing.rounding import NOTHING, Rounding
from analysis.writing.summary import failures, settings

STATES = ("done", "diverged", "failed")
MOST_ROWS, MOST_COLUMNS = 2000, 6
CELL = ("_n", "_mean", "_sd", "_free", "_trials", "_diverged", "_failed")
IN_MEMORY = 1_000_000
"""Trials that are read once for all the questions of a page."""


@dataclass(frozen=True)
class Section:
    """What the page says of one sweep. `facts` are pairs of a name and words; `said` is what the cells are."""

    name: str
    question: str
    facts: list[tuple[str, str]]
    states: Mapping[str, int]
    missing: int
    made: Asked
    pictures: list[Picture]
    cells: list[Column]
    said: str
    failures: list[Failure]
    lock: Mapping[str, Any]


def section(path: str, question: str = "") -> Section:
    """Read one results folder, whose sweep asks its own question where none is given.

    Raises AnalysisError where it is no results folder, or holds no trial.
    """
    results = Results.open(path)
    rows = results.rows()
    states = {state: count(rows.relation.filter(f"state = '{state}'")) for state in STATES}
    on_grid = count(rows.relation.filter("origin = 'grid'"))
    if sum(states.values()) <= IN_MEMORY:
        rows = _held(rows)
    columns, said = _cells(results, rows)
    made = asked(path, results.sweep)
    return Section(
        name=rows.source.sweep,
        question=question or str(results.sweep.get("question", "")),
        facts=list(settings(results.sweep, rows.source.first, rows.source.last)),
        states=states,
        missing=max(0, int(results.sweep.get("trials", 0)) - on_grid),
        made=made,
        pictures=list(pictures(results, rows)),
        cells=columns,
        said=said,
        failures=list(failures(rows)) if states["failed"] else [],
        lock=lock(results, {"value": metrics(results, rows), "axes": varying(rows), "asked": made.words}),
    )


def _held(rows: Rows) -> Rows:
    """The rows in memory, without the settings that are the same in all of them."""
    alike = set(rows.parameters()) - set(rows.differing(rows.parameters()))
    return rows.held(name for name in rows.relation.columns if name not in alike)


def page(sections: Sequence[Section], paths: Sequence[str]) -> str:
    """The sections as one web page, several of them side by side under a table of all."""
    title = " · ".join(one.name for one in sections)
    facts = {"verb": "report", "asked": {}, "results": list(paths), "locks": [dict(one.lock) for one in sections]}
    comment = json.dumps(facts, ensure_ascii=False, sort_keys=True).replace("--", r"\u002d\u002d")
    several = len(sections) > 1
    body = "".join(_section(one, str(i), several) for i, one in enumerate(sections))
    whole = f'{_all(sections)}<main class="several">{body}</main>' if several else f"<main>{body}</main>"
    return webpage.page(title, whole, f"<!-- tsd: {comment} -->")


def _section(one: Section, number: str, several: bool) -> str:
    parts = [
        markup.heading(one.name if several else "", one.question),
        markup.coverage(one.states, one.missing, one.facts),
        markup.figures(one.made, one.pictures),
        markup.cells(one.cells, one.said, f"cells{number}"),
        markup.failures(one.failures, f"failures{number}"),
    ]
    return f"<section>{''.join(parts)}</section>"


def _all(sections: Sequence[Section]) -> str:
    """How far each sweep is, a row for each."""
    columns = [Column("sweep", "sweep", [one.name for one in sections])]
    for state in (*STATES, "missing"):
        counts = [{**one.states, "missing": one.missing}[state] for one in sections]
        columns += [Column(state, state, list(map(str, counts)), counts)] if any(counts) else []
    columns += [
        Column(name, name, [dict(one.facts).get(name, "") for one in sections]) for name in ("study", "code", "run")
    ]
    return markup.table(columns, "sweeps")


def _cells(results: Results, rows: Rows) -> tuple[list[Column], str]:
    """Means with intervals of a few metrics in every cell, and what is to be said of them."""
    axes = varying(rows)
    known = [m for m in metrics(results, rows) if rows.is_numeric(m)]
    frames = {metric: _gathered(rows, axes, metric) for metric in known[:MOST_COLUMNS]}
    if not frames:
        return [], ""
    frame = frames[known[0]][:MOST_ROWS]
    lost = [name for name in ("_diverged", "_failed") if frame[name].any()]
    columns = [_side(rows, frame, axis) for axis in axes]
    columns += [_numbers(name[1:], name[1:], frame[name]) for name in ("_trials", *lost)]
    columns += [_means(metric, rows.unit(metric), found[:MOST_ROWS]) for metric, found in frames.items()]
    cut = [(len(frames[known[0]]) - MOST_ROWS, "cell"), (len(known) - MOST_COLUMNS, "metric")]
    more = [f"{n} more {what}{'s are' if n > 1 else ' is'} not shown." for n, what in cut if n > 0]
    several = any((found["_n"] > 1).any() for found in frames.values())
    return columns, " ".join(["Mean over seeds and its 95 % t interval." if several else NO_INTERVAL, *more])


def _gathered(rows: Rows, axes: Sequence[str], metric: str) -> pd.DataFrame:
    """The cells of a metric; of trials to which an axis does not apply, those of the other axes."""
    absent = ", ".join(f"{quoted(axis)} IS NULL AS _{i}" for i, axis in enumerate(axes))
    found = []
    for kind in sorted(rows.relation.project(absent).distinct().fetchall()) if axes else [()]:
        chosen = rows.relation
        for axis, lacks in zip(axes, kind, strict=True):
            chosen = chosen.filter(f"{quoted(axis)} IS {'' if lacks else 'NOT '}NULL")
        present = [axis for axis, lacks in zip(axes, kind, strict=True) if not lacks]
        found.append(gather(rows.over(chosen), present, metric).frame.reindex(columns=[*axes, *CELL]))
    return pd.concat(found, ignore_index=True)


def _side(rows: Rows, frame: pd.DataFrame, axis: str) -> Column:
    title = label(axis, rows.unit(axis))
    if rows.is_numeric(axis):
        return _numbers(axis, title, frame[axis])
    return Column(axis, title, ["" if pd.isna(value) else str(value) for value in frame[axis]])


def _numbers(name: str, title: str, values: pd.Series[Any]) -> Column:
    worth = values.astype(float).tolist()
    return Column(name, title, ["" if np.isnan(v) else f"{v:.6g}".replace("-", "−") for v in worth], worth)


def _means(metric: str, unit: str, frame: pd.DataFrame) -> Column:
    half = half_width(frame["_free"], frame["_sd"])
    intervals = [Interval(m, m - h, m + h) for m, h in zip(frame["_mean"], half, strict=True)]
    return Column(metric, label(metric, unit), list(map(_said, intervals)), frame["_mean"].astype(float).tolist())


def _said(interval: Interval) -> str:
    """Half of an interval with two digits and the mean to the same decimal; six digits where there is next to none."""
    if not np.isfinite(interval.mean):
        return NOTHING
    if interval.half > 1e-6 * abs(interval.mean):
        return Rounding.of([interval]).text(interval)
    half = "" if np.isnan(interval.half) else f" ± {interval.half:.1g}"
    return f"{interval.mean:.6g}{half}".replace("-", "−")
