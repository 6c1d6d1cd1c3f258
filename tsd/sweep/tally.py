"""How far a run is: counters, and the events that move them.

Whatever happens in a run is an event. The driver's tally hears of each as it happens and passes it on to the log; read
back from the log (`replay`), the same events move the same counters, so that another terminal, or another year, sees
what the driver saw.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from tsd.sweep.left import Left, Measured, left
from tsd.sweep.pack import Pack, Shape

if TYPE_CHECKING:
    from tsd.sweep.work import Report

RECENT_S = 60.0
"""How many packs run at a time is what was seen over so many seconds."""


class Planned(Protocol):
    """What a tally wants to know of a plan."""

    @property
    def todo(self) -> int: ...
    @property
    def packs(self) -> int: ...
    @property
    def shapes(self) -> tuple[Shape, ...]: ...


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
    def of(cls, sweep: str, plan: Planned, slots: int, device: str) -> Task:
        """What `plan` has to be done, on so many slots."""
        return cls(sweep, plan.todo, plan.packs, slots, device, plan.shapes)

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
class Tally:
    """Counters of a run; the only thing in the driver that knows of progress. Its size follows shapes and slots, not
    trials.

    Args:
        task: what was to be done.
        note: hears of every event, by kind and facts.
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
    note: Callable[[str, dict[str, Any]], None] = lambda kind, facts: None
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

    def begin(self, **facts: Any) -> None:
        """The run begins; `facts` go to the log beside the task."""
        self._tell("run_started", asdict(self.task) | facts)

    def enter(self, phase: str) -> None:
        """What the run is at now, in words."""
        self._tell("phase", {"phase": phase})

    def recut(self, shapes: Sequence[Shape]) -> None:
        """What is left was cut anew, each shape in its old place."""
        self._tell("packs_cut", {"shapes": [asdict(shape) for shape in shapes]})

    def alive(self) -> None:
        """Nothing happened, and the run still goes on."""
        self._tell("alive", {})

    def started(self, pack: Pack) -> None:
        """A worker has taken `pack`."""
        values = self.task.shapes[pack.shape].values
        self._tell("pack_started", {"pack": pack.index, "shape": pack.shape, "values": values, "trials": pack.trials})

    def trained(self, report: Report) -> None:
        """An artefact is there, or the store refused it."""
        facts = {"name": report.pack_id, "seconds": report.seconds, "host": report.host, "refused": report.refused}
        self._tell("artefact_trained", facts)

    def finished(self, pack: Pack, report: Report) -> None:
        """`pack` is stored, or the store refused it."""
        self._tell("pack_finished", {"pack": pack.index, "shape": pack.shape, "trials": pack.trials} | asdict(report))

    def restarted(self, pack: Pack) -> None:
        """The worker of `pack` died and another one will take it."""
        self._tell("pack_restarted", {"pack": pack.index, "shape": pack.shape, "trials": pack.trials})

    def dropped(self, pack: Pack, reason: str) -> None:
        """The worker of `pack` died once too often; its trials are planned again by the next run."""
        facts = {"pack": pack.index, "shape": pack.shape, "trials": pack.trials, "reason": reason}
        self._tell("pack_lost", facts)

    def finish(self) -> None:
        """The run has come to its end."""
        self._tell("run_finished", {"states": dict(self.states), "lost": self.lost, "seconds": self.elapsed})

    def _tell(self, kind: str, facts: dict[str, Any]) -> None:
        self.hear(kind, facts, self.clock())
        self.note(kind, facts)

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


def replay(events: Iterable[Mapping[str, Any]]) -> Iterator[Tally]:
    """The tally of one run, after each of its events in turn; always the same object, its clock at that event.

    Nothing where the log does not say what the run had before it.
    """
    tally, now = None, 0.0

    def clock() -> float:
        return now

    for event in events:
        now = datetime.fromisoformat(event["at"]).timestamp()
        if event["kind"] == "run_started" and "shapes" in event:
            tally = Tally(Task.read(event), clock=clock)
        elif tally is not None:
            tally.hear(event["kind"], event, now)
        if tally is not None:
            yield tally
