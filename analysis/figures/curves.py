"""Curves: a value over its steps, the mean over seeds as a line and its 95 % interval as a band.

What a step is (an update, a node kept) the metric says. Trials that diverged or failed have no curve; the footer counts
them. Where a mean cannot follow all runs behind it, as some end before others, they are thin lines. With a theory the
lines are theirs, and the means are points with bars.
"""

from __future__ import annotations

from dataclasses import replace
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
    as_theory: str | None = None,
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
        as_theory: SQL condition that chooses trials that are theory, such as "dynamics = 'ode'": the line of their mean
            over the points of the others.
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
    if as_theory is not None:
        rows, predictions[as_theory] = _parted(rows, as_theory, value, by)
    drawn = Series.of(rows, value, step, by=by, theory=predictions, log_x=log_x)
    with style.paper():
        figure = drawn.page(width, log_value)
        said = BARS if predictions else BANDS
        told = Told("curves", asked, said, more=drawn.told(log_value), place="point", lock=lock())
        files.publish(figure, provenance(told, drawn.cells, rows.source), outputs)


def curves(
    data: Rows | pd.DataFrame,
    *,
    value: str,
    by: str | None = None,
    theory: Theory = None,
    as_theory: str | None = None,
    log_x: bool = False,
    log_value: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw curves of `data` on `ax` in the style in force, or on a page of its own in the style of papers.

    Args:
        data: what `analysis.load(path, curve=value)` gives: a row for each trial and step.
        value, by, as_theory, log_x, log_value: as in the verb `curves`.
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
    predictions = columns_of(rows, theory or ())
    if as_theory is not None:
        rows, predictions[as_theory] = _parted(rows, as_theory, value, by)
    drawn = Series.of(rows, value, step, by=by, theory=predictions, log_x=log_x)
    if ax is None:
        with style.paper():
            return drawn.page(None, log_value, shown=True).axes[0]
    handles = drawn.draw(ax, log_value)
    if handles:
        ax.legend(handles=handles, title=drawn.groups.title)
    return ax


def _parted(rows: Rows, condition: str, value: str, by: str | None) -> tuple[Rows, Rows]:
    """The rows that do not fulfil `condition`, and those that do, their value in a column that is called like it.

    Where these have other values of `by`, as where the condition is about that column, they belong to all groups.
    """
    from analysis.data.rows import quoted

    rows.require(value, *([by] if by else []))
    predicted, others = _those(rows, condition), _those(rows, f"({condition}\n) IS NOT TRUE")
    apart = by and not set(predicted.distinct([by])) & set(others.distinct([by]))
    columns = f"* REPLACE (NULL AS {quoted(by)})" if by and apart else "*"
    return others, predicted.over(predicted.relation.project(f"{columns}, {quoted(value)} AS {quoted(condition)}"))


def _those(rows: Rows, condition: str) -> Rows:
    from analysis.data.where import chosen

    behind = rows.behind and _those(rows.behind, condition)
    return replace(rows, relation=chosen(rows.relation, condition, "--as-theory"), behind=behind)
