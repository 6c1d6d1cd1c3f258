"""How far a run is: what its events, one after the other, make of its counters."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from tsd.sweep.left import Left, Measured, left
from tsd.sweep.shapes import Shape

RECENT_S = 60.0
"""How many packs run at a time is what was seen over so many seconds."""


@dataclass(frozen=True)
class Task:
    """What a run has before it.

    Args:
        sweep: its name.
        todo, packs: how many trials, in how many packs.
        slots: packs that can run at a time.
        device: "cpu" or "cuda".
        shapes: trials that may share a pack.
    """

    sweep: str
    todo: int
    packs: int
    slots: int
    device: str
    shapes: tuple[Shape, ...]

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Task:
        """From the event `run_started`."""
        facts = {name: event[name] for name in ("sweep", "todo", "packs", "slots", "device")}
        return cls(**facts, shapes=_shapes(event["shapes"]))


def _shapes(told: Iterable[Mapping[str, Any]]) -> tuple[Shape, ...]:
    """Shapes as an event tells them, without what this version does not know of them."""
    known = {each.name for each in fields(Shape)}
    return tuple(Shape(**{name: value for name, value in shape.items() if name in known}) for shape in told)


@dataclass(frozen=True)
class Running:
    """A pack at work: the place of its shape, its trials, and since when."""

    shape: int
    trials: int
    since: float


@dataclass
class Counters:
    """What is known of a run's progress. Its size follows shapes and slots, not trials.

    Args:
        task: what was to be done.
        clock: seconds from an arbitrary start.
        states: trials that have their row, by state.
        failures: failed trials by type of error and place of their shape.
        running: packs at work, by number.
        lost: trials whose workers died once too often.
        restarts: packs that another worker took over.
        measured: what the packs of each shape took, by its place.
        artefacts: those that had their turn.
        reason: what the last worker that died said.
        refused: why the store can give or take nothing more; the run ends where this is set.
        gone: how the cluster died, where it did.
        phase: what the run is at, in words.
        ended: whether the run has come to its end.
        begun, first_pack: when the run and its first pack began, by the clock.
    """

    task: Task
    clock: Callable[[], float] = time.monotonic
    states: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, int]] = field(default_factory=Counter)
    running: dict[int, Running] = field(default_factory=dict)
    measured: dict[int, Measured] = field(default_factory=dict)
    lost: int = 0
    restarts: int = 0
    artefacts: int = 0
    reason: str = ""
    refused: str = ""
    gone: str = ""
    phase: str = "starting"
    ended: bool = False
    begun: float = 0.0
    first_pack: float | None = None
    _gone: Counter[int] = field(default_factory=Counter)
    _busy: deque[tuple[float, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    def hear(self, kind: str, facts: Mapping[str, Any], at: float) -> None:
        """Let the counters follow one event of this run. An event of an unknown kind moves none."""
        match kind:
            case "run_finished":
                self.ended = True
            case "phase":
                self.phase = facts["phase"]
            case "packs_cut":
                shapes = _shapes(facts["shapes"])
                self.task = replace(self.task, shapes=shapes, packs=sum(shape.packs for shape in shapes))
            case "artefact_trained":
                self.artefacts += 1
                self.refused = self.refused or facts["refused"]
            case "pack_started":
                self.first_pack = at if self.first_pack is None else self.first_pack
                self.running[facts["pack"]] = Running(facts["shape"], facts["trials"], at)
                self._count(at)
            case "pack_finished":
                self._stored(facts, at)
            case "pack_restarted":
                self._left(facts, at)
                self.restarts += 1
            case "pack_lost":
                self._left(facts, at)
                self.lost += facts["trials"]
                self._gone[facts["shape"]] += facts["trials"]
                self.reason = facts["reason"]

    def _stored(self, facts: Mapping[str, Any], at: float) -> None:
        begun = self._left(facts, at)
        if facts["refused"]:
            self.refused = self.refused or facts["refused"]
            return
        shape, trials = facts["shape"], facts["trials"]
        self.states.update(facts["states"])
        self.failures.update({(kind, shape): count for kind, count in facts["errors"].items()})
        seconds = at - begun.since if begun else facts["seconds"]
        self.measured[shape] = self.measured.get(shape, Measured()).and_one(trials, seconds)

    def _left(self, facts: Mapping[str, Any], at: float) -> Running | None:
        """The pack is at work no more."""
        pack = self.running.pop(facts["pack"], None)
        self._count(at)
        return pack

    def _count(self, at: float) -> None:
        self._busy.append((at, len(self.running)))
        while len(self._busy) > 1 and self._busy[1][0] < at - RECENT_S:
            self._busy.popleft()

    @property
    def stored(self) -> int:
        """Trials of this run that have their row."""
        return self.states.total()

    @property
    def at_work(self) -> int:
        """Trials of the packs that run."""
        return sum(pack.trials for pack in list(self.running.values()))

    @property
    def waiting(self) -> int:
        """Trials that no worker has taken yet."""
        return self.task.todo - self.stored - self.lost - self.at_work

    @property
    def errors(self) -> Counter[str]:
        """Failed trials by type of error."""
        counted: Counter[str] = Counter()
        for (kind, _), count in list(self.failures.items()):
            counted[kind] += count
        return counted

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self.begun

    @property
    def rate(self) -> float:
        """Trials stored a second since the first pack was taken."""
        worked = self.clock() - (self.clock() if self.first_pack is None else self.first_pack)
        return self.stored / worked if worked > 0 else 0.0

    def remaining(self) -> Left | None:
        """Time left, from what a trial of each shape has taken so far; None before anything is known."""
        now, running = self.clock(), list(self.running.values())
        if self.stored + self.lost >= self.task.todo:
            return Left(0.0, 0.0, 0.0)
        waiting = [
            shape.trials - self._gone[i] - (self.measured[i].trials if i in self.measured else 0)
            for i, shape in enumerate(self.task.shapes)
        ]
        for pack in running:
            waiting[pack.shape] -= pack.trials
        ages = [(pack.shape, pack.trials, now - pack.since) for pack in running]
        return left(self.task.shapes, self.measured, waiting, ages, self._places(now))

    def _places(self, now: float) -> int:
        """How many packs run at a time, as it was seen; in the first minute, as it was planned."""
        seen = max((count for _, count in list(self._busy)), default=0)
        early = self.first_pack is None or now - self.first_pack < RECENT_S
        return max(seen, self.task.slots) if early else max(seen, 1)
