"""`python -m analysis`: figures, tables and SQL from a results folder. Every file of `analysis/figures` is a verb."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from analysis import figures
from analysis.options import MaybeOutput, Output
from tsd.store import UserError

app = App(name="python -m analysis", help="From a folder of results to figures and tables.", version_flags=[])
for name in figures.names():
    app.command(figures.find(name).command, name=name)


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
    from analysis.data.load import Results
    from analysis.data.sql import publish
    from analysis.writing import files

    found = Results.open(results)
    found.rows()  # tells of a folder without trials
    publish(found, query, format, files.checked(output or [], files.ANSWERS))


@app.command
def verify(file: Path, *, results: Annotated[list[str] | None, Parameter(negative=())] = None) -> None:
    """Verify: is a figure or table still what the results say? Fresh, stale (and what changed) or unknown.

    Exit code 0 for fresh, 1 for stale or unknown.

    Args:
        file: Figure, table or report that this program made: png, pdf, md, csv, tex or html.
        results: Where the results are now; the file knows where they were. Again for each further sweep of a report.
    """
    from analysis.writing.verify import verify as verified

    verdict = verified(file, results or [])
    print(f"{file} is {verdict}")
    sys.exit(verdict.state != "fresh")


@app.command
def report(
    results: str,
    *more: str,
    question: Annotated[list[str] | None, Parameter(negative=())] = None,
    output: Output,
) -> None:
    """Report: one web page about a sweep, or several, that loads nothing: figures, cells, coverage, failures.

    Args:
        results: Folder or URI of a sweep's results.
        more: Further ones, which stand below it.
        question: What the sweep asks, where its file does not say so; again for each further one.
    """
    from itertools import zip_longest

    from analysis.writing import files
    from analysis.writing.report import page, section

    outputs = files.checked(output, (".html",))
    paths = [results, *more]
    asked = list(zip_longest(paths, (question or [])[: len(paths)], fillvalue=""))
    text = page([section(path, words) for path, words in asked], paths)
    for path in outputs:
        with files.written(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


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
