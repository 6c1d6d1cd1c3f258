"""Collapse: finite-size scaling, the critical point and exponents at which the curves of all sizes become one.

Value = size^h × f((control − critical) × size^(1/ν)). What it finds and what speaks against believing it
stand under the figure, and the numbers in a CSV where one is asked for.
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
    size: str,
    control: str,
    height: float = 0.0,
    fit_height: Flag = False,
    where: Where = None,
    width: Width = None,
    output: Output,
) -> None:
    """Collapse: finite-size scaling of a value over a control for every size.

    Args:
        results: Folder or URI of a sweep's results.
        value: Metric or curve that is collapsed.
        size: Column of the system's size.
        control: Column that drives the transition.
        height: Exponent h of the value's height, size^h.
        fit_height: Fit the exponent of the height too.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.data.lock import locking
    from analysis.writing import files

    outputs = files.checked(output, (*files.FIGURES, ".csv"))
    opened = Results.open(results)
    with locking(opened, asked) as lock:
        from analysis.drawing import style
        from analysis.drawing.collapsed import Collapsed
        from analysis.statistics.collapse import collapse as fitted
        from analysis.statistics.collapse import table
        from analysis.writing.provenance import Told, provenance
    rows = opened.rows_for(value, [size, control], where)
    found = fitted(rows, value=value, size=size, control=control, height=None if fit_height else height)
    drawn = Collapsed.of(found, size, control, value)
    with style.paper():
        told = Told("collapse", asked, " ".join(drawn.sentences()), kind="bootstrap", place="point", lock=lock())
        files.publish(drawn.page(width), provenance(told, found.cells, rows.source), outputs, table(found))
    print("\n".join(drawn.sentences()))


def collapse(
    data: Rows | pd.DataFrame | duckdb.DuckDBPyRelation,
    *,
    value: str,
    size: str,
    control: str,
    height: float = 0.0,
    fit_height: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the collapsed points of `data` on `ax`, or on a page beside the measured ones in the style of papers.

    Args:
        data: what `analysis.load` gives: a row for each trial.
        value, size, control, height, fit_height: as in the verb `collapse`; `analysis.statistics.collapse` has numbers.
    Returns:
        The axes of the collapsed points.
    Raises:
        AnalysisError: the columns do not make a collapse.
    """
    from analysis.data.rows import Rows
    from analysis.drawing import style
    from analysis.drawing.collapsed import Collapsed
    from analysis.statistics.collapse import collapse as fitted

    found = fitted(Rows.of(data), value=value, size=size, control=control, height=None if fit_height else height)
    drawn = Collapsed.of(found, size, control, value)
    if ax is None:
        with style.paper():
            return drawn.page(None, shown=True).axes[1]
    ax.legend(handles=drawn.draw(ax), title=drawn.groups.title)
    return ax
