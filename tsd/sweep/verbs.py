"""The verbs of `python -m tsd.sweep`. Each reads its flags, calls, and prints what comes back; there is no logic here.

What a verb needs is imported when it is called, so that `--help` and a mistyped flag wait for nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
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


@Parameter(name="*")
@dataclass(frozen=True)
class Chosen:
    """Stored rows of a sweep: where they are, and which of them."""

    results: Results = "results"
    where: Where = None
    overrides: Overrides = ()


EVERY = Chosen()


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

    from tsd.sweep.asked import Asked
    from tsd.sweep.explain import explain as explained
    from tsd.sweep.outline import render, submit
    from tsd.sweep.shapes import Limits

    with Asked.of(file, results, overrides, where) as asked:
        planned = asked.plan(Limits.of(os.cpu_count() or 1, "cpu"), mode)
        command = asked.command("run", results=False)
        reasons = [explained(planned, asked.connection)] if explain and not as_json else []
    if as_json:
        print(json.dumps(planned.as_dict(), indent=2))
    else:
        print(render(planned), *reasons, submit(planned, command), sep="\n")
    return 0


@app.command
def status(
    file: File,
    /,
    *,
    chosen: Chosen = EVERY,
    as_json: Json = False,
) -> int:
    """How far a sweep is, also while it runs elsewhere. Exit code 0 once all trials are stored and none has failed."""
    from tsd.sweep.asked import Asked
    from tsd.sweep.status import Status

    with Asked.of(file, chosen.results, chosen.overrides, chosen.where) as asked:
        found = Status.of(asked)
    print(json.dumps(found.as_dict()) if as_json else found)
    return 0 if found.complete else 1


@app.command
def failures(
    file: File,
    /,
    *,
    chosen: Chosen = EVERY,
    as_json: Json = False,
) -> int:
    """Why trials failed: grouped by cause, with the parameter values that all members of a cause share."""
    from tsd.sweep import look

    rows = look.Rows.of(file, chosen.results, chosen.overrides, chosen.where)
    found = look.failures(rows.connection, rows.parameters)
    print(json.dumps(found, indent=2, default=str) if as_json else look.render_failures(found))
    return 1 if found else 0


@app.command
def show(
    file: File,
    /,
    *,
    chosen: Chosen = EVERY,
    as_json: Json = False,
    limit: Annotated[int, Parameter(help="Rows at most; 0 for all.", validator=Number(gte=0))] = 40,
) -> int:
    """The stored rows, in the columns in which they differ."""
    from tsd.sweep import look

    header, table = look.Rows.of(file, chosen.results, chosen.overrides, chosen.where).telling(limit)
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
    repair: Annotated[
        bool, Parameter(negative="", help="Move what is damaged to damaged/; finish what was cut off.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Verify every part, manifest and artefact; --repair moves damaged ones aside, so that they are made again."""
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
    chosen: Chosen = EVERY,
) -> int:
    """Tell a tracker of a sweep: one run with a summary and tables, from what is stored by now."""
    from tsd.sweep import look
    from tsd.trackers import track as send
    from tsd.trackers._report import Report

    rows = look.Rows.of(file, chosen.results, chosen.overrides, chosen.where)
    print(
        send(Report.of(look.store_of(file, chosen.results, chosen.overrides), rows.connection, rows.parameters), to, at)
    )
    return 0


@app.command
def methods(*, as_json: Json = False) -> int:
    """The distillation methods: who teaches, what passes, where it attaches, on which data, when; what each needs."""
    from tsd.methods._table import table
    from tsd.sweep.look import render_table

    found = table()
    header = ["method", *next(iter(found.values()))]
    rows: list[list[Any]] = [[name, *row.values()] for name, row in found.items()]
    print(json.dumps(found, indent=2) if as_json else render_table(header, rows))
    return 0
