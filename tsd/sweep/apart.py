"""A pack that has killed its worker or overrun its deadline, in processes of its own: halved until the culprit is
alone.

What a process computed in time is stored as a part of its own. The trial that dies alone is stored as `failed` with
its last words: where it stood when its time was up, or by which signal it went.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import re
import resource
import signal
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tsd.store import StoreError
from tsd.sweep.gauge import free
from tsd.sweep.log import to_stderr
from tsd.sweep.work import Context, Report, Worker

GRACE_S = 30.0
"""How much longer than its deadline a process is waited for before it is killed from outside."""
MEMORY_SHARE = 0.8
"""Of the memory that is free, what such a process may take before Python raises, rather than the system kills."""
FRAME = re.compile(r'File "(.+)", line (\d+) in (.+)')
"""A line of faulthandler's."""


@dataclass(frozen=True)
class Death:
    """How a process ended that brought no report: `kind` becomes the row's error_type, `words` its error."""

    kind: str
    words: str


def work_apart(worker: Worker, rows: pa.Table, deadline: float) -> Report:
    """Run the trials of one pack that are not stored yet, each process for at most `deadline` seconds.

    Args:
        worker: keeps the rows of trials that die. It computes nothing here.
    """
    try:
        stored = worker.store.states().table.column("trial_id")
    except StoreError as error:
        return Report.refusal(error)
    return _halved(worker, rows.filter(pc.invert(pc.is_in(rows.column("trial_id"), stored))), deadline)


def _halved(worker: Worker, rows: pa.Table, deadline: float) -> Report:
    if not rows.num_rows:
        return Report("", {}, 0.0, {})
    ended = _in_a_process(worker.context, rows, deadline)
    if isinstance(ended, Report):
        return ended
    if rows.num_rows == 1:
        return worker.keep_failed(rows, ended.kind, ended.words)
    half = rows.num_rows // 2
    return _together([_halved(worker, part, deadline) for part in (rows.slice(0, half), rows.slice(half))])


def _together(reports: Sequence[Report]) -> Report:
    """What the driver hears of all halves at once."""
    states, errors = Counter[str](), Counter[str]()
    for report in reports:
        states.update(report.states)
        errors.update(report.errors)
    refused = next((report.refused for report in reports if report.refused), "")
    seconds = sum(report.seconds for report in reports)
    return replace(reports[0], states=dict(states), errors=dict(errors), seconds=seconds, refused=refused)


def _in_a_process(context: Context, rows: pa.Table, deadline: float) -> Report | Death:
    """One pack in a process that is forked from one which has everything imported and has done nothing yet."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tsd.engine.run", "tsd.sweep.apart"])
    hears, tells = forks.Pipe(duplex=False)
    with hears, tempfile.NamedTemporaryFile(prefix="tsd-words-") as words:
        process = forks.Process(target=_work, args=(tells, words.name, context, rows, deadline))
        process.start()
        tells.close()
        try:
            if hears.poll(deadline + GRACE_S):
                with suppress(EOFError):
                    report: Report = hears.recv()
                    return report
            process.join(0 if process.is_alive() and not hears.poll(0) else GRACE_S)
            return _death(process.exitcode, Path(words.name).read_text(errors="replace"), deadline)
        finally:
            process.kill()
            process.join()


def _death(code: int | None, words: str, deadline: float) -> Death:
    if code is None or words.startswith("Timeout"):
        told = f"It took longer than its deadline of {deadline:g} s (`resources: {{deadline: …}}` in the sweep file)."
        return Death("DeadlineExceeded", _trace(words) + told)
    if code >= 0:
        return Death(f"WorkerDied(exit code {code})", f"{_trace(words)}Its process ended with exit code {code}.")
    name = signal.Signals(-code).name
    memory = " This is how the system ends a process when memory has run out." if name == "SIGKILL" else ""
    return Death(f"WorkerDied({name})", f"{_trace(words)}Its process was ended by {name}.{memory}")


def _trace(words: str) -> str:
    """What faulthandler wrote of the thread that was at work, as Python writes a trace: the innermost frame last."""
    threads = words.split("Thread 0x")
    at_work = words.split("Current thread 0x")[1:] or threads[-1:]
    frames = FRAME.findall(at_work[0].split("Thread 0x")[0])
    if not frames:
        return f"{words.strip()}\n" if words.strip() else ""
    lines = [f'  File "{file}", line {line}, in {name}' for file, line, name in reversed(frames)]
    return "\n".join(["Trace (most recent call last):", *lines, ""])


def _work(tells: Connection, words: str, context: Context, rows: pa.Table, deadline: float) -> None:
    """What the process does. Its last words are written by a thread of the C library's kind that needs no GIL."""
    _end_with_parent()
    if context.device == "cpu":
        _bound_memory()
    with Path(words).open("w") as last:
        faulthandler.enable(last)
        try:
            worker = Worker(context)
            to_stderr()
            faulthandler.dump_traceback_later(deadline, exit=True, file=last)
            tells.send(worker.work(rows))
        except Exception:
            traceback.print_exc(file=last)
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()
            faulthandler.disable()


def _end_with_parent() -> None:
    """A worker that is killed leaves nobody computing behind it."""
    parent: Any = multiprocessing.parent_process()

    def outlived() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=outlived, daemon=True).start()


def _bound_memory() -> None:
    """Let an allocation that the machine has no room for raise in the trial that asks for it."""
    if room := free():
        resource.setrlimit(
            resource.RLIMIT_DATA, (int(room * MEMORY_SHARE), resource.getrlimit(resource.RLIMIT_DATA)[1])
        )
