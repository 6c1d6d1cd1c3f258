"""What workers are started for: jobs in stages, on rows that all of them share.

A stage begins when every job of the one before has ended: students need their teachers, and what the first packs of a
shape took cuts the others. The workers outlive the stages, for what they have loaded costs seconds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tsd.sweep.needs import Need
from tsd.sweep.waves import Pack, Wave

Job = Need | Pack
Stage = Callable[[], Sequence[Job]]
"""Says what its jobs are, when its turn has come."""

TRIES = 2
"""How often an artefact that others wait for is taken up again after its workers died."""
NAP_S, NAP_SHARE, NAPPERS = 0.25, 0.05, 8
"""How long a worker waits for the end of a stage at a time: so long, or such a share of what the stage has taken; and
how many do so, for each time costs the driver a record. Others start anew."""


@dataclass(frozen=True)
class Errand:
    """Everything that one set of workers does.

    Args:
        wave: the rows of all packs.
        needs: the artefacts among the jobs.
        stages: one after another.
    """

    wave: Wave
    needs: Sequence[Need]
    stages: Sequence[Stage]


class Queue:
    """Jobs on their way to workers, each under its number.

    Args:
        stages: each is asked for its jobs when its turn has come.
        slots: jobs that can run at a time.
    """

    def __init__(self, stages: Sequence[Stage], slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.jobs: list[Job] = []
        self._stages = deque(stages)
        self._slots = slots
        self._clock = clock
        self._begun = clock()
        self._waiting: deque[int] = deque()
        self._out: set[int] = set()
        self._tries: dict[int, int] = {}
        self._napping = 0

    def take(self) -> int | None:
        """The number of a job that a worker is to do now; None where there is none, or none yet."""
        while self._stages and not self._waiting and not self._out:
            jobs = self._stages.popleft()()
            self._waiting.extend(range(len(self.jobs), len(self.jobs) + len(jobs)))
            self.jobs += jobs
            self._begun = self._clock()
        if not self._waiting:
            return None
        number = self._waiting.popleft()
        self._out.add(number)
        return number

    @property
    def dry(self) -> bool:
        """Whether all jobs of all stages have been taken."""
        return not self._stages and not self._waiting

    @property
    def done(self) -> bool:
        """Whether all of them have ended, too."""
        return self.dry and not self._out

    def ended(self, number: int) -> None:
        """A job has ended."""
        self._out.discard(number)

    def again(self, number: int) -> bool:
        """Take up a job that its workers died of, if others wait for what it makes. Returns whether it is."""
        self._tries[number] = self._tries.get(number, 0) + 1
        if not self._stages or isinstance(self.jobs[number], Pack) or self._tries[number] > TRIES:
            return False
        self._out.discard(number)
        self._waiting.append(number)
        return True

    def gone(self) -> None:
        """All workers are gone: what they had taken waits again."""
        self._waiting.extendleft(sorted(self._out, reverse=True))
        self._out.clear()
        self._napping = 0

    def nap(self) -> float | None:
        """How long a worker that gets no job is to wait before it asks again; None where none is idle."""
        if self._napping >= min(self._slots - len(self._out), NAPPERS):
            return None
        self._napping += 1
        return max(NAP_S, NAP_SHARE * (self._clock() - self._begun))

    def woke(self) -> None:
        """A worker asks again."""
        self._napping = max(0, self._napping - 1)
