"""Lines: a metric against a parameter, the mean over seeds with bars for its 95 % interval, one line a group.

With a theory the lines are theirs, and the means are points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.options import Flag, Output, Theory, Where, Width

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    from matplotlib.axes import Axes

    from analysis.data.rows import Rows

INTERVAL = "95 % t interval of the mean over seeds."


def command(
    results: str,
    *,
    x: str,
    value: str,
    by: str | None = None,
    where: Where = None,
    theory: Theory = None,
    log_x: Flag = False,
    log_value: Flag = False,
    width: Width = None,
    output: Output,
) -> None:
    """Lines: a metric against a parameter, the mean over seeds with bars for its interval.

    Args:
        results: Folder or URI of a sweep's results.
        x: Column along the horizontal axis, numbers or words.
        value: Metric along the vertical axis.
        by: Column with one line for each of its values.
        log_x: Logarithmic horizontal axis.
        log_value: Logarithmic values.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.data.lock import locking
    from analysis.writing import files

    outputs = files.checked(output, files.FIGURES)
    opened = Results.open(results)
    with locking(opened, asked) as lock:
        from analysis.drawing import style
        from analysis.drawing.series import Series
        from analysis.writing.provenance import Told, provenance
    rows = opened.rows_for(value, [x, by], where)
    predictions = {name: opened.theory(name, [x, by], where) for name in theory or ()}
    drawn = Series.of(rows, value, x, by=by, theory=predictions, log_x=log_x)
    bare = f"{'Bands' if drawn.bands else 'Bars'}: {INTERVAL}"
    said = "Points and bars: mean over seeds and its 95 % t interval. Lines: theory." if theory else bare
    with style.paper():
        figure = drawn.page(width, log_value)
        told = Told("lines", asked, said, more=drawn.told(log_value), place="point", lock=lock())
        files.publish(figure, provenance(told, drawn.cells, rows.source), outputs)


def lines(
    data: Rows | pd.DataFrame | duckdb.DuckDBPyRelation,
    *,
    x: str,
    value: str,
    by: str | None = None,
    theory: Theory = None,
    log_x: bool = False,
    log_value: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw lines of `data` on `ax` in the style in force, or on a page of its own in the style of papers.

    Args:
        data: what `analysis.load` gives: a row for each trial.
        x, value, by, log_x, log_value: as in the verb `lines`.
        theory: columns of `data` that predict the value.
    Raises:
        AnalysisError: a column is unknown, the value is not a number, or there are more lines than an eye can follow.
    """
    from analysis.data.rows import Rows
    from analysis.drawing import style
    from analysis.drawing.series import Series, columns_of

    rows = Rows.of(data)
    drawn = Series.of(rows, value, x, by=by, theory=columns_of(rows, theory or ()), log_x=log_x)
    if ax is None:
        with style.paper():
            return drawn.page(None, log_value, shown=True).axes[0]
    handles = drawn.draw(ax, log_value)
    if handles:
        ax.legend(handles=handles, title=drawn.groups.title)
    return ax
