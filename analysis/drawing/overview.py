"""The figures that show a sweep at a glance, chosen by what varies in it, with what a pointer says over each mark."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.data.cells import Cells
from analysis.data.load import Results
from analysis.data.rows import Rows, quoted
from analysis.drawing import style
from analysis.drawing.diagram import Diagram, View
from analysis.drawing.series import Series
from analysis.errors import AnalysisError
from analysis.naming import label
from analysis.statistics.intervals import half_width
from analysis.writing.provenance import Provenance, Told, provenance

Corner = NDArray[np.float64]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FIGURES = 8
MOST_TIPS = 2000
DECADES = 50
DPI = 240
FEW = 6
"""Panels or lines that still read at a glance."""


@dataclass(frozen=True)
class Tip:
    """What a pointer says over a rectangle: its place in parts of the figure, from the lower left, and the words."""

    left: float
    bottom: float
    width: float
    height: float
    words: str


@dataclass(frozen=True)
class Picture:
    """A drawn figure: its title, itself as PNG, the tips over it, and what it is made of."""

    title: str
    png: bytes
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


def _together(rows: Rows, a: str, b: str) -> bool:
    """Whether each value of one column has just one value of the other beside it."""
    a, b = quoted(a), quoted(b)
    question = f"SELECT count(DISTINCT ({a}, {b})), count(DISTINCT {a}), count(DISTINCT {b}) FROM rows"
    both, one, other = rows.sql(question).iloc[0]
    return bool(both == one == other)


def metrics(results: Results, rows: Rows) -> list[str]:
    """Metrics with more than one value, as the study lists them."""
    known = [n for n in rows.relation.columns if results.fields.get(n, {}).get("role") == "metric"]
    if not known:
        return []
    spread = ", ".join(f"min({quoted(n)}) IS DISTINCT FROM max({quoted(n)}) AS {quoted(n)}" for n in known)
    found = rows.sql(f"SELECT {spread} FROM rows WHERE state = 'done'").iloc[0]
    return [n for n in known if found[n]]


def pictures(results: Results) -> Iterator[Picture]:
    """Phase diagrams or lines of the metrics, and curves, as many as are worth a look."""
    rows = results.rows()
    axes = apart(rows, varying(rows))
    drawn = 0
    for metric in metrics(results, rows) if axes else []:
        if drawn < MOST_FIGURES and (picture := _of_metric(rows, metric, axes)):
            drawn += 1
            yield picture
    groups = [a for a in axes if _count(rows, a) <= FEW]
    for curve in results.curves():
        if drawn < MOST_FIGURES + 2 and (picture := _of_curve(results.steps(curve), curve, groups)):
            drawn += 1
            yield picture


def _of_metric(rows: Rows, metric: str, axes: Sequence[str]) -> Picture | None:
    x, *others = axes
    try:
        if others:
            by = next((a for a in others[1:] if _count(rows, a) <= FEW), None)
            diagram = Diagram.of(rows, View(x, others[0], metric, by, log_value=_spans_decades(rows, metric)))
            told = Told("phase", {"x": x, "y": others[0], "value": metric, "by": by}, diagram.agreement())
            return _picture(metric, diagram, diagram.cells, rows, told)
        if rows.is_numeric(metric):
            series = Series.of(rows, metric, x, by=None, theory={})
            return _picture(metric, series, series.cells, rows, Told("lines", {"x": x, "value": metric}, ""))
    except AnalysisError:
        return None  # a metric that has no mean has no figure; the page's table says how many trials lack it
    return None


def _count(rows: Rows, name: str) -> int:
    return int(rows.sql(f"SELECT count(DISTINCT {quoted(name)}) AS n FROM rows")["n"][0])


def _spans_decades(rows: Rows, metric: str) -> bool:
    """Whether a metric is positive and so spread that linear colours would hide most of it."""
    if not rows.is_numeric(metric):
        return False
    low, high = rows.sql(f"SELECT min({quoted(metric)}), max({quoted(metric)}) FROM rows WHERE state = 'done'").iloc[0]
    return bool(low > 0 and high > DECADES * low)


def _of_curve(rows: Rows, curve: str, groups: Sequence[str]) -> Picture | None:
    """The curve by the column whose lines go farthest: a mean ends where the shortest of its curves does."""
    drawn: dict[str | None, Series] = {}
    wanted: Sequence[str | None] = groups or [None]
    for by in wanted:
        with suppress(AnalysisError):
            drawn[by] = Series.of(rows, curve, rows.step or "step", by=by, theory={})
    if not drawn:
        return None
    farthest = max(drawn, key=lambda name: min(len(mean) for mean in drawn[name].means))
    told = Told(
        "curves", {"value": curve, "by": farthest}, "Bands: 95 % t interval of the mean over seeds.", place="point"
    )
    return _picture(curve, drawn[farthest], drawn[farthest].cells, rows, told)


def _picture(name: str, drawn: Diagram | Series, cells: Cells, rows: Rows, told: Told) -> Picture:
    with style.paper():
        figure = drawn.page() if isinstance(drawn, Diagram) else drawn.page("one", _drawn_over_decades(drawn))
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI)
        tips = list(_of_diagram(drawn, figure) if isinstance(drawn, Diagram) else _of_series(drawn, figure))
    origin = provenance(
        replace(told, interval=told.interval or "Hover a mark for its 95 % interval."), cells, rows.source
    )
    return Picture(label(name, rows.unit(name)), out.getvalue(), tips[:MOST_TIPS], origin)


def _drawn_over_decades(series: Series) -> bool:
    means = np.concatenate([mean["mean"].to_numpy() for mean in series.means])
    return bool(means.min() > 0 and means.max() > DECADES * means.min())


def _of_diagram(diagram: Diagram, figure: Figure) -> Iterator[Tip]:
    planes = list(diagram.panels.values())
    known = {tuple(r[a] for a in diagram.cells.axes): r for r in diagram.cells.frame.to_dict("records")}
    groups = diagram.cells.values(diagram.view.by) if diagram.view.by else [None]
    for axes, plane, group in zip(figure.axes, planes, groups, strict=False):
        corners = plane.boxes(np.ones_like(plane.missing))
        places = [(x, y) for y in plane.y.values for x in plane.x.values]
        for box, (x, y) in zip(corners, places, strict=True):
            record = known.get((x, y) if group is None else (x, y, group))
            if record:
                about = {diagram.view.x: x, diagram.view.y: y}
                yield _tip(
                    axes, figure, box.min(axis=0), box.max(axis=0), _words(about, record, diagram.scale.categories)
                )


def _of_series(series: Series, figure: Figure) -> Iterator[Tip]:
    axes = figure.axes[0]
    reach = 5 / (72 * figure.get_figwidth()), 5 / (72 * figure.get_figheight())
    for name, means in zip(series.groups.names, series.means, strict=True):
        for at, mean, high in means[["x", "mean", "high"]].to_numpy(dtype=float):
            words = f"{series.axis.name} {at:g}{f', {name}' if name else ''}: {_interval(mean, high)}"
            x, y = axes.transData.transform((at, mean)) / figure.bbox.size
            yield Tip(x - reach[0], y - reach[1], 2 * reach[0], 2 * reach[1], words)


def _tip(axes: Axes, figure: Figure, low: Corner, high: Corner, words: str) -> Tip:
    (left, bottom), (right, top) = (axes.transData.transform(corner) / figure.bbox.size for corner in (low, high))
    return Tip(left, min(bottom, top), right - left, abs(top - bottom), words)


def _words(about: dict[str, object], record: dict[object, float], categories: Sequence[str]) -> str:
    where = ", ".join(f"{name} {value}" for name, value in about.items())
    lost = [f"{int(record[f'_{s}'])} {s}" for s in ("diverged", "failed") if record[f"_{s}"]]
    if not record["_n"]:
        return f"{where}: {', '.join(lost) or 'no value'}"
    if categories:
        said = f"{categories[int(record['_mean'])]} ({record['_share']:.0%} of {int(record['_n'])})"
    else:
        high = record["_mean"] + float(half_width(record["_n"], record["_sd"]))
        said = f"{_interval(record['_mean'], high)}, n = {int(record['_n'])}"
    return ", ".join([f"{where}: {said}", *lost])


def _interval(mean: float, high: float) -> str:
    return f"{mean:.4g} ± {high - mean:.2g}" if np.isfinite(high) else f"{mean:.4g}"
