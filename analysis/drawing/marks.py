"""What a figure says over each of its marks: the place, the mean with its interval, what was lost there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.drawing.diagram import Diagram
from analysis.drawing.series import Series
from analysis.statistics.intervals import half_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Corner = NDArray[np.float64]


@dataclass(frozen=True)
class Tip:
    """What a pointer says over a rectangle: its place in parts of the figure, from the lower left, and the words."""

    left: float
    bottom: float
    width: float
    height: float
    words: str


def of_diagram(diagram: Diagram, figure: Figure) -> Iterator[Tip]:
    """What each cell of a diagram says, that was drawn as `figure`."""
    planes = list(diagram.panels.values())
    known = {tuple(r[a] for a in diagram.cells.axes): r for r in diagram.cells.frame.to_dict("records")}
    groups = diagram.cells.values(diagram.view.by) if diagram.view.by else [None]
    for axes, plane, group in zip(figure.axes, planes, groups, strict=False):
        corners = plane.boxes(np.ones_like(plane.missing))
        places = [(x, y) for y in plane.y.values for x in plane.x.values]
        for box, (x, y) in zip(corners, places, strict=True):
            record = known.get((x, y) if group is None else (x, y, group))
            if record:
                about = {diagram.view.x: x, diagram.view.y: y} | ({diagram.view.by: group} if diagram.view.by else {})
                yield _tip(
                    axes, figure, box.min(axis=0), box.max(axis=0), _words(about, record, diagram.scale.categories)
                )


def of_series(series: Series, figure: Figure) -> Iterator[Tip]:
    """What each mean of lines says, that were drawn as `figure`."""
    axes = figure.axes[0]
    reach = 5 / (72 * figure.get_figwidth()), 5 / (72 * figure.get_figheight())
    for name, means in zip(series.groups.names, series.means, strict=True):
        for at, mean, high in means[["x", "mean", "high"]].to_numpy(dtype=float):
            place = _plain(at) if series.axis.numeric else series.axis.values[int(at)]
            words = f"{series.axis.name} {place}{f', {name}' if name else ''}: {_interval(mean, high)}"
            x, y = axes.transData.transform((at, mean)) / figure.bbox.size
            yield Tip(x - reach[0], y - reach[1], 2 * reach[0], 2 * reach[1], words)


def _tip(axes: Axes, figure: Figure, low: Corner, high: Corner, words: str) -> Tip:
    (left, bottom), (right, top) = (axes.transData.transform(corner) / figure.bbox.size for corner in (low, high))
    return Tip(left, min(bottom, top), right - left, abs(top - bottom), words)


def _words(about: dict[str, object], record: dict[object, float], categories: Sequence[str]) -> str:
    where = ", ".join(f"{name} {_plain(value)}" for name, value in about.items())
    lost = [f"{int(record[f'_{s}'])} {s}" for s in ("diverged", "failed") if record[f"_{s}"]]
    if not record["_n"]:
        return f"{where}: {', '.join(lost) or 'no value'}"
    if categories:
        said = f"{categories[int(record['_mean'])]} ({record['_share']:.0%} of {int(record['_n'])})"
    else:
        high = record["_mean"] + float(half_width(record["_free"], record["_sd"]))
        said = f"{_interval(record['_mean'], high)}, n = {int(record['_n'])}"
    return ", ".join([f"{where}: {said}", *lost])


def _plain(value: object) -> str:
    return f"{value:.6g}".replace("-", "−") if isinstance(value, float) else str(value)


def _interval(mean: float, high: float) -> str:
    said = f"{mean:.4g} ± {high - mean:.2g}" if np.isfinite(high) else f"{mean:.4g}"
    return said.replace("-", "−")
