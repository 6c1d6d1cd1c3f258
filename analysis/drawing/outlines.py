"""Draw a histogram: an outline for each group, filled lightly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from analysis.data.rows import Rows
from analysis.drawing import style
from analysis.drawing.groups import Groups
from analysis.drawing.ticks import label_round
from analysis.statistics.histogram import Histogram, histogram
from analysis.writing.provenance import Provenance, Told, pooled
from tsd.words import counted, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Outlines:
    """Counts and what they belong to.

    Args:
        counted: the bins.
        groups: one outline each.
        label: what the horizontal axis shows, with unit.
    """

    counted: Histogram
    groups: Groups
    label: str

    @classmethod
    def of(cls, rows: Rows, value: str, by: str | None, bins: int | None, log_value: bool) -> Outlines:
        """Count rows. Raises AnalysisError where the columns do not make a histogram."""
        found = histogram(rows, value, by, bins, log_value)
        groups = Groups.of(rows, by, list(found.counts))
        return cls(found, groups, style.label(value, rows.unit(value)))

    def draw(self, axes: Axes, density: bool, log_count: bool) -> list[Patch]:
        """The outlines. Returns handles for a legend, none for one group."""
        found = self.counted
        heights = {v: found.density(v) if density else found.counts[v] for v in self.groups.values}
        every = np.concatenate(list(heights.values()))
        floor = float(every[every > 0].min()) / 2 if log_count else 0.0
        for value, colour in zip(self.groups.values, self.groups.colours, strict=True):
            height = np.maximum(heights[value], floor)
            axes.stairs(height, found.edges, baseline=floor, fill=True, color=colour, alpha=self._shade)
            axes.stairs(height, found.edges, baseline=floor, color=colour, linewidth=1)
        low, high = float(found.edges[0]), float(found.edges[-1])
        pad = (high / low) ** 0.01 if found.log else 0.01 * (high - low)
        limits = (low / pad, high * pad) if found.log else (low - pad, high + pad)
        axes.set(xscale="log" if found.log else "linear", xlim=limits, xlabel=self.label)
        label_round(axes, "x", low, high, found.log)
        most = float(every.max())
        ylim = (floor, most * (most / floor) ** 0.05) if log_count else (0, most * 1.05)
        axes.set(yscale="log" if log_count else "linear", ylim=ylim, ylabel="density" if density else "values")
        label_round(axes, "y", 2 * floor, most, log_count)
        if not (density or log_count):
            axes.locator_params("y", integer=True)
        named = zip(self.groups.names, self.groups.colours, strict=True)
        return [
            Patch(edgecolor=colour, facecolor=(*colour[:3], self._shade), label=name) for name, colour in named if name
        ]

    def page(self, width: str | None, density: bool, log_count: bool, shown: bool = False) -> Figure:
        """A figure of its own, its legend above; see `style.new_figure`."""
        inches = style.WIDTH[width or "one"]
        figure = style.new_figure(inches, min(0.6 * inches, 3.2), shown)
        style.finish(figure, self.draw(figure.subplots(), density, log_count), title=self.groups.title or None)
        style.with_room(figure, min(0.36 * inches, 1.8))
        return figure

    @property
    def _shade(self) -> float:
        """How much of its colour fills an outline: more than three would make mud."""
        return 0.2 if len(self.groups.values) <= 3 else 0.0

    def provenance(self, asked: Mapping[str, Any], rows: Rows, lock: Mapping[str, Any]) -> Provenance:
        """What is to be said under it."""
        found, steps = self.counted, f" at all `{rows.step}`" if rows.step else ""
        values, trials = counted(found.size, "value"), counted(found.totals.trials, "trial")
        said = f"{values} of {trials}{steps}; every value counts once."
        more = f"{number(found.unplaced)} values are not positive and have no place." if found.unplaced else ""
        return pooled(Told("histogram", asked, said, more=[more], lock=lock), found.totals, found.value, rows.source)
