"""`python -m tsd.sweep`: the verbs. Each reads its arguments, calls one function and prints; there is no logic here."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError
from cyclopts.validators import Number
from rich.console import Console

from tsd import __version__
from tsd.errors import UserError

app = App(
    name="python -m tsd.sweep",
    help="Teacher–student sweeps: one YAML file in, typed Parquet out.",
    version=__version__,
    help_format="plaintext",
)

File = Annotated[Path, Parameter(help="A sweep file.")]
Results = Annotated[str, Parameter(help="Folder or URI (s3://…) under which each sweep has its own folder.")]
Overrides = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative="",
        show_default=False,
        help="KEY=VALUE on top of the file, once for each: a field, or fixed.…, axes.…, seeds, name, resources.…",
    ),
]
Where = Annotated[str | None, Parameter(help="SQL condition on the trials.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="For programs.")]
Mode = Annotated[
    Literal["cached", "retry", "force"],
    Parameter(help="cached runs what is not stored; retry also what failed; force everything."),
]


@app.default
@app.command
def run(
    file: File,
    /,
    *,
    results: Results = "results",
    mode: Mode = "cached",
    here: Annotated[bool, Parameter(negative="", help="In this process, without Ray.")] = False,
    address: Annotated[str | None, Parameter(help="A running Ray cluster: auto, or HOST:PORT.")] = None,
    where: Where = None,
    overrides: Overrides = (),
) -> int:
    """Run what is missing of a sweep. The same command resumes, extends and does nothing twice."""
    from tsd.sweep.asked import Asked
    from tsd.sweep.run import Runner
    from tsd.sweep.run import run as run_sweep

    if here and address:
        raise UserError("--here runs in this process and --address on a cluster; give one of the two.")
    flags = ["--here"] if here else ["--address", address] if address else []
    with Asked.of(file, results, overrides, where) as asked:

        def start() -> Runner:
            if here:
                from tsd.sweep.here import Here

                return Here.on_this_machine(asked.sweep.resources)
            from tsd.sweep.schedule import Cluster

            return Cluster(asked.sweep.resources, address, asked.gpu_share())

        return run_sweep(asked, start, mode, Console(), flags)


@app.command
def retry(
    file: File,
    /,
    *,
    results: Results = "results",
    here: Annotated[bool, Parameter(negative="", help="In this process, without Ray.")] = False,
    address: Annotated[str | None, Parameter(help="A running Ray cluster: auto, or HOST:PORT.")] = None,
    where: Where = None,
    overrides: Overrides = (),
) -> int:
    """Run again what failed, beside what is missing: `run --mode retry`. --where picks among the trials."""
    return run(file, results=results, mode="retry", here=here, address=address, where=where, overrides=overrides)


@app.command
def plan(
    file: File,
    /,
    *,
    results: Results = "results",
    mode: Mode = "cached",
    where: Where = None,
    overrides: Overrides = (),
    explain: Annotated[
        bool, Parameter(negative="", help="Also how trials are stepped and cut into packs, and why.")
    ] = False,
    as_json: Json = False,
) -> int:
    """What a run would do: trials, what is stored, packs, artefacts, time. Nothing is launched."""
    import os

    from tsd.sweep import pack
    from tsd.sweep.asked import Asked
    from tsd.sweep.explain import explain as explained
    from tsd.sweep.plan import render, submit
    from tsd.sweep.watch import number

    with Asked.of(file, results, overrides, where) as asked:
        planned = asked.plan(pack.Limits.of(os.cpu_count() or 1, "cpu"), mode)
        command = asked.command("run", results=False)
        reasons = [explained(planned, asked.connection, number)] if explain and not as_json else []
    if as_json:
        print(json.dumps(planned.as_dict(), indent=2))
    else:
        print(render(planned, number), *reasons, submit(planned, command), sep="\n")
    return 0


@app.command
def status(
    file: File,
    /,
    *,
    results: Results = "results",
    where: Where = None,
    overrides: Overrides = (),
    as_json: Json = False,
) -> int:
    """How far a sweep is, also while it runs elsewhere. Exit code 0 once all trials are stored and none has failed."""
    from tsd.sweep import runs
    from tsd.sweep.asked import Asked
    from tsd.sweep.watch import number

    with Asked.of(file, results, overrides, where) as asked:
        standing = asked.compare("cached")
    found = runs.unfinished(asked.store.events())
    going = [run for run in found if run.alive] or found[-1:]
    counts = {name: getattr(standing, name) for name in ("done", "diverged", "failed", "new", "orphans")}
    if as_json:
        told = {"name": asked.sweep.name, "trials": asked.grid.total, "runs": [run.as_dict() for run in going]}
        print(json.dumps(told | counts))
    else:
        shown = " · ".join(f"{number(n)} {'waiting' if state == 'new' else state}" for state, n in counts.items() if n)
        total = number(asked.grid.total)
        print(f"{asked.sweep.name}   {total} trials: {shown or 'nothing stored'}   ({asked.store})")
        print("".join(f"{runs.render(run)}\n" for run in going), end="")
    return 1 if standing.failed or standing.new else 0


@app.command
def failures(
    file: File,
    /,
    *,
    results: Results = "results",
    where: Where = None,
    overrides: Overrides = (),
    as_json: Json = False,
) -> int:
    """Why trials failed: grouped by cause, with the parameter values that all members of a cause share."""
    from tsd.sweep import look

    rows = look.Rows.of(file, results, overrides, where)
    found = look.failures(rows.connection, rows.parameters)
    print(json.dumps(found, indent=2, default=str) if as_json else look.render_failures(found))
    return 1 if found else 0


@app.command
def show(
    file: File,
    /,
    *,
    results: Results = "results",
    where: Where = None,
    overrides: Overrides = (),
    as_json: Json = False,
    limit: Annotated[int, Parameter(help="Rows at most; 0 for all.", validator=Number(gte=0))] = 40,
) -> int:
    """The stored rows, in the columns in which they differ."""
    from tsd.sweep import look

    header, table = look.Rows.of(file, results, overrides, where).telling(limit)
    records = [dict(zip(header, row, strict=True)) for row in table]
    print(json.dumps(records, indent=2, default=str) if as_json else look.render_rows(header, table))
    return 0


@app.command
def check(
    file: File,
    /,
    *,
    results: Results = "results",
    overrides: Overrides = (),
    repair: Annotated[bool, Parameter(negative="", help="Move what is damaged to damaged/.")] = False,
    as_json: Json = False,
) -> int:
    """Verify every part and artefact of a sweep; --repair moves damaged ones aside, so that they are made again."""
    from tsd.sweep.look import store_of

    report = store_of(file, results, overrides).check(repair=repair)
    print(json.dumps(asdict(report), indent=2) if as_json else report)
    return 0 if report.sound or repair else 1


@app.command
def compact(file: File, /, *, results: Results = "results", overrides: Overrides = (), as_json: Json = False) -> int:
    """Merge the parts of a sweep into few large files, safely also while it runs."""
    from tsd.sweep.look import store_of

    report = store_of(file, results, overrides).compact()
    print(json.dumps(asdict(report), indent=2) if as_json else report)
    return 0


@app.command
def track(
    file: File,
    /,
    *,
    to: Annotated[str, Parameter(help="mlflow, wandb or tensorboard.")],
    at: Annotated[str | None, Parameter(help="Its address, project or folder, if not where it always is.")] = None,
    results: Results = "results",
    where: Where = None,
    overrides: Overrides = (),
) -> int:
    """Tell a tracker of a sweep: one run with a summary and tables, from what is stored by now."""
    from tsd.sweep import look
    from tsd.trackers import track as send
    from tsd.trackers._report import Report

    rows = look.Rows.of(file, results, overrides, where)
    print(send(Report.of(look.store_of(file, results, overrides), rows.connection, rows.parameters), to, at))
    return 0


@app.command
def methods(*, as_json: Json = False) -> int:
    """The distillation methods: who teaches, what passes, where it attaches, on which data, when."""
    from tsd.methods import METHODS
    from tsd.sweep.look import render_table

    table = {name: asdict(METHODS.load(name).Method.taxonomy) for name in METHODS.names()}
    header = ["method", *next(iter(table.values()))]
    rows: list[list[Any]] = [[name, *row.values()] for name, row in table.items()]
    print(json.dumps(table, indent=2) if as_json else render_table(header, rows))
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's.

    Returns:
        0 all asked-for trials stored, 1 some failed, 2 bad input, 3 no cluster, 130 interrupted.
    """
    given = list(sys.argv[1:] if words is None else words) or ["--help"]
    try:
        _must_be_verb_or_file(given)
        code = app(given, exit_on_error=False, print_error=False, result_action="return_value")
    except UnusedCliTokensError as error:
        unused = " ".join(error.unused_tokens or ())
        print(
            f"`{unused}` belongs to nothing here. A flag such as --set is given once for each value.", file=sys.stderr
        )
        return UserError.exit_code
    except CycloptsError as error:
        print(error, file=sys.stderr)
        return UserError.exit_code
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on with what is missing.", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


def _must_be_verb_or_file(words: Sequence[str]) -> None:
    """Raises UserError where the first word is neither, and would be taken for the name of a file."""
    verbs = [name for name in app if not name.startswith("-")]
    first = words[0]
    if first in verbs or first.startswith("-") or "." in first or Path(first).exists():
        return
    near = "".join(f" Did you mean `{name}`?" for name in get_close_matches(first, verbs, n=1))
    raise UserError(f"`{first}` is neither a command ({', '.join(verbs)}) nor a sweep file.{near}")


if __name__ == "__main__":
    sys.exit(main())
