"""Curves: a value over its steps, the mean over seeds as a line and its 95 % interval as a band.

What a step is (an update, a node kept) the metric says. Trials that diverged or failed have no curve; the footer counts
them. Where a mean cannot follow all runs behind it, as some end before others, they are thin lines. With a theory the
lines are theirs, and the means are points with bars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.options import Flag, Output, Theory, Where, Width

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from analysis.data.rows import Rows

BANDS = "Bands: 95 % t interval of the mean over seeds."
BARS = "Points and bars: mean over seeds and its 95 % t interval. Lines: theory."


def command(
    results: str,
    *,
    value: str,
    by: str | None = None,
    where: Where = None,
    theory: Theory = None,
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
    from analysis.data.lock import locking
    from analysis.writing import files

    outputs = files.checked(output, files.FIGURES)
    opened = Results.open(results)
    with locking(opened, asked) as lock:
        from analysis.drawing import style
        from analysis.drawing.series import Series
        from analysis.writing.provenance import Told, provenance
    rows = opened.steps(value, where)
    step = rows.step or "step"
    predictions = {name: opened.theory(name, [step], where) for name in theory or ()}
    drawn = Series.of(rows, value, step, by=by, theory=predictions, log_x=log_x)
    with style.paper():
        figure = drawn.page(width, log_value)
        said = BARS if theory else BANDS
        told = Told("curves", asked, said, more=drawn.told(), place="point", lock=lock())
        files.publish(figure, provenance(told, drawn.cells, rows.source), outputs)


def curves(
    data: Rows | pd.DataFrame,
    *,
    value: str,
    by: str | None = None,
    theory: Theory = None,
    log_x: bool = False,
    log_value: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw curves of `data` on `ax` in the style in force, or on a page of its own in the style of papers.

    Args:
        data: what `analysis.load(path, curve=value)` gives: a row for each trial and step.
        value, by, log_x, log_value: as in the verb `curves`.
        theory: columns of `data` that predict the value.
    Raises:
        AnalysisError: a column is unknown, the value is not a number, or there are more lines than an eye can follow.
    """
    from analysis.data.rows import Rows
    from analysis.drawing import style
    from analysis.drawing.series import Series, columns_of

    rows = Rows.of(data)
    step = rows.step or "step"
    rows.require(step)
    drawn = Series.of(rows, value, step, by=by, theory=columns_of(rows, theory or ()), log_x=log_x)
    if ax is None:
        with style.paper():
            return drawn.page(None, log_value, shown=True).axes[0]
    handles = drawn.draw(ax, log_value)
    if handles:
        ax.legend(handles=handles, title=drawn.groups.title)
    return ax
