"""Activation boundaries: the student's hidden units are on and off where the teacher's are.

Where the teacher's pre-activation is positive, the student's is to be above the margin m, elsewhere below −m:
ρ = max(m − s, 0)² where t > 0, max(m + s, 0)² elsewhere.   Heo, Lee, Yun, Choi 2019, arXiv:1811.03233, eq. 5.
L = c Σ_l 2^(l − L) Σ ρ / batch over the stages l = 1 … L, with c = 3/1000: the scale of the released code. Stage 1
trains the student up to its last boundary, and its connectors, by L; stage 2 the whole student by softened answers and
labels (`soft_weight: 1` is the released code, which reads no labels). `joint` does both at once.

The released code leaves the teacher in training mode and forgets T²; here it stays frozen and T² is kept. Activations
are taken before the ReLU: behind it the negative side could never be reached. Formula: `boundary_loss`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.methods import kd
from tsd.methods._base import IMAGES, OPTIMIZERS, Lesson, Needs, Stretch, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, connected, connectors, stages
from tsd.studies._base import Measured

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Model


class Method(kd.Method, FeatureDistillation):
    """Which units are active, then softened answers."""

    ab_mode: Static[str] = field(
        "two_stage", choices=("two_stage", "joint"), doc="Boundaries first and answers after, or both at once."
    )
    ab_share: Static[float] = field(1 / 3, gt=0, lt=1, doc="Share of the updates that are given to the boundaries.")
    ab_lr: Batched[float] = field(0.0, ge=0, doc="Step size of the boundaries' stage; 0 takes lr.")
    ab_optimizer: Static[str] = field(
        "same", choices=OPTIMIZERS, doc="Optimizer of the boundaries' stage; same is that of the trial."
    )
    ab_images: Static[str] = field(
        "student",
        choices=IMAGES,
        doc="Images of the boundaries' stage, which reads no labels: the student's, or the whole set.",
    )
    ab_weight: Batched[float] = field(3e-3, ge=0, doc="Weight c of the boundary term; 3/1000 as released.")
    ab_decay: Batched[float] = field(0.5, ge=0, le=1, doc="Weight of a stage as a share of the next one's.")
    ab_margin: Batched[float] = field(1.0, ge=0, doc="Distance from 0 that the student's pre-activations should keep.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="boundaries", where="every stage", data="training set", schedule="two stages"
    )
    neutral: ClassVar = {"ab_mode": "joint", "ab_weight": 0.0, "soft_weight": 0.0}
    reports: ClassVar = ("sign_agreement",)

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """Every stage, in front of its activation."""
        return stages(student, teacher, "before")

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """A connector for every stage whose shapes differ."""
        return connectors(self.pairs(student, teacher), student, teacher)

    def phases(self) -> Sequence[Stretch]:
        """The boundaries' stage and the answers', or one stage of both."""
        if self.ab_mode == "joint":
            return (Stretch(1.0, Method.loss),)
        own = ("ab_lr", self.ab_optimizer, self.ab_images)
        return (Stretch(self.ab_share, Method.boundaries, *own), Stretch(1 - self.ab_share, Method.loss))

    def boundaries(self, lesson: Lesson) -> Terms:
        """The term `boundary`."""
        compared = connected(self.pairs(*lesson.networks), lesson)
        total = boundary_loss(*compared[0], self.ab_margin)
        for own, other in compared[1:]:
            total = self.ab_decay * total + boundary_loss(own, other, self.ab_margin)
        return {"boundary": self.ab_weight * total}

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `soft` and `hard`, and in joint mode `boundary`."""
        terms = super().loss(lesson)
        return {**terms, **self.boundaries(lesson)} if self.ab_mode == "joint" else terms

    def report(self, lesson: Lesson) -> Measured:
        """`sign_agreement`, mean over the stages."""
        shares = [sign_agreement(own, other) for own, other in connected(self.pairs(*lesson.networks), lesson)]
        return Measured({"sign_agreement": 100 * torch.stack(shares).mean().item()})


def boundary_loss(student_pre: Tensor, teacher_pre: Tensor, margin: float | Tensor) -> Tensor:
    """Squared hinge that pushes the student's pre-activations past the margin, to the side where the teacher's are.

    Args:
        student_pre: what the connector makes of the student's pre-activations, shape (batch, …).
        teacher_pre: the teacher's, of the same shape; 0 counts as off.
        margin: m ≥ 0; it applies to the student alone.
    Returns:
        Scalar: summed over the elements of a sample, mean over the batch.
    """
    short = torch.where(teacher_pre > 0, margin - student_pre, margin + student_pre).relu()
    return short.square().flatten(1).sum(1).mean()


def sign_agreement(student_pre: Tensor, teacher_pre: Tensor) -> Tensor:
    """Share of the units that are on (> 0) in both or off in both, over elements and batch; a scalar in 0 … 1."""
    return ((student_pre > 0) == (teacher_pre > 0)).double().mean()
