"""`python -m analysis`: figures, tables and SQL from a results folder. Every file of `analysis/figures` is a verb."""

import os
import sys
from typing import Annotated, Literal

from cyclopts import App, Parameter

from analysis import figures
from analysis.options import MaybeOutput, Where
from tsd.store import UserError

app = App(name="python -m analysis", help="From a folder of results to figures and tables.", version_flags=[])
for name in figures.names():
    app.command(figures.find(name).command, name=name)


@app.command
def table(
    results: str,
    *,
    rows: str,
    columns: str | None = None,
    value: str,
    where: Where = None,
    best: Literal["max", "min"] | None = None,
    reference: str | None = None,
    interval: Literal["t", "bootstrap"] = "t",
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
        interval: Interval of a mean: Student's t, or the bootstrap.
    """
    asked = dict(locals())
    from analysis import files, tables
    from analysis.compare import compare
    from analysis.load import Results
    from analysis.provenance import provenance
    from analysis.rounding import in_words, told

    outputs = files.checked(output or [], files.TABLES)
    chosen = Results.open(results).rows_for(value, [rows, columns], where)
    found = compare(chosen, (rows, columns), value, better=best, reference=reference, interval=interval)
    origin = provenance(told(found, asked), found.cells, chosen.source)
    tables.publish(found, in_words(found, origin), chosen.source, outputs)


@app.command
def sql(
    results: str,
    query: str,
    *,
    format: Annotated[Literal["table", "csv", "json", "md"], Parameter(name=["--format", "-f"])] = "table",
    output: MaybeOutput = None,
) -> None:
    """SQL: answer a question over the views `trials` and `curves`, which is all it can read.

    Args:
        results: Folder or URI of a sweep's results.
        query: One SELECT, as DuckDB understands it.
        format: How to print the answer where no file is asked for.
    """
    from analysis import files
    from analysis.load import Results
    from analysis.sql import publish

    found = Results.open(results)
    found.rows()  # tells of a folder without trials
    publish(found, query, format, files.checked(output or [], files.ANSWERS))


def main() -> None:
    """Run the command line. A user's mistake is told without a traceback and ends with its own exit code."""
    try:
        app()
    except UserError as mistake:
        sys.stderr.write(f"{mistake}\n")
        sys.exit(mistake.exit_code)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
