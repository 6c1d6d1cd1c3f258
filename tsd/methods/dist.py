"""Relations instead of values: the student's probabilities need only correlate with the teacher's.

L = CE + β T² mean_b (1 − ρ(p_s[b], p_t[b])) + γ T² mean_c (1 − ρ(p_s[:, c], p_t[:, c])),  p = softmax(z/T).
ρ is Pearson's correlation, between the classes of a sample and between the samples of a class. Huang, You, Wang, Qian,
Xu 2022, arXiv:2205.10536, §3, with the factor T² of the authors' code. Formulas: `inter_loss`, `intra_loss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, field
from tsd.lazy import torch
from tsd.methods._base import Distillation, Lesson, Needs, Taxonomy, Terms

if TYPE_CHECKING:
    from torch import Tensor


class Method(Distillation):
    """Correlations of the softened answers, by sample and by class."""

    temperature: Batched[float] = field(4.0, gt=0, doc="Softens both logits; 1 leaves them unchanged.")
    dist_beta: Batched[float] = field(2.0, ge=0, doc="Weight of the correlation between the classes of a sample.")
    dist_gamma: Batched[float] = field(2.0, ge=0, doc="Weight of the correlation between the samples of a class.")

    needs = Needs()
    taxonomy = Taxonomy(
        teacher="pretrained", passes="relations of logits", where="output", data="training set", schedule="offline"
    )
    neutral: ClassVar = {"dist_beta": 0.0, "dist_gamma": 0.0}

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard`, `inter` and `intra`."""
        shown = lesson.student.output, lesson.teacher.output, self.temperature
        return {
            "hard": lesson.hard(),
            "inter": self.dist_beta * inter_loss(*shown),
            "intra": self.dist_gamma * intra_loss(*shown),
        }


def inter_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor) -> Tensor:
    """T² (1 − correlation between the classes of a sample), mean over the batch.

    Args:
        student_logits, teacher_logits: shape (batch, class), same class order.
        temperature: > 0.
    """
    student, teacher = (torch.softmax(logits / temperature, -1) for logits in (student_logits, teacher_logits))
    return temperature**2 * (1 - correlation(student, teacher)).mean()


def intra_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor) -> Tensor:
    """T² (1 − correlation between the samples of a class), mean over the classes; arguments as of `inter_loss`."""
    student, teacher = (torch.softmax(logits / temperature, -1) for logits in (student_logits, teacher_logits))
    return temperature**2 * (1 - correlation(student.mT, teacher.mT)).mean()


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation of every row, shape (row,); 0 where a row is constant.

    It is taken as Σ a b / √((Σ a² + 10⁻¹⁶)(Σ b² + 10⁻¹⁶)) with a and b less their means, so that rows which vary by
    less than 10⁻⁸ count as constant: those of classes that are given no chance.
    """
    one, other = (rows - rows.mean(-1, keepdim=True) for rows in (one, other))
    lengths = [(rows.square().sum(-1) + TINY).sqrt() for rows in (one, other)]
    return (one * other).sum(-1) / (lengths[0] * lengths[1])


TINY = 1e-16
"""Keeps the length of a constant row, and its slope, finite; rounding makes rows of equal single-precision numbers vary
by about 10⁻⁸."""
