"""One run of a sweep: plan, train what is missing, work the packs wave by wave, and say how it ended.

The driver keeps counters and one wave of packs. Killed at any moment it loses nothing: the next run plans the
difference again.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

from rich.console import Console

from tsd.errors import ClusterError, UserError
from tsd.store import EventLog, StoreError, provenance
from tsd.sweep import columns, outline, plan, runs
from tsd.sweep.asked import Asked
from tsd.sweep.counters import Task
from tsd.sweep.errand import Errand, Stage
from tsd.sweep.gauge import out_of_memory
from tsd.sweep.interrupts import orderly
from tsd.sweep.needs import Need
from tsd.sweep.plan import Plan
from tsd.sweep.shapes import Limits
from tsd.sweep.sql import count, distinct
from tsd.sweep.tally import Tally
from tsd.sweep.unfinished import forget
from tsd.sweep.watch import Watch, headline
from tsd.sweep.waves import TRIALS_AT_A_TIME, Pack, cut_from, in_waves, packs_at_a_time, together
from tsd.sweep.work import Context
from tsd.words import duration, number

INTERRUPTED = 130
PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True, "markup": False}


class Runner(Protocol):
    """A place where packs run: here, or on a Ray cluster. Both do the same work with the same code."""

    device: str
    slots: int
    share: float

    def run(self, errand: Errand, context: Context, tally: Tally) -> bool:
        """Do all of it. Returns whether it came to its end, neither interrupted nor refused by the store."""
        ...

    def stop(self) -> None:
        """Let packs that run come to their end, and start no other."""
        ...

    def close(self) -> None:
        """Let go of what was started."""
        ...


def run(asked: Asked, start: Callable[[], Runner], mode: str, console: Console, flags: Sequence[str] = ()) -> int:
    """Run what `mode` asks for and return the exit code: 0 all stored, 1 some failed or lost, 3 the cluster died,
    130 interrupted.

    Args:
        asked: the sweep.
        start: makes the runner; called only where there is something to run.
        mode: one of `plan.MODES`.
        console: where progress goes.
        flags: how the runner was asked for (`--here`), for the commands that are printed.
    """
    store = asked.store
    asked.check()
    standing = asked.compare(mode, move_damaged=True)
    for name in standing.damaged:
        console.print(f"The part {name} is cut short or damaged; it is in damaged/ and its trials run again.", **PLAIN)
    forget(store, asked.connection)
    if not standing.todo:
        total = number(asked.grid.total)
        console.print(f"{asked.sweep.name}: all {total} trials are stored in {store}; nothing to run.", **PLAIN)
        return 1 if standing.failed else 0
    _beside(asked, console)
    _prepare(asked)
    with closing(start()) as runner:
        tally = _work(asked, runner, mode, console)
    return _ended(asked, tally, console, flags)


def _work(asked: Asked, runner: Runner, mode: str, console: Console) -> Tally:
    """Everything between a runner that stands ready and the last pack."""
    facts = provenance.collect()
    asked.store.prepare(asked.sweep.as_dict() | {"trials": asked.grid.total}, facts)
    planned = asked.plan(Limits.of(runner.slots, runner.device, runner.share), mode)
    console.print(outline.render(planned), **PLAIN)
    sha, run_id = str(facts.get("git_sha") or ""), uuid.uuid4().hex[:12]
    context = Context(asked.sweep.study, str(asked.store.root), runner.device, sha, asked.sweep.parts)
    with closing(EventLog(asked.store, run_id)) as events:

        def note(kind: str, facts: dict[str, Any]) -> None:
            with suppress(StoreError):  # no result waits for the log; a store that refuses is told by the workers
                events.add(kind, {"run": run_id} | facts)

        task = Task(asked.sweep.name, planned.todo, planned.packs, runner.slots, runner.device, planned.shapes)
        tally = Tally(task, note=note)
        stored = {name: getattr(planned, name) for name in ("done", "diverged", "failed", "orphans")}
        tally.begin(mode=mode, trials=asked.grid.total, stored=stored, pid=os.getpid(), **facts)

        def stop() -> None:
            runner.stop()
            tally.enter("finishing the packs that run; Ctrl-C once more stops at once")
            console.print(f"{asked.sweep.name}   {tally.phase}", **PLAIN)

        with Watch(tally, console), orderly(stop), suppress(KeyboardInterrupt), _told(tally):
            all(runner.run(errand, context, tally) for errand in _errands(asked, planned, events, tally))
        tally.finish()
    return tally


def _errands(asked: Asked, planned: Plan, events: EventLog, tally: Tally) -> Iterator[Errand]:
    """Artefacts, packs that probe what nobody has measured, and the others, which are cut by what the probes took. One
    errand, as long as a driver can hold all rows at once."""
    connection, probes = asked.connection, planned.probes
    needs = [need for need in planned.needs if not need.stored]
    before = _levels(needs, tally)

    def running(packs: Sequence[Pack]) -> Sequence[Pack]:
        tally.enter("running")
        return packs

    def cut() -> None:
        events.close()
        tally.recut(plan.recut(planned, connection, asked.store).shapes)

    def others() -> Sequence[Pack]:
        cut()
        return cut_from(connection, range(most), offset=probes)

    done, most = 0, packs_at_a_time(planned.limits.slots)
    if probes and planned.todo <= TRIALS_AT_A_TIME:
        wave, done = together(connection, probes), most
        yield Errand(wave, needs, [*before, lambda: running(wave.packs), others])
        needs, before = [], []
    elif probes:
        for wave in in_waves(connection, range(probes)):
            yield Errand(wave, needs, [*before, partial(running, wave.packs)])
            needs, before = [], []
        cut()
    for wave in in_waves(connection, range(done, 2**62), offset=probes, at_a_time=most):
        yield Errand(wave, needs, [*before, partial(running, wave.packs)])
        needs, before = [], []


@contextmanager
def _told(tally: Tally) -> Iterator[None]:
    """A cluster that dies ends the run, not the telling of what is stored."""
    try:
        yield
    except ClusterError as error:
        tally.gone = str(error)


def _beside(asked: Asked, console: Console) -> None:
    """Tell of another run of this sweep that is at work. Both will end with the same rows, each once; but where the
    other is surely there, and this one asks for all that it does, nothing is gained. Raises UserError then."""
    for other in runs.unfinished(asked.store.events()):
        if other.alive and other.host == socket.gethostname() and other.pid != os.getpid() and asked.whole:
            raise UserError(
                f"Run {other.name} of this sweep is at work on this machine (process {other.pid}): "
                f"{headline(other.tally)}. Nothing was launched. `{asked.command('status')}` shows how far it is, "
                f"`kill -INT {other.pid}` lets it finish its packs and stop; with --where two runs share a sweep."
            )
        if other.alive:
            who = f"{other.name} on {other.host}, heard of {duration(other.heard_s)} ago"
            console.print(f"warning: another run of this sweep is at work ({who}) and may do the same packs.", **PLAIN)


def _prepare(asked: Asked) -> None:
    """Let the study fetch what its trials will need (data sets) and judge their networks, so that a mistake is told
    before anything starts. Its `prepare` sees one trial for each combination of Static values."""
    study: Any = asked.sweep.module
    if hasattr(study, "prepare"):
        for row in distinct(asked.connection, "todo", asked.sweep.static).to_pylist():
            try:
                study.prepare(columns.trial(study, row))
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                told = {
                    name: value for name, value in row.items() if value not in (None, asked.sweep.fields[name].default)
                }
                given = ", ".join(f"{name} = {value}" for name, value in told.items())
                raise UserError(f"The networks of these trials do not fit into memory: {given}.") from None


def _levels(needs: Sequence[Need], tally: Tally) -> list[Stage]:
    """Artefacts first, and those that others are made from before the others."""

    def training(wanted: Sequence[Need]) -> Sequence[Need]:
        tally.enter(f"training {len(wanted)} × {wanted[0].name}")
        return wanted

    levels = dict.fromkeys((need.name, need.level) for need in needs)
    return [partial(training, [need for need in needs if (need.name, need.level) == level]) for level in levels]


def _ended(asked: Asked, tally: Tally, console: Console, flags: Sequence[str]) -> int:
    """Say what is stored and what to do next, and return the exit code."""
    if tally.refused:
        raise StoreError(tally.refused)
    states = asked.store.states()
    asked.connection.register("states", states.table)
    missing = count(asked.connection, "(SELECT trial_id FROM trials ANTI JOIN states USING (trial_id))")
    failed = count(
        asked.connection, "(SELECT s.trial_id FROM trials JOIN states s USING (trial_id) WHERE s.state = 'failed')"
    )
    stored = asked.grid.total - missing
    console.print(f"{number(stored)} of {number(asked.grid.total)} trials are stored in {asked.store}", **PLAIN)
    if missing:
        why = tally.gone or (f"Workers died ({tally.reason})" if tally.lost else "Interrupted")
        again = asked.command("run", *flags)
        console.print(f"{why}: {number(missing)} trials have no row yet. The same command goes on: {again}", **PLAIN)
    if failed:
        console.print(f"{number(failed)} trials failed. Why: {asked.command('failures')}", **PLAIN)
        console.print(f"Run them again: {asked.command('run', *flags, '--mode', 'retry')}", **PLAIN)
    if missing and tally.gone:
        return ClusterError.exit_code
    if missing and not tally.lost:
        return INTERRUPTED
    return 1 if missing or failed else 0
