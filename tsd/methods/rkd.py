"""Relational distillation: the student's embeddings lie to each other as the teacher's do, in distances and in angles.

L = CE + w_d mean_ij h(ψ_s − ψ_t) + w_a mean_ijk h(cos_s − cos_t),  ψ_ij = |e_i − e_j| over its mean.
cos_ijk is the cosine of the angle at sample i, h the Huber loss of threshold 1. Park, Kim, Lu, Cho 2019,
arXiv:1904.05068, §3.2; weights as in RepDistiller (Tian et al. 2020, arXiv:1910.10699). Embeddings may differ in width,
and nothing is trained beside the student. Angles take memory for batch² × width and for batch³ numbers.
Formulas: `distance_loss`, `angle_loss`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs

if TYPE_CHECKING:
    from torch import Tensor


class Method(FeatureDistillation):
    """Distances and angles between the samples of a batch."""

    rkd_distance_weight: Batched[float] = field(25.0, ge=0, doc="Weight of the distances.")
    rkd_angle_weight: Batched[float] = field(50.0, ge=0, doc="Weight of the angles.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="relations of samples", where="embedding", data="training set", schedule="joint"
    )
    neutral: ClassVar = {"rkd_distance_weight": 0.0, "rkd_angle_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """The embeddings in front of the heads."""
        return [(student.embedding, teacher.embedding)]

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard`, `distance` and `angle`."""
        [(own, other)] = self.pairs(*lesson.networks)
        shown = lesson.student.features[own], lesson.teacher.features[other]
        return {
            "hard": lesson.hard(),
            "distance": self.rkd_distance_weight * distance_loss(*shown),
            "angle": self.rkd_angle_weight * angle_loss(*shown),
        }


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss of the distances between samples, each network's divided by their mean.

    Args:
        student, teacher: embeddings of the same samples, shape (batch, …), of any widths.
    Returns:
        Scalar: mean over all ordered pairs, the batch with itself among them.
    """
    return torch.nn.functional.smooth_l1_loss(_distances(student), _distances(teacher))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss of the cosines of all angles between three samples; arguments as of `distance_loss`.

    Returns:
        Scalar: mean over all ordered triples.
    """
    return torch.nn.functional.smooth_l1_loss(_cosines(student), _cosines(teacher))


def _differences(embedding: Tensor) -> Tensor:
    """From sample i to sample j, e_j − e_i, shape (i, j, width)."""
    flat = embedding.flatten(1)
    return flat.unsqueeze(0) - flat.unsqueeze(1)


def _distances(embedding: Tensor) -> Tensor:
    """|e_i − e_j| divided by the mean over i ≠ j, shape (batch, batch)."""
    count = len(embedding)
    # The square root has no slope at 0, where a sample meets itself or its double.
    lengths = _differences(embedding).square().sum(-1).clamp(min=TINY).sqrt()
    apart = lengths * (1 - torch.eye(count, dtype=lengths.dtype, device=lengths.device))
    return apart / (apart.sum() / max(count * (count - 1), 1)).clamp(min=TINY)


def _cosines(embedding: Tensor) -> Tensor:
    """Cosine of the angle at sample i between j and k, shape (i, j, k); 0 where j or k is i."""
    ways = torch.nn.functional.normalize(_differences(embedding), dim=-1)
    return ways @ ways.mT


TINY = 1e-12
"""The smallest squared distance that counts."""
