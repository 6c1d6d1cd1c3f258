"""Decoupled distillation: how sure the teacher is of the label, and what it says of the other classes, weighted apart.

L = CE + min(1, t/t_w) T² [α KL(b_t ‖ b_s) + β KL(q_t ‖ q_s)],  p = softmax(z/T), b = (p_y, 1 − p_y), q = p without
class y and of sum one.   Zhao, Cui, Song, Qiu, Liang 2022, arXiv:2203.08679, §3.
Hinton's loss is the same sum with α = 1 and β = 1 − p_y of the teacher, which silences the other classes just where the
teacher is sure. Of two classes there is only one "other", q = 1, so the method needs three. 1 − p_y is summed over the
other classes here: taken as a difference it is 0 in single precision, and its logarithm −∞, where a network is sure.
Formula: `decoupled_loss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.methods._base import Distillation, Lesson, Needs, Taxonomy, Terms, Traits

if TYPE_CHECKING:
    from torch import Tensor


class Method(Distillation):
    """The label's class and the other classes, weighted apart."""

    temperature: Batched[float] = field(4.0, gt=0, doc="Softens both logits; 1 leaves them unchanged.")
    dkd_alpha: Batched[float] = field(1.0, ge=0, doc="Weight of how sure the teacher is of the label's class.")
    dkd_beta: Batched[float] = field(8.0, ge=0, doc="Weight of what it says of the other classes.")
    dkd_warm_up: Static[float] = field(
        1 / 12, ge=0, le=1, doc="Share of the updates in which the term grows from 0 to its full weight."
    )

    needs = Needs(progress=True)
    taxonomy = Taxonomy(teacher="pretrained", passes="logits", where="output", data="training set", schedule="offline")
    neutral: ClassVar = {"dkd_alpha": 0.0, "dkd_beta": 0.0}

    def reads(self, student: Traits, teacher: Traits) -> Sequence[str]:
        """No features.

        Raises:
            UserError: there are only two classes.
        """
        if student.classes < 3:
            raise UserError(
                f"The method dkd tells what a teacher says of the classes beside the label's, and needs three classes "
                f"for it; the data set has {student.classes}. Use the method kd."
            )
        return ()

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `decoupled`."""
        decoupled = decoupled_loss(
            lesson.student.output,
            lesson.teacher.output,
            lesson.label,
            self.dkd_alpha,
            self.dkd_beta,
            self.temperature,
        )
        return {"hard": lesson.hard(), "decoupled": self._grown(lesson.progress) * decoupled}

    def _grown(self, progress: Tensor | float) -> Tensor | float:
        """The share of the full weight that the term has."""
        if not self.dkd_warm_up:
            return 1.0
        return torch.as_tensor(progress / self.dkd_warm_up).clamp(max=1)


def decoupled_loss(  # noqa: PLR0917 (the order in which the formula names them)
    student_logits: Tensor,
    teacher_logits: Tensor,
    label: Tensor,
    alpha: float | Tensor,
    beta: float | Tensor,
    temperature: float | Tensor,
) -> Tensor:
    """T² [α KL between (label's class, the rest) + β KL among the rest].

    Args:
        student_logits, teacher_logits: shape (batch, class), at least three classes in the same order.
        label: shape (batch,).
        alpha, beta: weights.
        temperature: > 0.
    Returns:
        Scalar in nats: summed over classes, mean over the batch.
    """
    own, others = _split(student_logits / temperature, label)
    teachers_own, teachers_others = _split(teacher_logits / temperature, label)
    return (
        temperature**2 * (alpha * _divergence(teachers_own, own) + beta * _divergence(teachers_others, others)).mean()
    )


def _split(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of (p_y, 1 − p_y), shape (batch, 2), and of q over the other classes, shape (batch, class − 1)."""
    classes = logits.shape[-1]
    offset = torch.arange(1, classes, device=logits.device)
    rest = logits.gather(-1, (label.unsqueeze(-1) + offset) % classes)
    both = torch.cat([logits.gather(-1, label.unsqueeze(-1)), rest.logsumexp(-1, keepdim=True)], -1)
    return torch.log_softmax(both, -1), torch.log_softmax(rest, -1)


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL of every sample from logarithms of probabilities."""
    return (teacher.exp() * (teacher - student)).sum(-1)
