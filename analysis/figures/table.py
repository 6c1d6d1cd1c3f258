"""Table: a value by rows and columns, mean and interval over seeds, the best of each column and its ties in bold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from analysis.options import MaybeOutput, Where

if TYPE_CHECKING:
    import pandas as pd

    from analysis.data.published import Beside
    from analysis.data.rows import Rows
    from analysis.statistics.compare import Comparison
    from analysis.writing.tables import Table


def command(
    results: str,
    *,
    rows: str,
    columns: str | None = None,
    value: str,
    where: Where = None,
    best: Literal["max", "min"] | None = None,
    reference: str | None = None,
    interval: Literal["t", "bootstrap", "iqm"] = "t",
    correct: Literal["holm"] | None = None,
    published: Path | None = None,
    output: MaybeOutput = None,
) -> None:
    """Table: a value by rows and columns, mean and interval over seeds, the best of each column and its ties in bold.

    Args:
        results: Folder or URI of a sweep's results.
        rows: Column with a row for each of its values, such as method.
        columns: Column with a column for each of its values.
        value: Metric that is compared.
        best: Whether more or less is better; the metric's name says it where this does not.
        reference: Row that the others' differences are told to, such as none.
        interval: Student's t or the bootstrap of a mean, or the inter-quartile mean with its bootstrap.
        correct: Adjust what ties with the best, and differences to the reference, for the number of comparisons.
        published: YAML file of published values, to stand beside ours; sweeps/published holds some.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.data.lock import locking
    from analysis.writing import files

    outputs = files.checked(output or [], files.TABLES)
    opened = Results.open(results)
    with locking(opened, asked) as lock:
        from analysis.statistics.compare import compare
        from analysis.writing import tables
        from analysis.writing.footer import told
        from analysis.writing.provenance import provenance
        from analysis.writing.rounding import in_words
    chosen = opened.rows_for(value, [rows, columns], where)
    options = {"better": best, "reference": reference, "correct": correct}
    found = compare(chosen, (rows, columns), value, interval=interval, **options)
    beside = _beside(published, found)
    origin = provenance(told(found, asked, lock(), beside), found.cells, chosen.source)
    numbers = tables.comma_separated(found, chosen.source, beside)
    tables.publish(in_words(found, origin, beside), numbers, outputs)


def table(
    data: Rows | pd.DataFrame,
    *,
    rows: str,
    columns: str | None = None,
    value: str,
    best: str | None = None,
    reference: str | None = None,
    interval: str = "t",
    correct: str | None = None,
    published: str | Path | None = None,
) -> Table:
    """The table of `data`; a notebook shows it, and `analysis.writing.tables` writes it.

    Args:
        data: what `analysis.load` gives: a row for each trial.
        rows, columns, value, best, reference, interval, correct, published: as in the verb `table`.
    Raises:
        AnalysisError: a column is unknown, the value is not a number, or the published values belong to another table.
    """
    asked = {name: given for name, given in locals().items() if name != "data"}
    from analysis.data.rows import Rows
    from analysis.statistics.compare import compare
    from analysis.writing.footer import told
    from analysis.writing.provenance import provenance
    from analysis.writing.rounding import in_words

    chosen = Rows.of(data)
    options = {"better": best, "reference": reference, "correct": correct}
    found = compare(chosen, (rows, columns), value, interval=interval, **options)
    beside = _beside(published, found)
    return in_words(found, provenance(told(found, asked, published=beside), found.cells, chosen.source), beside)


def _beside(path: str | Path | None, found: Comparison) -> Beside | None:
    if path is None:
        return None
    from analysis.data.published import Published

    known = Published.read(path)
    known.check(found.value, found.unit, (found.rows.name, found.columns.name or None))
    return known.beside(found.rows.values, found.columns.values, found.unit)
