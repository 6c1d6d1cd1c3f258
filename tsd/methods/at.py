"""Attention transfer: student and teacher look at the same places.

q = Σ_c F_c² over the channels, flattened and divided by its length;  L = mean (q_s − q_t)², summed over the stages.
Zagoruyko and Komodakis 2017, arXiv:1612.03928, eq. 2, with a mean over the places instead of a norm, as RepDistiller
(Tian et al. 2020, arXiv:1910.10699) has it: the weight of 1000 belongs to this form. Formula: `attention_loss`.
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
    """Maps of where the activations are large, at every stage."""

    at_weight: Batched[float] = field(1000.0, ge=0, doc="Weight of the attention term; 0 is plain training.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="features", where="every stage", data="training set", schedule="joint"
    )
    neutral: ClassVar = {"at_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """Every stage, behind its activation."""
        return maps(student, teacher, "after")

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `attention`."""
        terms = [
            attention_loss(lesson.student.features[own], lesson.teacher.features[other])
            for own, other in self.pairs(*lesson.networks)
        ]
        return {"hard": lesson.hard(), "attention": self.at_weight * torch.stack(terms).sum()}


def attention_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared difference of two attention maps.

    Args:
        student_map, teacher_map: activations of shape (batch, channel, height, width), of any number of channels; the
            larger map is averaged down to the size of the smaller one.
    Returns:
        Scalar: mean over the places and over the batch.
    """
    one, other = pooled(student_map, teacher_map)
    return (attention(one) - attention(other)).square().mean()


def attention(activations: Tensor) -> Tensor:
    """Mean square over the channels, shape (batch, place), divided by its length."""
    return torch.nn.functional.normalize(activations.square().mean(1).flatten(1), dim=1)
