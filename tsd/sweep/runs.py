"""The runs of a sweep, as their logs tell: which are at work now, and how far each of them is."""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from tsd.sweep.tally import Tally, replay
from tsd.sweep.watch import GAP, headline
from tsd.words import duration

SILENT_S = 180.0
"""A run at work is heard of twice a minute, through an object store once; one that is not for so long is dead."""


@dataclass(frozen=True)
class Run:
    """A run that has begun and not said that it ended.

    Args:
        name: of its log.
        host, pid: where its driver is.
        heard_s: how long ago it was last heard of.
        tally: its counters, their clock the present.
    """

    name: str
    host: str
    pid: int
    heard_s: float
    tally: Tally

    @property
    def alive(self) -> bool:
        """Whether it seems to be at work: heard of lately, and its process, if it is of this machine, still there."""
        return 0 <= self.heard_s < SILENT_S and (self.host != socket.gethostname() or _exists(self.pid))

    def as_dict(self) -> dict[str, Any]:
        """The run for programs."""
        tally, left = self.tally, self.tally.remaining()
        names = ("stored", "at_work", "waiting", "lost", "restarts", "rate", "elapsed", "phase")
        counted = {"todo": tally.task.todo} | {name: getattr(tally, name) for name in names}
        told = {"states": dict(tally.states), "errors": dict(tally.errors), "left": asdict(left) if left else None}
        return {"run": self.name, "host": self.host, "alive": self.alive, "heard_s": self.heard_s} | counted | told


def unfinished(events: Iterable[Mapping[str, Any]]) -> list[Run]:
    """The runs that have not ended, in order of their beginning."""
    logs: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        logs.setdefault(event.get("run", ""), []).append(event)
    found = [_run(name, log) for name, log in logs.items() if log[-1]["kind"] != "run_finished"]
    return [run for run in found if run is not None]


def render(run: Run) -> str:
    """One line: where it runs and how far it is, or that it died."""
    heard = duration(max(run.heard_s, 0.0))
    if not run.alive:
        return f"run {run.name} on {run.host} was last heard of {heard} ago and has died; the next run goes on"
    return f"run {run.name} on {run.host}, heard of {heard} ago: {run.tally.phase}{GAP}{headline(run.tally)}"


def _run(name: str, log: list[Mapping[str, Any]]) -> Run | None:
    """None where the beginning of the log is missing."""
    told = deque(replay(log), maxlen=1)
    if not told:
        return None
    [tally] = told
    tally.clock = time.time
    begun = next(event for event in log if event["kind"] == "run_started")
    heard = time.time() - datetime.fromisoformat(log[-1]["at"]).timestamp()
    return Run(name, str(begun.get("host")), int(begun.get("pid", 0)), heard, tally)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
