"""The events of a run, told as they happen and read back from the log.

Whatever happens in a run is an event. The driver's tally follows each as it happens and passes it on to the log; read
back from the log (`replay`), the same events move the same counters, so that another terminal, or another year, sees
what the driver saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tsd.sweep.counters import Counters, Task
from tsd.sweep.shapes import Shape
from tsd.sweep.waves import Pack

if TYPE_CHECKING:
    from tsd.sweep.work import Report


@dataclass
class Tally(Counters):
    """Counters that tell of what moves them; the only thing in the driver that knows of progress.

    Args:
        note: hears of every event, by kind and facts.
    """

    note: Callable[[str, dict[str, Any]], None] = lambda kind, facts: None

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
