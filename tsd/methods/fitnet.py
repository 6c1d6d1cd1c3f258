"""FitNet hints: the student's middle activations, through a regressor, match the teacher's.

Stage 1 (hint): ½ ‖r(f_s; W_r) − f_t‖² a sample, on the regressor and the student up to the guided layer; stage 2: the
whole student by softened answers and labels. `joint` does both at once, with the hint averaged over its elements. In
the paper the softened answers' weight falls from 4 to 1 over stage 2: `hint_anneal: 4`.
Romero et al. 2015, arXiv:1412.6550, eqs. 3 and 4; the joint form and the rules of the regressor are those of
RepDistiller (Tian et al. 2020, arXiv:1910.10699). The regressor is dropped after training.
Formula: `hint_loss`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, Static, field
from tsd.methods import kd
from tsd.methods._base import IMAGES, OPTIMIZERS, Lesson, Needs, Stretch, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, middle, regressor, stages

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Model


class Method(kd.Method, FeatureDistillation):
    """Hints from inside the teacher, then its softened answers."""

    hint_mode: Static[str] = field(
        "two_stage", choices=("two_stage", "joint"), doc="Hints first and answers after, or both at once."
    )
    hint_share: Static[float] = field(1 / 3, gt=0, lt=1, doc="Share of the updates that are given to the hint stage.")
    hint_lr: Batched[float] = field(0.0, ge=0, doc="Step size of the hint stage; 0 takes lr.")
    hint_optimizer: Static[str] = field(
        "same", choices=OPTIMIZERS, doc="Optimizer of the hint stage; same is that of the trial."
    )
    hint_images: Static[str] = field(
        "student",
        choices=IMAGES,
        doc="Images of the hint stage, which reads no labels: the student's, or the whole set.",
    )
    hint_weight: Batched[float] = field(
        100.0, ge=0, doc="Weight of the mean squared hint error in joint mode; two_stage does not read it."
    )
    hint_anneal: Batched[float] = field(
        1.0, gt=0, doc="Factor of the soft term as the answers begin, falling linearly to 1 at the end."
    )

    needs = Needs(features=True, progress=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="features", where="middle stage", data="training set", schedule="two stages"
    )
    neutral: ClassVar = {"hint_mode": "joint", "hint_weight": 0.0, "soft_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """The stage in the middle, behind its activation."""
        return middle(stages(student, teacher, "after"))

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """The regressor from the guided to the hint layer."""
        [(own, other)] = self.pairs(student, teacher)
        return {"regressor": regressor((own, other), student.shapes[own], teacher.shapes[other], relu=True)}

    def phases(self) -> Sequence[Stretch]:
        """The hint stage and the answers', or one stage of both."""
        if self.hint_mode == "joint":
            return (Stretch(1.0, Method.loss),)
        own = ("hint_lr", self.hint_optimizer, self.hint_images)
        return (Stretch(self.hint_share, Method.hint, *own), Stretch(1 - self.hint_share, Method.loss))

    def hint(self, lesson: Lesson) -> Terms:
        """The term `hint` of the first stage."""
        return {"hint": hint_loss(*self._compared(lesson))}

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `soft` and `hard`, the soft one with its factor, and in joint mode `hint`."""
        joint = self.hint_mode == "joint"
        left = (1 - lesson.progress) / (1 if joint else 1 - self.hint_share)
        terms = super().loss(lesson)
        terms = {**terms, "soft": (1 + (self.hint_anneal - 1) * left) * terms["soft"]}
        if not joint:
            return terms
        guided, hint = self._compared(lesson)
        return {**terms, "hint": self.hint_weight * (guided - hint).square().mean()}

    def _compared(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        [(own, other)] = self.pairs(*lesson.networks)
        return lesson.adapt("regressor", lesson.student.features[own]), lesson.teacher.features[other]


def hint_loss(guided: Tensor, hint: Tensor) -> Tensor:
    """½ ‖guided − hint‖², summed over the elements of a sample, mean over the batch.

    Args:
        guided: what the regressor makes of the student's activations, shape (batch, …).
        hint: the teacher's activations, of the same shape.
    """
    return (guided - hint).square().flatten(1).sum(1).mean() / 2
