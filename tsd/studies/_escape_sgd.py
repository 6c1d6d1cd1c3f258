"""One-pass SGD of quadratic networks at finite input dimension, many students side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsd.studies._escape_overlaps import Trajectory

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWN = 16_384
"""Numbers that a student's inputs are drawn ahead: they stay in the cache."""


def descend(
    start: NDArray[np.float64],
    *,
    teacher_width: int,
    lr: NDArray[np.float64],
    alphas: NDArray[np.float64],
    student_scale: NDArray[np.float64],
    teacher_scale: NDArray[np.float64],
    inputs: Sequence[np.random.Generator],
) -> list[Trajectory]:
    """Every step sees one fresh input x ~ N(0, 1) and takes w = W/√N to w − (2cη/N) Δ λ x. A student's numbers do not
    depend on who runs beside it.

    Inputs look alike from every side, so the teacher may lie along the first axes: v_r = √N e_r, T = 1.

    Args:
        start: weights W/√N at α = 0, shape (trial, student, input).
        lr, student_scale, teacher_scale: of every trial, shape (trial,).
        alphas: rising times at which overlaps are recorded; α counts steps in units of the input dimension.
        inputs: where each trial draws its inputs.
    """
    w, dim = start.copy(), start.shape[-1]
    speed = 2 * student_scale * lr / dim
    path, taken = [], 0
    with np.errstate(over="ignore", invalid="ignore"):
        for steps in np.rint(alphas * dim).astype(int):
            for x in _drawn(steps - taken, dim, inputs):
                fields = np.matmul(w, x[:, :, None])
                answer = student_scale * (fields[:, :, 0] ** 2).sum(1)
                gap = answer - teacher_scale * (x[:, :teacher_width] ** 2).sum(1)
                w -= ((speed * gap)[:, None, None] * fields) * x[:, None, :]
            taken = steps
            path.append((w[:, :, :teacher_width].copy(), np.matmul(w, w.mT)))
        return [
            _trajectory(alphas, [(M[i], Q[i]) for M, Q in path], float(student_scale[i]), float(teacher_scale[i]))
            for i in range(len(start))
        ]


def _drawn(steps: int, dim: int, inputs: Sequence[np.random.Generator]) -> Iterator[NDArray[np.float64]]:
    """Inputs (trial, input) of so many steps."""
    ahead = max(1, DRAWN // dim)
    for first in range(0, steps, ahead):
        count = min(ahead, steps - first)
        yield from np.stack([source.standard_normal((count, dim)) for source in inputs], axis=1)


def _trajectory(
    alphas: NDArray[np.float64],
    path: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    student_scale: float,
    teacher_scale: float,
) -> Trajectory:
    M, Q = (np.stack(overlaps) for overlaps in zip(*path, strict=True))
    T = np.eye(M.shape[-1])
    return Trajectory.of(alphas, M, Q, T, student_scale=student_scale, teacher_scale=teacher_scale)
