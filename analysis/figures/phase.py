"""Phase diagram: a value over two axes, the mean over seeds in every cell.

A cell without a mean says why: no trial ran there, trials diverged or failed, or no seed has all that is averaged. A
threshold draws the line on which the mean crosses it.
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
    x: str,
    y: str,
    value: str,
    where: Where = None,
    threshold: float | None = None,
    by: str | None = None,
    log_x: Flag = False,
    log_y: Flag = False,
    log_value: Flag = False,
    width: Width = None,
    output: Output,
) -> None:
    """Phase diagram: a value over two axes, the mean over seeds in every cell.

    Args:
        results: Folder or URI of a sweep's results.
        x: Column along the horizontal axis, numbers or words.
        y: Column along the vertical axis. A curve's step is called `step` or by its own name, such as `nodes_kept`.
        value: Metric or curve that the colour shows.
        threshold: Draw the line on which the mean crosses this.
        by: Column with one panel for each of its values.
        log_x: Logarithmic horizontal axis.
        log_y: Logarithmic vertical axis.
        log_value: Logarithmic colours.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.drawing import style
    from analysis.drawing.diagram import Diagram, View
    from analysis.writing import files
    from analysis.writing.provenance import Told, provenance, typical_interval

    outputs = files.checked(output, files.FIGURES)
    rows = Results.open(results).rows_for(value, [x, y, by], where)
    diagram = Diagram.of(rows, View(x, y, value, by, log_x, log_y, log_value, threshold))
    told = Told("phase", asked, typical_interval(diagram.cells), missing=diagram.missing())
    with style.paper():
        files.publish(diagram.page(width), provenance(told, diagram.cells, rows.source), outputs)


def phase(
    data: Rows | pd.DataFrame | duckdb.DuckDBPyRelation,
    *,
    x: str,
    y: str,
    value: str,
    threshold: float | None = None,
    log_x: bool = False,
    log_y: bool = False,
    log_value: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a phase diagram of `data` on `ax` in the style in force, or on a page of its own in the style of papers.

    Args:
        data: what `analysis.load` gives, or any table with the three columns and a row for each trial; a column `state`
            tells finished trials ("done") from others, columns `seed_…` tell repetitions apart.
        x, y, value, threshold, log_x, log_y, log_value: as in the verb `phase`.
    Raises:
        AnalysisError: a column is unknown, the value is not a number, or a logarithmic axis holds what is not positive.
    """
    from analysis.data.rows import Rows
    from analysis.drawing import style
    from analysis.drawing.diagram import Diagram, View

    view = View(x, y, value, None, log_x, log_y, log_value, threshold)
    diagram = Diagram.of(Rows.of(data), view)
    if ax is not None:
        diagram.draw(ax)
        return ax
    with style.paper():
        return diagram.page(shown=True).axes[0]
