"""Copy or average? What a student that is too narrow for its teacher learns.

A teacher of k orthonormal neurons, Σ_j σ(v_j·x), and a student of n < k, Σ_i a_i σ(w_i·x); Gaussian inputs in
d = k + 1 dimensions, both layers trained by gradient flow on the exact population loss (no ½, no mean over neurons).
Every erf student in which each neuron is the best one for its own group of teacher neurons is a critical point. The
best of these, n − 1 copies and one average of the others, has the loss

    L*(k − n + 1)   with   L*(m) = m/3 − (2/π) m² arcsin(1/2m),

and is where narrow students end. Above n/k ≈ 1/2 some, later all, end where every neuron leans on one teacher neuron
and takes a little of all that are left: perturbed copies.

Simsek, Bendjeddou, Gerstner, Brea 2023, arXiv:2311.01644. The solver and how outcomes are told apart are ours: the
flow ends at a finite time and Newton's method goes the rest of the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from math import isfinite, sqrt
from typing import TYPE_CHECKING

from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.studies._base import Curve, Measured, Metric, Outcome, Study
from tsd.studies._copy_average_flow import Moving, Settling, flow, newton
from tsd.studies._copy_average_loss import Landscape, population_loss
from tsd.studies._copy_average_points import copy_average_point, curvature, one_neuron_optimum, perturbed_copy_point
from tsd.studies._copy_average_view import along_the_flow, copied, neuron_by_neuron

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.engine.checkpoint import Checkpoint, Place
    from tsd.engine.rng import Streams

__all__ = [
    "Trial",
    "copy_average_point",
    "one_neuron_optimum",
    "perturbed_copy_point",
    "population_loss",
    "simulate",
]

VERSION = 2

STACK_ENTRIES = 2**17
"""Entries of all the Hessians of a stack: with more, they leave the cache."""
COINCIDE = 1e-9
"""Two points whose losses are closer are one: they are known to about 1e-14."""
FLAT = 1e-8
"""Curvatures of this size are rounding: a ReLU neuron can move weight from one layer to the other for nothing."""


class Trial(Study):
    """One student on its way down. A pack may mix widths: students of equal widths share a stack."""

    teacher_width: Batched[int] = field(10, ge=1, unit="nodes", doc="Neurons k of the teacher.")
    student_width: Batched[int] = field(5, ge=1, unit="nodes", doc="Neurons n of the student, at most teacher_width.")
    activation: Static[str] = field("erf", choices=("erf", "relu"), doc="Activation of both; erf is erf(z/√2).")
    ignored_inputs: Batched[int] = field(
        1, ge=0, unit="nodes", doc="Input directions beyond those that the teacher reads."
    )
    init_scale: Batched[float] = field(1.0, gt=0, doc="Factor on the Glorot-normal start of both layers.")
    flow_time: Static[int] = field(1000, ge=1, unit="time", doc="Length of the gradient flow before Newton's steps.")
    flow_tolerance: Static[float] = field(1e-3, gt=0, doc="Relative error that one step of the flow may make.")
    gradient_tolerance: Static[float] = field(
        1e-10, gt=0, doc="Largest component of the gradient at which a student has converged."
    )
    step_limit: Static[int] = field(2000, ge=1, unit="steps", doc="Steps of the flow, and again of Newton, at most.")
    copy_cosine: Batched[float] = field(
        0.95, gt=0, le=1, doc="A neuron is a copy from this cosine with a teacher neuron on."
    )
    loss_tolerance: Batched[float] = field(
        1e-4, gt=0, doc="Distance in loss up to which an end counts as the theory's point."
    )


METRICS = (
    Metric("loss", "target²", "Population loss at the end."),
    Metric("grad_norm", "", "Largest component of the gradient at the end."),
    Metric("converged", "", "1 where grad_norm has reached gradient_tolerance, else 0.", type=int),
    Metric("curvature", "", "Smallest eigenvalue of the Hessian at the end; below zero it is a saddle."),
    Metric("flow_steps", "steps", "Steps of the gradient flow, those taken again included.", type=int),
    Metric("outcome", "", "copy_average, perturbed_copy or other: whose loss the student has.", type=str),
    Metric("is_copy_average", "", "1 where the outcome is copy_average, else 0; its mean is a share.", type=int),
    Metric("is_perturbed_copy", "", "1 where the outcome is perturbed_copy, else 0; its mean is a share.", type=int),
    Metric("copies", "nodes", "Teacher neurons that some student neuron copies.", type=int),
    Metric("width_ratio", "", "student_width over teacher_width."),
    Metric("loss_copy_average", "target²", "Theory: loss of n − 1 copies and one average of the others."),
    Metric("loss_perturbed_copy", "target²", "Theory: loss of n equally perturbed copies."),
    Metric("excess_loss", "target²", "loss minus loss_copy_average."),
    Metric("curvature_copy_average", "", "Theory: least curvature of its point; below zero it is a saddle."),
    Metric("curvature_perturbed_copy", "", "Theory: least curvature of its point; below zero it is a saddle."),
    Metric("outcome_theory", "", "copy_average, perturbed_copy or either: which of the two are minima.", type=str),
    Metric("loss", "target²", "Population loss along the flow.", curve=True, step="time"),
    Metric("copies", "nodes", "Teacher neurons that are copied, along the flow.", curve=True, step="time"),
    Metric("outgoing_weight", "", "|a_i|, the neuron that copies best first.", curve=True, step="neuron"),
    Metric("incoming_norm", "", "|w_i|, the neuron that copies best first.", curve=True, step="neuron"),
    Metric("teacher_cosine", "", "Cosine of w_i with its nearest teacher neuron.", curve=True, step="neuron"),
    Metric(
        "cosine",
        "",
        "All n × k cosines row by row, copies on the diagonal; erf with a_i > 0.",
        curve=True,
        step="entry",
    ),
    Metric("leading_cosine", "", "teacher_cosine of the neuron that ends as the best copy.", curve=True, step="time"),
    Metric("leading_norm", "", "|w_i| of that neuron.", curve=True, step="time"),
    Metric("leading_weight", "", "|a_i| of that neuron.", curve=True, step="time"),
    Metric("trailing_cosine", "", "teacher_cosine of the neuron that ends as the worst copy.", curve=True, step="time"),
    Metric("trailing_norm", "", "|w_i| of that neuron.", curve=True, step="time"),
    Metric("trailing_weight", "", "|a_i| of that neuron.", curve=True, step="time"),
)

EXAMPLE = {"teacher_width": 4, "student_width": 2, "flow_time": 20}


def simulate(trials: Sequence[Trial], seeds: Sequence[Streams], checkpoint: Checkpoint) -> list[Outcome]:
    """Every trial from its start to its critical point, in stacks of students of equal widths."""
    from tsd.engine.fit import even_parts

    shapes: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for index, trial in enumerate(trials):
        # A student that is wider than its teacher is refused here, before any has moved.
        _theory(trial.teacher_width, trial.student_width, trial.activation)
        shapes[trial.teacher_width, trial.student_width, trial.ignored_inputs].append(index)
    outcomes: dict[int, Outcome] = {}
    for (k, n, ignored), members in shapes.items():
        size = max(2, STACK_ENTRIES // (n * (1 + k + ignored)) ** 2)
        for part in even_parts(len(members), size):
            stack = [members[i] for i in part]
            those, theirs = [trials[i] for i in stack], [seeds[i] for i in stack]
            ends = checkpoint.together(those, theirs, partial(_descend, those, theirs))
            outcomes.update(zip(stack, ends, strict=True))
    return [outcomes[i] for i in range(len(trials))]


def glorot(trial: Trial, streams: Streams) -> Tensor:
    """The start, flat as in `Landscape`: normal, of variance 2/(n + 1) in a and 2/(d + n) in W, times init_scale²."""
    n, d = trial.student_width, trial.teacher_width + trial.ignored_inputs
    outgoing = streams.generator("init", "outgoing").standard_normal(n) * sqrt(2 / (n + 1))
    incoming = streams.generator("init", "incoming").standard_normal(n * d) * sqrt(2 / (d + n))
    return trial.init_scale * torch.cat([torch.from_numpy(outgoing), torch.from_numpy(incoming)])


def outcome(loss: float, copy_average: float, perturbed_copy: float, tolerance: float) -> str:
    """The theory's point whose loss is nearest, where it is within `tolerance`; else other. Where the two coincide, at
    n = 1 and n = k, copy_average."""
    to_average, to_copies = abs(loss - copy_average), abs(loss - perturbed_copy)
    if min(to_average, to_copies) > tolerance:
        return "other"
    same = abs(copy_average - perturbed_copy) < COINCIDE
    return "copy_average" if same or to_average <= to_copies else "perturbed_copy"


def _descend(trials: Sequence[Trial], seeds: Sequence[Streams], place: Place) -> list[Outcome]:
    """One stack: the flow, looked at whenever its time has doubled, then Newton's steps."""
    first = trials[0]
    k, d = first.teacher_width, first.teacher_width + first.ignored_inputs
    landscape = Landscape(torch.eye(k, d, dtype=torch.float64), first.student_width, first.activation)
    times = [0, *(2**i for i in range(first.flow_time.bit_length()) if 2**i < first.flow_time), first.flow_time]
    starts = torch.stack([glorot(*each) for each in zip(trials, seeds, strict=True)])
    moving = _flowed(landscape, starts, times, first, place.part("flow"))
    settling = _settled(landscape, moving.y, first, place.part("newton"))
    outcomes = []
    for i, trial in enumerate(trials):
        seen = torch.stack([y[i] for y in moving.seen])
        curves = [
            Curve("loss", times, landscape.loss(seen).tolist()),
            Curve("copies", times, [float(copied(y, trial)) for y in seen]),
            *along_the_flow(times, seen, trial),
        ]
        told = {"grad_norm": float(settling.largest[i]), "flow_steps": int(moving.tried[i])}
        outcomes.append(_outcome(landscape, trial, settling.y[i], told, curves))
    return outcomes


