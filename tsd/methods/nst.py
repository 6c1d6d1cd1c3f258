"""Neuron selectivity transfer: the student's channels are distributed over the places as the teacher's are.

Every channel of a map, divided by its length, is a sample; L = MMD² of the student's and the teacher's samples with the
kernel k(a, b) = (aᵀb)², a polynomial of degree 2 without constant, summed over the stages.
Huang and Wang 2017, arXiv:1707.01219, eqs. 5 and 8. The weight of 50 and the stages are those of RepDistiller (Tian et
al. 2020, arXiv:1910.10699). The kernel matrices take batch · channels² numbers. Formula: `selectivity_loss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, maps, pooled

if TYPE_CHECKING:
    from torch import Tensor


class Method(FeatureDistillation):
    """Distributions of the channels, at every stage."""

    nst_weight: Batched[float] = field(50.0, ge=0, doc="Weight of the selectivity term; 0 is plain training.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="features", where="every stage", data="training set", schedule="joint"
    )
    neutral: ClassVar = {"nst_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """Every stage, behind its activation."""
        return maps(student, teacher, "after")

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `selectivity`."""
        terms = [
            selectivity_loss(lesson.student.features[own], lesson.teacher.features[other])
            for own, other in self.pairs(*lesson.networks)
        ]
        return {"hard": lesson.hard(), "selectivity": self.nst_weight * torch.stack(terms).sum()}


def selectivity_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of the channels, with the kernel (aᵀb)².

    Args:
        student_map, teacher_map: activations of shape (batch, channel, height, width), of any number of channels; the
            larger map is averaged down to the size of the smaller one.
    Returns:
        Scalar: mean k(s, s′) + mean k(t, t′) − 2 mean k(s, t) over the pairs of channels, mean over the batch.
    """
    student, teacher = (
        torch.nn.functional.normalize(one.flatten(2), dim=2) for one in pooled(student_map, teacher_map)
    )
    return kernel(student, student) + kernel(teacher, teacher) - 2 * kernel(student, teacher)


def kernel(one: Tensor, other: Tensor) -> Tensor:
    """Mean of (aᵀb)² over the channels a of `one` and b of `other`, each (batch, channel, place), and the batch."""
    return (one @ other.transpose(1, 2)).square().mean()
