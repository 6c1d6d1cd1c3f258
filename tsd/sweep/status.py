"""How far a sweep is, also while it runs elsewhere: what is stored, and the runs that are at work or have died."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tsd.sweep import runs
from tsd.sweep.asked import Asked
from tsd.words import counted, number

COUNTED = {
    "done": "done",
    "diverged": "diverged",
    "failed": "failed",
    "new": "waiting",
    "orphans": "stored but no longer in this file",
}
"""What is counted of a `Standing`, and what a person reads for it."""


@dataclass(frozen=True)
class Status:
    """Where a sweep stands.

    Args:
        name: of the sweep.
        store: its results folder, for people.
        trials: how many are asked for.
        counts: of them by state, and the orphans.
        runs: those at work; where none is, the last one that did not end.
    """

    name: str
    store: str
    trials: int
    counts: dict[str, int]
    runs: tuple[runs.Run, ...]

    @classmethod
    def of(cls, asked: Asked) -> Status:
        """The status of what was asked for, now."""
        standing, found = asked.compare("cached"), runs.unfinished(asked.store.events())
        going = [run for run in found if run.alive] or found[-1:]
        counts = {name: getattr(standing, name) for name in COUNTED}
        return cls(asked.sweep.name, str(asked.store), asked.grid.total, counts, tuple(going))

    @property
    def complete(self) -> bool:
        """Whether all trials are stored and none has failed."""
        return not (self.counts["failed"] or self.counts["new"])

    def as_dict(self) -> dict[str, Any]:
        """The status for programs."""
        told = {"name": self.name, "trials": self.trials, "runs": [run.as_dict() for run in self.runs]}
        return told | self.counts

    def __str__(self) -> str:
        shown = " · ".join(f"{number(n)} {COUNTED[name]}" for name, n in self.counts.items() if n)
        stored = f"{self.name}   {counted(self.trials, 'trial')}: {shown or 'nothing stored'}   ({self.store})"
        return "\n".join([stored, *map(runs.render, self.runs)])
