"""Factor transfer: the student translates its features into the teacher's, told in other words.

A paraphraser, the encoder of an autoencoder, is trained once on the teacher's last features without labels; a
translator of the same form is trained along with the student. F_t = P(f_t), F_s = T(f_s), each flattened and divided by
its length:  L = CE + β ‖F_s/‖F_s‖ − F_t/‖F_t‖‖_p.   Kim, Park, Kwak 2018, arXiv:1802.04977, eqs. 1 to 3.
With p = 1 the released code takes the mean over all elements, and β = 500 belongs to that mean; it depends on the
number of elements. `channel_pow2` compares maps of where the factors are large instead, as RepDistiller (Tian et al.
2020, arXiv:1910.10699) has it under the same name.

The length has an ε: features that are all zero give no NaN. Where the maps differ in size, the larger one is averaged
down. The paraphraser is trained by Adam: with the SGD of the released code, small ones stay at the features' mean.
Formula: `factor_loss`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, maps, pooled
from tsd.methods._paraphraser import PARAPHRASER, encoder

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Model


class Method(FeatureDistillation):
    """The teacher's last features, paraphrased, and the student's, translated."""

    factor_weight: Batched[float] = field(500.0, ge=0, doc="Weight β of the factor term; 0 is plain training.")
    factor_p: Static[int] = field(1, ge=1, le=2, doc="1 compares factors by absolute, 2 by squared differences.")
    factor_normalise: Static[str] = field(
        "flatten_l2",
        choices=("flatten_l2", "channel_pow2"),
        doc="Compares whole factors of length 1, or maps of where they are large.",
    )
    factor_rate: Static[float] = field(0.5, gt=0, doc="Channels of a factor as a share of those of the teacher's map.")
    factor_recon: Static[str] = field(
        "l1", choices=("l1", "mse"), doc="Error of the autoencoder: mean absolute or mean squared difference."
    )
    factor_epochs: Static[int] = field(5, ge=1, unit="epochs", doc="Passes of the paraphraser over the training set.")
    factor_lr: Static[float] = field(2e-3, gt=0, doc="Step size of the paraphraser's Adam, falling linearly to 0.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="factors", where="last stage", data="training set", schedule="paraphraser, joint"
    )
    neutral: ClassVar = {"factor_weight": 0.0}
    artefacts: ClassVar = (PARAPHRASER,)

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """Where the last stage ends."""
        return maps(student, teacher, "end")[-1:]

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """The translator."""
        [(own, other)] = self.pairs(student, teacher)
        for network, point in ((student, own), (teacher, other)):
            if len(network.shapes[point]) != 3:
                raise UserError(
                    f"factor_transfer translates maps of shape (channel, height, width); `{point}` of the "
                    f"{network.role} has shape {network.shapes[point]}. Name the end of a convolutional stage."
                )
        return {"translator": encoder(student.shapes[own][0], teacher.shapes[other][0], self.factor_rate)}

    def products(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """The paraphraser."""
        [(_, other)] = self.pairs(student, teacher)
        channels = teacher.shapes[other][0]
        return {"paraphraser": encoder(channels, channels, self.factor_rate)}

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `factor`."""
        [(own, other)] = self.pairs(*lesson.networks)
        student = lesson.adapt("translator", lesson.student.features[own])
        teacher = lesson.frozen("paraphraser", lesson.teacher.features[other])
        compared = factor_loss(*pooled(student, teacher), self.factor_p, self.factor_normalise)
        return {"hard": lesson.hard(), "factor": self.factor_weight * compared}


def factor_loss(student_factor: Tensor, teacher_factor: Tensor, p: int, normalise: str = "flatten_l2") -> Tensor:
    """Distance of two normalised factors.

    Args:
        student_factor, teacher_factor: shape (batch, …), equal; (batch, channel, height, width) for `channel_pow2`.
        p: 1 gives the mean absolute difference over elements and batch; 2 the Euclidean length of a sample's
            difference, mean over the batch, and for `channel_pow2` the mean squared difference.
        normalise: flatten_l2 divides a sample's factor by its length; channel_pow2 its mean square over the channels.
    """
    unit = torch.nn.functional.normalize
    if normalise == "channel_pow2":
        student_factor, teacher_factor = (f.square().mean(1) for f in (student_factor, teacher_factor))
    apart = unit(student_factor.flatten(1), dim=1) - unit(teacher_factor.flatten(1), dim=1)
    if p == 1:
        return apart.abs().mean()
    return apart.square().mean() if normalise == "channel_pow2" else torch.linalg.vector_norm(apart, dim=1).mean()
