"""Similarity preserving: inputs that excite the teacher alike excite the student alike.

G = F Fᵀ over the samples of a batch, each row divided by its length;  L = ‖G_s − G_t‖² / B².
Tung and Mori 2019, arXiv:1907.09682, eqs. 2 to 4; the weight of 3000 is that of RepDistiller (Tian et al. 2020,
arXiv:1910.10699). Networks of any widths are compared, for G has one row and one column a sample. The loss depends on
the size of the batch, and a batch of one sample has none. Formula: `similarity_loss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, stages

if TYPE_CHECKING:
    from torch import Tensor


class Method(FeatureDistillation):
    """Similarities of the samples of a batch, behind the last stage."""

    sp_weight: Batched[float] = field(3000.0, ge=0, doc="Weight of the similarity term; 0 is plain training.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="relations of samples", where="last stage", data="training set", schedule="joint"
    )
    neutral: ClassVar = {"sp_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """Where the last stage ends."""
        return stages(student, teacher, "end")[-1:]

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `similarity`."""
        [(own, other)] = self.pairs(*lesson.networks)
        compared = similarity_loss(lesson.student.features[own], lesson.teacher.features[other])
        return {"hard": lesson.hard(), "similarity": self.sp_weight * compared}


def similarity_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared difference of two similarity matrices.

    Args:
        student_map, teacher_map: activations of shape (batch, …), of the same batch and otherwise of any shapes.
    Returns:
        Scalar: ‖G_s − G_t‖² / B², summed over the pairs of samples.
    """
    return (similarity(student_map) - similarity(teacher_map)).square().mean()


def similarity(activations: Tensor) -> Tensor:
    """Products of the samples' activations, shape (batch, batch), every row divided by its length."""
    flat = activations.flatten(1)
    return torch.nn.functional.normalize(flat @ flat.T, dim=1)
