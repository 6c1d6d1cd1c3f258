"""One-pass SGD of quadratic networks at finite input dimension, many students side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsd.engine.rng import going_on, standing
from tsd.studies._escape_overlaps import Trajectory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsd.engine.checkpoint import Place
    from tsd.studies._base import Kept

DRAWN = 16_384
"""Numbers that a student's inputs are drawn ahead: they stay in the cache."""


@dataclass
class Students:
    """Students on their way.

    Args:
        w: weights W/√N, shape (trial, student, input).
        inputs: where each trial draws its inputs.
        M, Q: overlaps at every record, shapes (record, trial, student, teacher) and (record, trial, student, student).
        steps, records: how many there are so far.
    """

    w: NDArray[np.float64]
    inputs: Sequence[np.random.Generator]
    M: NDArray[np.float64]
    Q: NDArray[np.float64]
    steps: int = 0
    records: int = 0

    @classmethod
    def start(
        cls, w: NDArray[np.float64], inputs: Sequence[np.random.Generator], teacher_width: int, records: int
    ) -> Students:
        """Before their first step; of so many records in all."""
        trials, width, _ = w.shape
        M, Q = (np.empty((records, trials, width, each)) for each in (teacher_width, width))
        return cls(w.copy(), inputs, M, Q)

    def record(self) -> None:
        """Look at the overlaps. The teacher lies along the first axes."""
        self.M[self.records] = self.w[:, :, : self.M.shape[3]]
        self.Q[self.records] = np.matmul(self.w, self.w.mT)
        self.records += 1

    def kept(self) -> Kept:
        """All of it."""
        arrays = {"w": self.w, "M": self.M[: self.records], "Q": self.Q[: self.records]}
        inputs = json.dumps([standing(source) for source in self.inputs])
        return arrays, {"steps": self.steps, "inputs": inputs}

    def restore(self, kept: Kept) -> None:
        """Take a state on."""
        arrays, facts = kept
        self.records, self.steps = len(arrays["M"]), int(facts["steps"])
        self.w[:], self.M[: self.records], self.Q[: self.records] = arrays["w"], arrays["M"], arrays["Q"]
        self.inputs = [going_on(text) for text in json.loads(str(facts["inputs"]))]


def descend(
    start: NDArray[np.float64],
    *,
    teacher_width: int,
    lr: NDArray[np.float64],
    alphas: NDArray[np.float64],
    student_scale: NDArray[np.float64],
    teacher_scale: NDArray[np.float64],
    inputs: Sequence[np.random.Generator],
    place: Place | None = None,
) -> list[Trajectory]:
    """Every step sees one fresh input x ~ N(0, 1) and takes w = W/√N to w − (2cη/N) Δ λ x. A student's numbers do not
    depend on who runs beside it.

    Inputs look alike from every side, so the teacher may lie along the first axes: v_r = √N e_r, T = 1.

    Args:
        start: weights W/√N at α = 0, shape (trial, student, input).
        lr, student_scale, teacher_scale: of every trial, shape (trial,).
        alphas: rising times at which overlaps are recorded; α counts steps in units of the input dimension.
        inputs: where each trial draws its inputs.
        place: where the students were left, and are kept.
    """
    stack, dim = Students.start(start, inputs, teacher_width, len(alphas)), start.shape[-1]
    if place and (left := place.left()):
        stack.restore(left)
    speed, w = 2 * student_scale * lr / dim, stack.w
    with np.errstate(over="ignore", invalid="ignore"):
        for steps in np.rint(alphas * dim).astype(int).tolist()[stack.records :]:
            while stack.steps < steps:
                for x in _drawn(min(max(1, DRAWN // dim), steps - stack.steps), dim, stack):
                    fields = np.matmul(w, x[:, :, None])
                    answer = student_scale * (fields[:, :, 0] ** 2).sum(1)
                    gap = answer - teacher_scale * (x[:, :teacher_width] ** 2).sum(1)
                    w -= ((speed * gap)[:, None, None] * fields) * x[:, None, :]
                if place:
                    place.at(stack)
            stack.record()
        return [
            Trajectory.of(
                alphas,
                stack.M[:, i].copy(),
                stack.Q[:, i].copy(),
                np.eye(teacher_width),
                student_scale=float(student_scale[i]),
                teacher_scale=float(teacher_scale[i]),
            )
            for i in range(len(start))
        ]


def _drawn(steps: int, dim: int, stack: Students) -> NDArray[np.float64]:
    """Inputs of the next steps, shape (step, trial, input)."""
    stack.steps += steps
    return np.stack([source.standard_normal((steps, dim)) for source in stack.inputs], axis=1)