def _flowed(landscape: Landscape, starts: Tensor, times: Sequence[int], settings: Trial, place: Place) -> Moving:
    """The stack at the end of the flow, stretch by stretch."""
    left = place.left()
    moving = Moving.restored(left) if left else Moving.start(starts)
    for start, end in list(pairwise(times))[len(moving.seen) - 1 :]:
        for _ in flow(landscape, moving, end - start, settings.flow_tolerance, settings.step_limit):
            place.at(moving)
    place.ended(moving)
    return moving


def _settled(landscape: Landscape, y: Tensor, settings: Trial, place: Place) -> Settling:
    """The stack at the end of Newton's steps from y."""
    left = place.left()
    settling = Settling.restored(left) if left else Settling.start(landscape, y)
    for _ in newton(landscape, settling, settings.gradient_tolerance, settings.step_limit):
        place.at(settling)
    return settling


def _outcome(landscape: Landscape, trial: Trial, y: Tensor, told: dict[str, float], curves: list[Curve]) -> Outcome:
    """What is measured of one student that ended in y."""
    loss = float(landscape.loss(y[None])[0])
    if not isfinite(loss):
        return Outcome("diverged", Measured({}, curves))
    theory = _theory(trial.teacher_width, trial.student_width, trial.activation)
    where = outcome(loss, theory["loss_copy_average"], theory["loss_perturbed_copy"], trial.loss_tolerance)
    metrics: dict[str, float | int | str] = {
        **told,
        "loss": loss,
        "converged": int(told["grad_norm"] <= trial.gradient_tolerance),
        "curvature": float(torch.linalg.eigvalsh(landscape.hessian(y[None]))[0, 0]),
        "outcome": where,
        "is_copy_average": int(where == "copy_average"),
        "is_perturbed_copy": int(where == "perturbed_copy"),
        "copies": copied(y, trial),
        "width_ratio": trial.student_width / trial.teacher_width,
        "outcome_theory": minima(theory),
        "excess_loss": loss - theory["loss_copy_average"],
    }
    return Outcome("done", Measured(metrics | theory, [*curves, *neuron_by_neuron(y, trial)]))


def minima(theory: Mapping[str, float]) -> str:
    """Which of the two points is a minimum: copy_average, perturbed_copy or either. Where they coincide, at n = 1 and
    n = k, copy_average."""
    if abs(theory["loss_copy_average"] - theory["loss_perturbed_copy"]) < COINCIDE:
        return "copy_average"
    if theory["curvature_perturbed_copy"] < -FLAT:
        return "copy_average"
    return "perturbed_copy" if theory["curvature_copy_average"] < -FLAT else "either"


@cache
def _theory(k: int, n: int, activation: str) -> dict[str, float]:
    """What is known of the copy-average and of the perturbed-copy point, by metric."""
    points = {
        "copy_average": copy_average_point(k, n, activation),
        "perturbed_copy": perturbed_copy_point(k, n, activation),
    }
    losses = {f"loss_{name}": point.loss for name, point in points.items()}
    return losses | {f"curvature_{name}": curvature(point, activation) for name, point in points.items()}
