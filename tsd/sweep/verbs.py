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
Name = Annotated[str | None, Parameter(help="One of them.")]
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
Mode = Annotated[
    Literal["cached", "retry", "force"],
    Parameter(help="cached runs what is not stored; retry also what failed; force everything."),
]


def _switch(told: str, name: str | None = None) -> Parameter:
    """A flag that takes no value."""
    return Parameter(name=name, negative="", show_default=False, help=told)


Local = Annotated[bool, _switch("In this process, without Ray.")]
Address = Annotated[str | None, Parameter(help="A running Ray cluster: auto, or HOST:PORT.")]
Json = Annotated[bool, _switch("For programs.", "--json")]


@Parameter(name="*")
@dataclass(frozen=True)
class Kept:
    """A sweep's results folder."""

    results: Results = "results"
    overrides: Overrides = ()


@Parameter(name="*")
@dataclass(frozen=True)
class Chosen(Kept):
    """Trials of a sweep: where their rows are, and which of them."""

    where: Where = None


FOLDER = Kept()
EVERY = Chosen()


@app.default
@app.command
def run(
    file: File,
    /,
    *,
    chosen: Chosen = EVERY,
    mode: Mode = "cached",
    here: Local = False,
    address: Address = None,
) -> int:
    """Run what is missing of a sweep. The same command resumes, extends and does nothing twice."""
    from tsd.sweep.asked import Asked
    from tsd.sweep.run import Runner
    from tsd.sweep.run import run as run_sweep

    if here and address:
        raise UserError("--here runs in this process and --address on a cluster; give one of the two.")
    flags = ["--here"] if here else ["--address", address] if address else []
    with Asked.of(file, chosen.results, chosen.overrides, chosen.where) as asked:

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
    chosen: Chosen = EVERY,
    here: Local = False,
    address: Address = None,
) -> int:
    """Run again what failed, beside what is missing: `run --mode retry`. --where picks among the trials."""
    return run(file, chosen=chosen, mode="retry", here=here, address=address)


@app.command
def plan(
    file: File,
    /,
    *,
    chosen: Chosen = EVERY,
    mode: Mode = "cached",
    explain: Annotated[bool, _switch("Also how trials are stepped and cut into packs, and why.")] = False,
    as_json: Json = False,
) -> int:
    """What a run would do: trials, what is stored, packs, artefacts, time. Nothing is launched."""
    import os

    from tsd.sweep.asked import Asked
    from tsd.sweep.explain import explain as explained
    from tsd.sweep.outline import render
    from tsd.sweep.shapes import Limits

    with Asked.of(file, chosen.results, chosen.overrides, chosen.where) as asked:
        planned = asked.plan(Limits.of(os.cpu_count() or 1, "cpu"), mode)
        command = asked.command("run", results=False)
        reasons = [explained(planned, asked.connection)] if explain and not as_json else []
    print(json.dumps(planned.as_dict(), indent=2) if as_json else render(planned, command, reasons))
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
    limit: Annotated[int, Parameter(help="Rows at most; 0 for all.", validator=Number(gte=0))] = 40,
    as_json: Json = False,
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
    kept: Kept = FOLDER,
    repair: Annotated[bool, _switch("Move what is damaged to damaged/; finish what was cut off.")] = False,
    as_json: Json = False,
) -> int:
    """Verify every part, manifest and artefact; --repair moves damaged ones aside, so that they are made again."""
    from tsd.sweep.look import store_of

    report = store_of(file, kept.results, kept.overrides).check(repair=repair)
    print(json.dumps(asdict(report), indent=2) if as_json else report)
    return 0 if report.sound or repair else 1


@app.command
def compact(
    file: File,
    /,
    *,
    kept: Kept = FOLDER,
    as_json: Json = False,
) -> int:
    """Merge the parts of a sweep into few large files, safely also while it runs."""
    from tsd.sweep.look import store_of

    report = store_of(file, kept.results, kept.overrides).compact()
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
    from tsd.trackers import ready
    from tsd.trackers._report import Report

    send = ready(to)
    rows = look.Rows.of(file, chosen.results, chosen.overrides, chosen.where)
    store = look.store_of(file, chosen.results, chosen.overrides)
    print(send(Report.of(store, rows.connection, rows.parameters), at))
    return 0


@app.command
def studies(name: Name = None, /, *, as_json: Json = False) -> int:
    """The studies; of one, its fields and what it reports."""
    from tsd.sweep import manual

    told = manual.questions() if name is None else manual.study(name)
    lines = manual.render(told) if name else "\n".join(f"{study}\n    {asked}" for study, asked in told.items())
    print(json.dumps(told, indent=2) if as_json else lines)
    return 0


@app.command
def methods(name: Name = None, /, *, as_json: Json = False) -> int:
    """The distillation methods: who teaches, what passes, where it attaches, on which data, when; what each needs. Of
    one, its fields."""
    from tsd.methods._table import table
    from tsd.sweep import manual
    from tsd.sweep.look import render_table

    if name is not None:
        told = manual.method(name)
        print(json.dumps(told, indent=2) if as_json else manual.render(told))
        return 0
    found = table()
    header = ["method", *next(iter(found.values()))]
    rows: list[list[Any]] = [[name, *row.values()] for name, row in found.items()]
    print(json.dumps(found, indent=2) if as_json else render_table(header, rows))
    return 0
