"""Probabilistic knowledge transfer: each sample's neighbours are as likely in the student as in the teacher.

Samples i and j are alike by K_ij = (cos(f_i, f_j) + 1) / 2, and p(j | i) = K_ij / Σ_j K_ij;
L = Σ_ij p_t(j | i) log(p_t(j | i) / p_s(j | i)) / B².
Passalis and Tefas 2018, arXiv:1803.10837, eqs. 3, 8 and 9; the mean over the pairs and the weight of 30,000 are those
of the released code and of RepDistiller (Tian et al. 2020, arXiv:1910.10699). Formula: `neighbour_loss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-7
"""Keeps the logarithms finite."""


class Method(FeatureDistillation):
    """Likely neighbours among the samples of a batch, in front of the head."""

    pkt_weight: Batched[float] = field(3e4, ge=0, doc="Weight of the neighbour term; 0 is plain training.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="relations of samples", where="embedding", data="training set", schedule="joint"
    )
    neutral: ClassVar = {"pkt_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """The embeddings."""
        return [(student.embedding, teacher.embedding)]

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `neighbour`."""
        [(own, other)] = self.pairs(*lesson.networks)
        compared = neighbour_loss(lesson.student.features[own], lesson.teacher.features[other])
        return {"hard": lesson.hard(), "neighbour": self.pkt_weight * compared}


def neighbour_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """KL(teacher ‖ student) of the probabilities of neighbours.

    Args:
        student_embedding, teacher_embedding: activations of shape (batch, …), of the same batch and otherwise of any
            shapes.
    Returns:
        Scalar in nats: mean over all pairs of samples, which is the mean over the batch divided by its size.
    """
    student, teacher = neighbours(student_embedding), neighbours(teacher_embedding)
    return (teacher * torch.log((teacher + TINY) / (student + TINY))).mean()


def neighbours(activations: Tensor) -> Tensor:
    """p(j | i) by the cosine of the samples' activations, shape (batch, batch); every row sums to 1."""
    unit = torch.nn.functional.normalize(activations.flatten(1), dim=1)
    alike = (unit @ unit.T + 1) / 2
    return alike / alike.sum(1, keepdim=True)
