"""One run of a sweep: plan, train what is missing, work the packs wave by wave, and say how it ended.

The driver keeps counters and one wave of packs. Killed at any moment it loses nothing: the next run plans the
difference again.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import duckdb
from rich.console import Console

from tsd.store import EventLog, Store, StoreError, provenance
from tsd.sweep import grid, pack, plan, spec
from tsd.sweep.pack import Wave
from tsd.sweep.plan import Need, Plan
from tsd.sweep.spec import Sweep
from tsd.sweep.watch import Tally, Watch, number
from tsd.sweep.work import Context

INTERRUPTED = 130
PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True, "markup": False}


class Runner(Protocol):
    """A place where packs run: here, or on a Ray cluster. Both do the same work with the same code."""

    device: str
    slots: int

    def train(self, needs: Sequence[Need], context: Context, tally: Tally) -> None:
        """Train artefacts."""
        ...

    def run(self, wave: Wave, context: Context, tally: Tally) -> None:
        """Work a wave of packs."""
        ...

    def close(self) -> None:
        """Let go of what was started."""
        ...


@dataclass(frozen=True)
class Asked:
    """A sweep file as a command was given it: the sweep, its trials in a database of their own, and its results
    folder."""

    sweep: Sweep
    grid: grid.Grid
    connection: duckdb.DuckDBPyConnection
    store: Store
    file: Path
    whole: bool

    @classmethod
    @contextmanager
    def of(cls, file: Path, results: str, overrides: Sequence[str] = (), where: str | None = None) -> Iterator[Asked]:
        """Read, check and expand `file`, in a database that is gone afterwards. Raises UserError."""
        sweep = spec.load(file, overrides)
        store = Store.of(results, sweep.name)
        with grid.workspace() as connection:
            expanded = grid.expand(sweep, connection, where)
            for name, check in getattr(sweep.module, "CHECKS", {}).items():
                for (value,) in connection.execute(f"SELECT DISTINCT {pack.quote(name)} FROM trials").fetchall():
                    check(value)
            yield cls(sweep, expanded, connection, store, file, where is None)

    def plan(self, limits: pack.Limits, mode: str, *, move_damaged: bool = False) -> Plan:
        """Compare with the store."""
        planned = plan.make(
            self.sweep, self.grid, self.connection, self.store, limits=limits, mode=mode, move_damaged=move_damaged
        )
        return planned if self.whole else replace(planned, orphans=0)


def run(asked: Asked, start: Callable[[], Runner], mode: str, console: Console) -> int:
    """Run what `mode` asks for and return the exit code: 0 all stored, 1 some failed or lost, 130 interrupted.

    Args:
        asked: the sweep.
        start: makes the runner; called only where there is something to run.
        mode: one of `plan.MODES`.
        console: where progress goes.
    """
    store, facts = asked.store, provenance.collect()
    store.prepare(asked.sweep.as_dict(), facts)
    todo = asked.plan(pack.Limits.of(1, "cpu"), mode, move_damaged=True)
    for name in todo.damaged:
        console.print(f"The part {name} is cut short or damaged; it is in damaged/ and its trials run again.", **PLAIN)
    if not todo.todo:
        total = number(todo.grid.total)
        console.print(f"{asked.sweep.name}: all {total} trials are stored in {store}; nothing to run.", **PLAIN)
        return 1 if todo.failed else 0
    _prepare(asked)
    with closing(start()) as runner:
        return _work(asked, runner, mode, console, str(facts.get("git_sha") or ""))


def _work(asked: Asked, runner: Runner, mode: str, console: Console, git_sha: str) -> int:
    """Everything between a runner that stands ready and the exit code."""
    planned = asked.plan(pack.Limits.of(runner.slots, runner.device), mode)
    console.print(plan.render(planned, number), **PLAIN)
    context = Context(asked.sweep.study, str(asked.store.root), runner.device, git_sha, asked.sweep.parts)
    with closing(EventLog(asked.store, uuid.uuid4().hex[:12])) as events:

        def note(kind: str, facts: dict[str, Any]) -> None:
            with suppress(StoreError):  # no result waits for the log; a store that refuses is told by the workers
                events.add(kind, facts)

        tally = Tally(planned, note)
        note("run_started", {"sweep": asked.sweep.name, "todo": planned.todo, "packs": planned.packs, "mode": mode})
        with Watch(tally, console), suppress(KeyboardInterrupt):
            _train(runner, planned.needs, context, tally)
            for wave in pack.waves(asked.connection):
                if not tally.refused:
                    tally.phase = "running"
                    runner.run(wave, context, tally)
        note("run_finished", {"states": dict(tally.states), "lost": tally.lost, "seconds": tally.elapsed})
    return _ended(asked, tally, console)


def _prepare(asked: Asked) -> None:
    """Let the study fetch what its trials will need (data sets), so that a mistake is told before anything starts.

    The parameters of a study's `prepare` are names of fields; it is called once for each combination of their values.
    """
    study: Any = asked.sweep.module
    if hasattr(study, "prepare"):
        listed = ", ".join(pack.quote(name) for name in inspect.signature(study.prepare).parameters)
        for row in asked.connection.execute(f"SELECT DISTINCT {listed} FROM todo").fetchall():
            study.prepare(*row)


def _train(runner: Runner, needs: Sequence[Need], context: Context, tally: Tally) -> None:
    """Artefacts first, and those that others are made from before the others."""
    missing = [need for need in needs if not need.stored]
    for name in dict.fromkeys(need.name for need in missing):
        wanted = [need for need in missing if need.name == name]
        tally.phase = f"training {len(wanted)} × {name}"
        runner.train(wanted, context, tally)


def _ended(asked: Asked, tally: Tally, console: Console) -> int:
    if tally.refused:
        raise StoreError(tally.refused)
    states = asked.store.states()
    asked.connection.register("states", states.table)
    missing = plan.count(asked.connection, "(SELECT trial_id FROM trials ANTI JOIN states USING (trial_id))")
    failed = plan.count(
        asked.connection, "(SELECT s.trial_id FROM trials JOIN states s USING (trial_id) WHERE s.state = 'failed')"
    )
    stored = asked.grid.total - missing
    console.print(f"{number(stored)} of {number(asked.grid.total)} trials are stored in {asked.store}", **PLAIN)
    again = f"python -m tsd.sweep {asked.file}"
    if missing:
        why = f"Workers died ({tally.reason})" if tally.lost else "Interrupted"
        console.print(f"{why}: {number(missing)} trials have no row yet. The same command goes on: {again}", **PLAIN)
    if failed:
        why = f"python -m tsd.sweep failures {asked.file}"
        console.print(f"{number(failed)} trials failed. Why: {why}   Again: {again} --mode retry", **PLAIN)
    if missing and not tally.lost:
        return INTERRUPTED
    return 1 if missing or failed else 0
