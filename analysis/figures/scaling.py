"""Scaling: how a mean falls with samples, width or time, as a power law, one with a floor, or an exponential.

The law of least AICc is drawn; all of them stand in a CSV where one is asked for. Intervals hold where points share
their seeds, as along a curve; χ² and with it the choice of a law take points as independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.options import Flag, Output, Where, Width

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    from matplotlib.axes import Axes

    from analysis.data.rows import Rows

HOW = "Points and bars: mean over seeds and its standard error. Line: the law of least AICc; brackets: 95 % intervals."


def command(
    results: str,
    *,
    x: str,
    value: str,
    by: str | None = None,
    where: Where = None,
    linear: Flag = False,
    width: Width = None,
    output: Output,
) -> None:
    """Scaling: how a value falls with samples, width or time, as a power law, one with a floor, or an exponential.

    Args:
        results: Folder or URI of a sweep's results.
        x: Positive column, or the step of a curve.
        value: Metric or curve whose law is asked for.
        by: Column with one law for each of its values.
        linear: Linear axes instead of logarithmic ones.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.data.lock import locking
    from analysis.writing import files

    outputs = files.checked(output, (*files.FIGURES, ".csv"))
    opened = Results.open(results)
    with locking(opened, asked) as lock:
        from analysis.drawing import style
        from analysis.drawing.laws import Laws
        from analysis.statistics.fits import table
        from analysis.writing.provenance import Told, provenance
    rows = opened.rows_for(value, [x, by], where)
    drawn = Laws.of(rows, value, x, by)
    with style.paper():
        told = Told("scaling", asked, HOW, more=drawn.sentences(), place="point", lock=lock())
        numbers = table(drawn.found, by)
        files.publish(drawn.page(width, linear), provenance(told, drawn.cells, rows.source), outputs, numbers)
    print("\n".join(drawn.sentences()))


def scaling(
    data: Rows | pd.DataFrame | duckdb.DuckDBPyRelation,
    *,
    x: str,
    value: str,
    by: str | None = None,
    linear: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw scaling laws of `data` on `ax` in the style in force, or on a page of its own in the style of papers.

    Args:
        data: what `analysis.load` gives: a row for each trial.
        x, value, by, linear: as in the verb `scaling`; `analysis.statistics.fits` has the numbers.
    Raises:
        AnalysisError: the columns do not make points, or these are too few.
    """
    from analysis.data.rows import Rows
    from analysis.drawing import style
    from analysis.drawing.laws import Laws

    drawn = Laws.of(Rows.of(data), value, x, by)
    if ax is None:
        with style.paper():
            return drawn.page(None, linear, shown=True).axes[0]
    handles = drawn.draw(ax, linear)
    if handles:
        ax.legend(handles=handles, title=drawn.groups.title)
    return ax
