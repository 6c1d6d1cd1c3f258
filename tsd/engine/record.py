"""Curves along the training, recorded evenly in steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tsd.studies._base import Curve, Fitted

Trace = Callable[[Fitted, Mapping[str, Any], Any], Mapping[str, float]]


def record_steps(total: int, points: int) -> list[int]:
    """`points` steps from 0 to `total`, both included, as even as whole numbers allow; one point is the last step."""
    if points < 2:
        return [total] * points
    return sorted({round(k * total / (points - 1)) for k in range(points)})


class Recorder:
    """Collects what `trace` says of each trial: `seen`, by step and name."""

    def __init__(
        self, trace: Trace | None, trials: Sequence[Any], held: Sequence[Mapping[str, Any]], total: int
    ) -> None:
        self._trace, self._trials, self._held = trace, trials, held
        self._due = set(record_steps(total, trials[0].curve_points)) if trace else set()
        self.seen: list[dict[int, dict[str, float]]] = [{} for _ in trials]

    def due(self, step: int) -> bool:
        """Whether the students are to be looked at after `step` updates."""
        return step in self._due

    def record(self, step: int, member: Callable[[int], Fitted], alive: Sequence[bool]) -> None:
        """Look at every student that has not diverged, if `step` is due."""
        if self._trace is None or not self.due(step):
            return
        for index, (trial, held) in enumerate(zip(self._trials, self._held, strict=True)):
            if alive[index]:
                found = self._trace(member(index), held, trial)
                self.seen[index][step] = {name: float(value) for name, value in found.items()}

    def curves(self, index: int) -> list[Curve]:
        """The curves of one trial so far, one for each name that its trace gave."""
        seen = self.seen[index].items()
        names = dict.fromkeys(name for _, values in seen for name in values)
        return [
            Curve(name, [step for step, v in seen if name in v], [v[name] for _, v in seen if name in v])
            for name in names
        ]
