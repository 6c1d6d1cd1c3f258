"""Curves: a value over its steps, the mean over seeds as a line and its 95 % interval as a band.

What a step is (an update, a node kept) the metric says. Trials that diverged or failed have no curve; the footer counts
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.options import Flag, Output, Where, Width

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from analysis.data.rows import Rows

BAND = "Bands: 95 % t interval of the mean over seeds."


def command(
    results: str,
    *,
    value: str,
    by: str | None = None,
    where: Where = None,
    log_x: Flag = False,
    log_value: Flag = False,
    width: Width = None,
    output: Output,
) -> None:
    """Curves: a value over its steps, the mean over seeds with a band for its interval.

    Args:
        results: Folder or URI of a sweep's results.
        value: Curve to draw.
        by: Column with one line for each of its values.
        log_x: Logarithmic steps; step 0 has no place among them.
        log_value: Logarithmic values.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.drawing import style
    from analysis.drawing.trajectories import Trajectories
    from analysis.writing import files
    from analysis.writing.provenance import Told, provenance

    outputs = files.checked(output, files.FIGURES)
    rows = Results.open(results).steps(value, where)
    drawn = Trajectories.of(rows, value, by)
    with style.paper():
        figure = drawn.page(width, log_x, log_value)
        told = Told("curves", asked, BAND, place="point")
        files.publish(figure, provenance(told, drawn.cells, rows.source), outputs)


def curves(
    data: Rows | pd.DataFrame,
    *,
    value: str,
    by: str | None = None,
    log_x: bool = False,
    log_value: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw curves of `data` on `ax` in the style in force, or on a page of its own in the style of papers.

    Args:
        data: what `analysis.load(path, curve=value)` gives: a row for each trial and step.
        value, by, log_x, log_value: as in the verb `curves`.
    Raises:
        AnalysisError: a column is unknown, the value is not a number, or there are more lines than an eye can follow.
    """
    from analysis.data.rows import Rows
    from analysis.drawing import style
    from analysis.drawing.trajectories import Trajectories

    drawn = Trajectories.of(Rows.of(data), value, by)
    if ax is None:
        with style.paper():
            return drawn.page(None, log_x, log_value, shown=True).axes[0]
    lines = drawn.draw(ax, log_x, log_value)
    if by:
        ax.legend(handles=lines, title=drawn.by)
    return ax
