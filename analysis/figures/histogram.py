"""Histogram: how the values of a metric, or of a curve at all of its steps, are spread.

Every value counts once: trials, seeds and steps are pooled, and the footer says over how many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.options import Flag, Output, Where, Width

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    from matplotlib.axes import Axes

    from analysis.data.rows import Rows


def command(
    results: str,
    *,
    value: str,
    by: str | None = None,
    where: Where = None,
    bins: int | None = None,
    density: Flag = False,
    log_value: Flag = False,
    log_count: Flag = False,
    width: Width = None,
    output: Output,
) -> None:
    """Histogram: how the values of a metric, or of a curve at all of its steps, are spread.

    Args:
        results: Folder or URI of a sweep's results.
        value: Metric or curve; a metric that is also a curve counts once a trial.
        by: Column with an outline for each of its values.
        bins: How many; chosen by the spread of the values if left out.
        density: Share of a group's values by the bin's width, so that groups of any size compare.
        log_value: Bins of equal ratio on a logarithmic axis.
        log_count: Logarithmic heights.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.data.lock import locking
    from analysis.writing import files

    outputs = files.checked(output, files.FIGURES)
    opened = Results.open(results)
    with locking(opened, asked) as lock:
        from analysis.drawing import style
        from analysis.drawing.outlines import Outlines
    rows = opened.values_of(value, [by], where)
    drawn = Outlines.of(rows, value, by, bins, log_value)
    with style.paper():
        files.publish(drawn.page(width, density, log_count), drawn.provenance(asked, rows, lock()), outputs)


def histogram(
    data: Rows | pd.DataFrame | duckdb.DuckDBPyRelation,
    *,
    value: str,
    by: str | None = None,
    bins: int | None = None,
    density: bool = False,
    log_value: bool = False,
    log_count: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a histogram of `data` on `ax` in the style in force, or on a page of its own in the style of papers.

    Args:
        data: what `analysis.load` gives; with `curve=value`, a row for each trial and step.
        value, by, bins, density, log_value, log_count: as in the verb `histogram`.
    Raises:
        AnalysisError: a column is unknown, the value is not a number, or there is no value to count.
    """
    from analysis.data.rows import Rows
    from analysis.drawing import style
    from analysis.drawing.outlines import Outlines

    drawn = Outlines.of(Rows.of(data), value, by, bins, log_value)
    if ax is None:
        with style.paper():
            return drawn.page(None, density, log_count, shown=True).axes[0]
    handles = drawn.draw(ax, density, log_count)
    if handles:
        ax.legend(handles=handles, title=drawn.groups.title)
    return ax
