"""`python -m analysis`: figures, tables and SQL from a results folder. Every file of `analysis/figures` is a verb."""

import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from tsd.store import UserError, lacking

try:
    from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError
except ModuleNotFoundError as missing:
    print(lacking(missing), file=sys.stderr)
    sys.exit(UserError.exit_code)

from analysis import figures
from analysis.options import MaybeOutput, Output

NEEDED = {
    "RESULTS": "a folder or URI such as results/<name of the sweep>",
    "QUERY": "such as 'select count(*) from trials'",
    "FILE": "a figure, table or report",
}
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
    paths, questions = [results, *more], question or []
    if len(questions) > len(paths):
        raise UserError(f"--question {questions[len(paths)]}: there is no sweep to ask this of; one question for each.")
    text = page([section(path, words) for path, words in zip_longest(paths, questions, fillvalue="")], paths)
    for path in outputs:
        with files.written(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def main(words: Sequence[str] | None = None) -> None:
    """Run a command line, by default this process's.

    A user's mistake is told without a traceback and ends with its own exit code.
    """
    given = list(sys.argv[1:] if words is None else words)
    try:
        _must_say_something(given)
        app(given, exit_on_error=False, print_error=False)
    except CycloptsError as mistake:
        _end(_told(mistake, given[0]))
    except UserError as mistake:
        _end(str(mistake), mistake.exit_code)
    except ModuleNotFoundError as missing:
        _end(str(lacking(missing)))
    except RuntimeError as problem:
        if str(problem) != "Query interrupted":  # DuckDB's word for Ctrl-C, which cyclopts does not know
            raise
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(words: str, code: int = UserError.exit_code) -> NoReturn:
    print(words, file=sys.stderr)
    sys.exit(code)


def _must_say_something(words: Sequence[str]) -> None:
    """Raises UserError at an empty word, which would be taken for a column; a sweep may be asked nothing."""
    for before, word in pairwise(["python -m analysis", *words]):
        if not word and before != "--question":
            raise UserError(f"Nothing but an empty word stands after `{before}`: a variable of the shell may be unset.")


def _told(mistake: CycloptsError, verb: str) -> str:
    """What is wrong with a command line, and where its right form stands."""
    if verb not in app:
        return str(mistake)
    lists = f"`python -m analysis {verb} --help` lists what it takes."
    if isinstance(mistake, UnusedCliTokensError):
        return f"`{' '.join(mistake.unused_tokens or ())}` is left over.\n{lists}"
    missing = mistake.argument if isinstance(mistake, MissingArgumentError) else None
    if missing and missing.index is not None:
        name = missing.name.strip("-").upper()
        return f"`{verb}` needs {name}, {NEEDED[name]}.\n{lists}"
    return f"{mistake}\n{lists}"


if __name__ == "__main__":
    main()
