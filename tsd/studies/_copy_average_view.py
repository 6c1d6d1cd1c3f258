"""A student seen neuron by neuron: its cosines with the teacher's neurons, norms, weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tsd.lazy import torch
from tsd.studies._base import Curve

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.studies.copy_average import Trial


def teacher_cosines(y: Tensor, trial: Trial) -> Tensor:
    """Cosines of the student's neurons with the teacher's, shape (n, k). erf is odd, so that (a, w) and (−a, −w) are
    one neuron: it is taken with a > 0."""
    n = trial.student_width
    a, W = y[:n], y[n:].unflatten(0, (n, -1))
    cosines = W[:, : trial.teacher_width] / W.norm(dim=1, keepdim=True)
    return torch.where(a < 0, -1, 1)[:, None] * cosines if trial.activation == "erf" else cosines


def nearness(y: Tensor, trial: Trial) -> Tensor:
    """How near the student's neurons are to the teacher's, shape (n, k): the cosines, of erf neurons without sign."""
    cosines = teacher_cosines(y, trial)
    return cosines.abs() if trial.activation == "erf" else cosines


def copied(y: Tensor, trial: Trial) -> int:
    """How many teacher neurons some student neuron copies."""
    return int((nearness(y, trial) >= trial.copy_cosine).any(0).sum())


def neuron_by_neuron(y: Tensor, trial: Trial) -> list[Curve]:
    """The student neuron by neuron, the best copy first, and its cosines with every teacher neuron."""
    n, near = trial.student_width, nearness(y, trial)
    order = _best_first(near)
    told = {
        "outgoing_weight": y[:n].abs(),
        "incoming_norm": y[n:].unflatten(0, (n, -1)).norm(dim=1),
        "teacher_cosine": near.amax(1),
    }
    curves = [Curve(name, range(n), values[order].tolist()) for name, values in told.items()]
    entries = teacher_cosines(y, trial)[order][:, _own_teachers(near[order])].flatten().tolist()
    return [*curves, Curve("cosine", range(len(entries)), entries)]


def along_the_flow(times: Sequence[int], course: Tensor, trial: Trial) -> list[Curve]:
    """The neurons that end as the best and as the worst copy, from the students `course` (time, parameter) on."""
    n = trial.student_width
    order = _best_first(nearness(course[-1], trial)).tolist()
    told = {
        "cosine": torch.stack([nearness(y, trial).amax(1) for y in course]),
        "norm": course[:, n:].unflatten(1, (n, -1)).norm(dim=2),
        "weight": course[:, :n].abs(),
    }
    ends = {"leading": order[0], "trailing": order[-1]}
    return [
        Curve(f"{end}_{name}", times, values[:, neuron].tolist())
        for end, neuron in ends.items()
        for name, values in told.items()
    ]


def _best_first(near: Tensor) -> Tensor:
    return near.amax(1).argsort(descending=True, stable=True)


def _own_teachers(near: Tensor) -> list[int]:
    """An order of the teacher's neurons: to every student neuron in turn the nearest that is left, then the others."""
    left, own = list(range(near.shape[1])), []
    for row in near.tolist():
        own.append(max(left, key=row.__getitem__))
        left.remove(own[-1])
    return own + left
