"""Few samples: the worst case over a Wasserstein ball around them, bounded by the gradient with respect to the input.

L = mean_i ℓ_i + ε mean_i ‖∂ℓ_i/∂x_i‖₂,  ℓ = the distillation loss of one sample.   Kong, Guo, You, Xu, AAAI 2020.
The loss depends on the input through both networks, so the gradient goes through both; `teacher_input_grad: false` is
the form that leaves the teacher's part out. ε = 0 is Hinton distillation, by the same operations. The order of
the norm, `slope_p`, is dual to that of the ball.
In training, batch norm makes a sample's loss depend on the whole batch; the gradient then says what a sample does to
all of them. `slope_statistics: running` takes the gradient of the student as it will be used, sample by sample.
Formula: `penalised_loss`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.methods import kd
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms

if TYPE_CHECKING:
    from torch import Tensor


class Method(kd.Method):
    """Softened answers that also hold in the neighbourhood of the samples."""

    epsilon: Batched[float] = field(0.1, ge=0, doc="Radius of the Wasserstein ball, in units of the inputs.")
    teacher_input_grad: Static[bool] = field(True, doc="Whether the input's gradient goes through the teacher too.")
    slope_p: Static[float] = field(
        2.0, ge=1, doc="Order of the norm of the input's gradient; 2 belongs to a ball in Euclidean distance."
    )
    slope_statistics: Static[str] = field(
        "batch",
        choices=("batch", "running"),
        doc="What the student's batch norm uses where the input's gradient is taken; running keeps samples apart.",
    )

    needs = Needs(input_gradients=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="logits and their slopes", where="output", data="few samples", schedule="joint"
    )
    neutral: ClassVar = {"soft_weight": 0.0}

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `soft`, and `slope`, that of the soft term."""
        _, slope = penalised_terms(
            lambda x: lesson.ask_student(x, train=self.slope_statistics == "batch").output,
            lambda x: lesson.ask_teacher(x).output,
            lesson.x,
            lambda own, other: kd.soft_loss(own, other, self.temperature),
            teacher_input_grad=self.teacher_input_grad,
            p=self.slope_p,
        )
        return {**super().loss(lesson), "slope": self.epsilon * self.soft_weight * slope}


def penalised_loss(  # noqa: PLR0917 (the order in which the formula names them)
    student: Callable[[Tensor], Tensor],
    teacher: Callable[[Tensor], Tensor],
    x: Tensor,
    epsilon: float | Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    teacher_input_grad: bool = True,
    p: float = 2.0,
) -> Tensor:
    """mean ℓ + ε · mean ‖∂ℓ/∂x‖_p, differentiable with respect to whatever `student` depends on.

    Args:
        student, teacher: inputs of shape (batch, …) → outputs, and no side effects: a module whose batch norm is in
            training mode goes through `torch.func.functional_call`, with copies of its buffers.
        x: the inputs.
        epsilon: ε ≥ 0; at 0 this is the mean of ℓ to the bit.
        loss: (student's outputs, teacher's outputs) → ℓ of every sample, shape (batch,), or their mean, a scalar.
        teacher_input_grad: whether the gradient goes through the teacher.
        p: order of the norm, ≥ 1: a ball in the q-norm of the inputs has the norm of 1/p = 1 − 1/q.
    """
    mean, slope = penalised_terms(student, teacher, x, loss, teacher_input_grad=teacher_input_grad, p=p)
    return mean + epsilon * slope


def penalised_terms(
    student: Callable[[Tensor], Tensor],
    teacher: Callable[[Tensor], Tensor],
    x: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    teacher_input_grad: bool = True,
    p: float = 2.0,
) -> tuple[Tensor, Tensor]:
    """mean ℓ and mean ‖∂ℓ/∂x‖_p, as `penalised_loss` adds them."""

    def total(inputs: Tensor) -> tuple[Tensor, Tensor]:
        answers = teacher(inputs if teacher_input_grad else x)
        each = loss(student(inputs), answers)
        return (each.sum(), each.mean()) if each.ndim else (each * len(inputs), each)

    slopes, mean = torch.func.grad(total, has_aux=True)(x)
    return mean, _norms(slopes.flatten(1), p).mean()


def _norms(rows: Tensor, p: float) -> Tensor:
    """The p-norm of every row, with a finite slope where a row is 0."""
    if p == 2:
        return (rows.square().sum(1) + TINY).sqrt()
    # |g|ᵖ as exp(p log |g|): a power rounds differently from place to place in memory.
    return (((rows.square() + TINY).log() * (p / 2)).logsumexp(1) / p).exp()


TINY = 1e-12
"""Keeps the square root's slope finite where a sample's gradient vanishes."""
