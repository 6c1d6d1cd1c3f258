"""Hinton distillation: the student matches softened class probabilities.

L = (1 − w) CE(z_s, y) + w T² KL(p_t ‖ p_s),  p = softmax(z / T).   Hinton, Vinyals, Dean 2015, arXiv:1503.02531, §2.
The factor T² keeps the size of the soft gradient when T changes. w = 0 is plain training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, field
from tsd.lazy import torch
from tsd.methods._base import Distillation, Lesson, Needs, Taxonomy, Terms

if TYPE_CHECKING:
    from torch import Tensor


class Method(Distillation):
    """Softened teacher answers and labels, weighted."""

    temperature: Batched[float] = field(4.0, gt=0, doc="Softens both logits; 1 leaves them unchanged.")
    soft_weight: Batched[float] = field(0.9, ge=0, le=1, doc="Share of the soft term; 0 is plain training.")

    needs = Needs(labels=True)
    taxonomy = Taxonomy(teacher="pretrained", passes="logits", where="output", data="training set", schedule="offline")
    neutral: ClassVar = {"soft_weight": 0.0}

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `soft` and `hard`."""
        return {
            "soft": self.soft_weight * soft_loss(lesson.student.output, lesson.teacher.output, self.temperature),
            "hard": (1 - self.soft_weight) * lesson.hard(),
        }


def soft_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor) -> Tensor:
    """T² KL(teacher ‖ student) between softened probabilities.

    Args:
        student_logits, teacher_logits: shape (batch, class), same class order.
        temperature: > 0.
    Returns:
        Scalar in nats: summed over classes, mean over the batch. In single precision its value, not its gradient, is
        known to about 10⁻⁷ T² nats.
    """
    log_student = torch.log_softmax(student_logits / temperature, dim=-1)
    log_teacher = torch.log_softmax(teacher_logits / temperature, dim=-1)
    divergence = (log_teacher.exp() * (log_teacher - log_student)).sum(-1).mean()
    return temperature**2 * divergence
