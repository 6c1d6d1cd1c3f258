"""The figures that show a sweep at a glance, chosen by what varies in it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import numpy as np

from analysis.data.cells import Cells
from analysis.data.load import Results
from analysis.data.rows import Rows, quoted
from analysis.drawing import style
from analysis.drawing.diagram import Diagram, View
from analysis.drawing.marks import Tip, of_diagram, of_series
from analysis.drawing.series import Series
from analysis.errors import AnalysisError
from analysis.naming import label
from analysis.writing.provenance import Provenance, Told, provenance, typical_interval
from tsd.words import number

MOST_FIGURES = 8
MOST_TIPS = 5000
MOST_AXES = 12
"""Parameters that vary of which the first are compared with each other."""
DECADES = 50
INTERVAL = "95 % t interval of the mean over seeds."
DPI = 240
FEW = 6
"""Panels or lines that still read at a glance."""


@dataclass(frozen=True)
class Picture:
    """A drawn figure: its title, itself as PNG, whether it is made for two columns of a paper, the tips over it, and
    what it is made of."""

    title: str
    png: bytes
    broad: bool
    tips: list[Tip]
    told: Provenance


def varying(rows: Rows) -> list[str]:
    """Parameters with several values, the numbers with most values first, then words."""
    names = rows.parameters()
    if not names:
        return []
    counts = rows.sql(
        "SELECT " + ", ".join(f"count(DISTINCT {quoted(n)}) AS {quoted(n)}" for n in names) + " FROM rows"
    ).iloc[0]
    several = [n for n in names if counts[n] > 1]
    return sorted(several, key=lambda n: (not rows.is_numeric(n), -counts[n]))


def apart(rows: Rows, names: Sequence[str]) -> list[str]:
    """Of columns that move together, such as those that a sweep zips, the one that reads best: words before numbers."""
    kept: list[str] = []
    for name in sorted(names, key=rows.is_numeric):
        if not any(_together(rows, name, other) for other in kept):
            kept.append(name)
    return [name for name in names if name in kept]


def _everywhere(rows: Rows, names: Sequence[str]) -> Sequence[str]:
    """Those that every trial has, such as the method and not a setting of one method; all where none is."""
    every = [f"count({quoted(n)}) = count(*)" for n in names]
    found = rows.relation.aggregate(", ".join(every)).fetchall()[0] if names else ()
    return [name for name, whole in zip(names, found, strict=True) if whole] or names


def _together(rows: Rows, a: str, b: str) -> bool:
    """Whether each value of one column has just one value of the other beside it."""
    a, b = quoted(a), quoted(b)
    question = f"SELECT count(DISTINCT ({a}, {b})), count(DISTINCT {a}), count(DISTINCT {b}) FROM rows"
    both, one, other = rows.sql(question).iloc[0]
    return bool(both == one == other)


def metrics(results: Results, rows: Rows) -> list[str]:
    """Metrics with more than one value, or with one of the only trial that is done, as the study lists them."""
    known = [n for n in rows.relation.columns if results.fields.get(n, {}).get("role") == "metric"]
    if not known:
        return []
    told = "min({0}) IS DISTINCT FROM max({0}) OR (count(*) = 1 AND count({0}) = 1) AS {0}".format
    spread = ", ".join(told(quoted(n)) for n in known)
    found = rows.sql(f"SELECT {spread} FROM rows WHERE state = 'done'").iloc[0]
    return [n for n in known if found[n]]


def pictures(results: Results, rows: Rows) -> Iterator[Picture]:
    """Phase diagrams or lines of the metrics of all rows, and curves, as many as are worth a look."""
    axes = apart(rows, _everywhere(rows, varying(rows))[:MOST_AXES])
    drawn = 0
    for metric in metrics(results, rows) if axes else []:
        if drawn < MOST_FIGURES and (picture := _of_metric(rows, metric, axes)):
            drawn += 1
            yield picture
    groups = [a for a in axes if _count(rows, a) <= FEW]
    for curve in results.curves():
        if drawn < MOST_FIGURES + 2 and (
            picture := _of_curve(replace(results.steps(curve), behind=rows), curve, groups)
        ):
            drawn += 1
            yield picture


def _of_metric(rows: Rows, metric: str, axes: Sequence[str]) -> Picture | None:
    """A phase diagram over two numbers, or lines over one, a line for each word; None where there is nothing to see."""
    x, *others = axes
    log_value = _spans_decades(rows, metric)
    with suppress(AnalysisError):  # of a metric without a mean the page's table says how many trials lack it
        few = [a for a in others if _count(rows, a) <= FEW]
        if others and not (rows.is_numeric(metric) and rows.is_numeric(x) and few and not rows.is_numeric(others[0])):
            by = next((a for a in few if a != others[0]), None)
            view = View(x, others[0], metric, by, _geometric(rows, x), _geometric(rows, others[0]), log_value)
            diagram = Diagram.of(rows, view)
            told = Told("phase", {k: v for k, v in asdict(view).items() if v}, diagram.agreement())
            return _picture(metric, diagram, diagram.cells, rows, told) if _tells(diagram) else None
        if rows.is_numeric(metric):
            by, log_x = next(iter(few), None), _geometric(rows, x)
            series = Series.of(rows, metric, x, by=by, theory={}, log_x=log_x)
            asked = {"x": x, "value": metric, "by": by, "log_x": log_x}
            told = Told("lines", asked, INTERVAL, more=series.told(), place="point")
            return _picture(metric, series, series.cells, rows, told) if _moves(series.cells) else None
    return None


def _tells(diagram: Diagram) -> bool:
    """Whether the colours differ, and most cells know theirs where they are words."""
    if not diagram.scale.categories:
        return _moves(diagram.cells)
    planes = diagram.panels.values()
    return bool(2 * sum(p.divided.sum() for p in planes) <= sum((~np.isnan(p.mean)).sum() for p in planes))


def _moves(cells: Cells) -> bool:
    """Whether the mean depends on its place at all; sums over seeds run in any order, so digits may differ."""
    means = cells.frame["_mean"].dropna()
    return bool(np.ptp(means) > 1e-9 * np.abs(means).max())


def _geometric(rows: Rows, name: str) -> bool:
    """Whether values of a column are more even on a logarithmic axis than on a linear one."""
    if not rows.is_numeric(name):
        return False
    values = np.sort(rows.sql(f"SELECT DISTINCT {quoted(name)} AS v FROM rows")["v"].dropna().to_numpy(float))
    if len(values) < 3 or values[0] <= 0:
        return False
    uneven = [np.ptp(np.diff(places)) / np.ptp(places) for places in (values, np.log(values))]
    return bool(uneven[1] < uneven[0])


def _count(rows: Rows, name: str) -> int:
    return int(rows.sql(f"SELECT count(DISTINCT {quoted(name)}) AS n FROM rows")["n"][0])


def _spans_decades(rows: Rows, metric: str) -> bool:
    """Whether a metric is positive and so spread that linear colours would hide most of it."""
    if not rows.is_numeric(metric):
        return False
    low, high = rows.sql(f"SELECT min({quoted(metric)}), max({quoted(metric)}) FROM rows WHERE state = 'done'").iloc[0]
    return bool(low > 0 and high > DECADES * low)


def _of_curve(rows: Rows, curve: str, groups: Sequence[str]) -> Picture | None:
    """The curve by the column that parts it most, of those whose lines go half as far as any or farther.

    A mean ends where the shortest of its curves does.
    """
    drawn: list[tuple[str | None, Series]] = []
    wanted: Sequence[str | None] = groups or [None]
    for by in wanted:
        with suppress(AnalysisError):
            drawn.append((by, Series.of(rows, curve, rows.step or "step", by=by, theory={})))
    if not drawn:
        return None
    farthest = max(_reach(series) for _, series in drawn)
    by, series = max((one for one in drawn if 2 * _reach(one[1]) >= farthest), key=lambda one: _apart(one[1]))
    told = Told("curves", {"value": curve, "by": by}, f"Bands: {INTERVAL}", more=series.told(), place="point")
    return _picture(curve, series, series.cells, rows, told) if _moves(series.cells) else None


def _reach(series: Series) -> int:
    return min(len(mean) for mean in series.means)


def _apart(series: Series) -> float:
    """How far the lines are apart where the first of them ends."""
    return float(np.ptp([mean["mean"].iloc[_reach(series) - 1] for mean in series.means]))


def _picture(name: str, drawn: Diagram | Series, cells: Cells, rows: Rows, told: Told) -> Picture:
    with style.paper():
        figure = drawn.page() if isinstance(drawn, Diagram) else drawn.page("one", _drawn_over_decades(drawn))
        broad = bool(figure.get_figwidth() > style.WIDTH["one"])
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI)
        tips = list(of_diagram(drawn, figure) if isinstance(drawn, Diagram) else of_series(drawn, figure))
    silent = [f"Values at {number(MOST_TIPS)} of its {number(len(tips))} marks."] if len(tips) > MOST_TIPS else []
    told = replace(told, interval=told.interval or typical_interval(cells), more=silent)
    origin = provenance(told, cells, rows.source)
    return Picture(label(name, rows.unit(name)), out.getvalue(), broad, tips[:MOST_TIPS], origin)


def _drawn_over_decades(series: Series) -> bool:
    means = np.concatenate([mean["mean"].to_numpy() for mean in series.means])
    return bool(means.min() > 0 and means.max() > DECADES * means.min())
