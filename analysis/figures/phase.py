"""Phase diagram: a value over two axes, the mean over seeds in every cell.

A cell without a mean says why: no trial ran there, trials diverged or failed, or no seed has all that is averaged. A
threshold draws the line on which the mean crosses it. Where the value is a word, the colour is the outcome that most
trials had, and cells whose seeds disagree are marked. With `minus` it is a difference between pairs of trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from analysis.options import Flag, Lines, Output, Where, Width

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
    minus: str | None = None,
    threshold: float | None = None,
    theory: str | None = None,
    line: Lines = None,
    by: str | None = None,
    log_x: Flag = False,
    log_y: Flag = False,
    log_value: Flag = False,
    shading: Literal["tiles", "continuous"] | None = None,
    width: Width = None,
    output: Output,
) -> None:
    """Phase diagram: a value over two axes, the mean over seeds in every cell.

    Args:
        results: Folder or URI of a sweep's results.
        x: Column along the horizontal axis, numbers or words.
        y: Column along the vertical axis. A curve's step is called `step` or by its own name, such as `nodes_kept`.
        value: Metric or curve that the colour shows; of words, such as an outcome, the most frequent.
        minus: SQL condition that chooses reference trials, such as "method = 'none'": the colour is the difference of
            each other trial to the one of them that has its seeds and its other parameters.
        threshold: Draw the line on which the mean crosses this; its points and their bounds go to a .csv.
        theory: Metric that predicts the value: draw where it crosses the threshold, or where its outcomes meet.
        by: Column with one panel for each of its values.
        log_x: Logarithmic horizontal axis.
        log_y: Logarithmic vertical axis.
        log_value: Logarithmic colours.
        shading: A tile for each cell, or colours between the points; left out, tiles unless most cells were never run.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.data.lock import locking
    from analysis.writing import files

    outputs = files.checked(output, files.FIGURES if threshold is None else (*files.FIGURES, ".csv"))
    opened = Results.open(results)
    with locking(opened, asked) as lock:
        from analysis.drawing import style
        from analysis.drawing.diagram import Diagram, View
        from analysis.writing.provenance import Told, provenance, typical_interval
    rows = opened.rows_for(value, [x, y, by], where)
    view = View(x, y, value, by, log_x, log_y, log_value, threshold, theory, tuple(line or ()), minus, shading)
    predictions = {name: opened.theory(name, [x, by], where) for name in view.lines}
    predictions |= {theory: opened.theory(theory, [x, y, by], where)} if theory else {}
    diagram = Diagram.of(rows, view, predictions)
    said = diagram.agreement() or typical_interval(diagram.cells)
    told = Told("phase", asked, said, more=diagram.told(), missing=diagram.missing(), lock=lock())
    with style.paper():
        origin = provenance(told, diagram.cells, rows.source)
        files.publish(diagram.page(width), origin, outputs, diagram.boundary())


def phase(
    data: Rows | pd.DataFrame | duckdb.DuckDBPyRelation,
    *,
    x: str,
    y: str,
    value: str,
    minus: str | None = None,
    threshold: float | None = None,
    theory: str | None = None,
    line: Lines = None,
    log_x: bool = False,
    log_y: bool = False,
    log_value: bool = False,
    shading: Literal["tiles", "continuous"] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a phase diagram of `data` on `ax` in the style in force, or on a page of its own in the style of papers.

    Args:
        data: what `analysis.load` gives, or any table with the three columns and a row for each trial; a column `state`
            tells finished trials ("done") from others, columns `seed_…` tell repetitions apart.
        x, y, value, minus, threshold, log_x, log_y, log_value, shading: as in the verb `phase`.
        theory, line: columns of `data` that predict the value, or y.
    Raises:
        AnalysisError: a column is unknown, the value is not a number, or a logarithmic axis holds what is not positive.
    """
    from analysis.data.rows import Rows
    from analysis.drawing import style
    from analysis.drawing.diagram import Diagram, View

    view = View(x, y, value, None, log_x, log_y, log_value, threshold, theory, tuple(line or ()), minus, shading)
    diagram = Diagram.of(Rows.of(data), view)
    if ax is not None:
        diagram.draw(ax)
        return ax
    with style.paper():
        return diagram.page(shown=True).axes[0]
