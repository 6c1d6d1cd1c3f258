"""Variational information distillation: from the student's maps the teacher's can be told, up to Gaussian noise.

A regressor guesses the teacher's map from the student's, and every channel has a variance σ² that is learned:
L = ½ mean((t − μ(s))² / σ² + log σ²), summed over the stages: a bound on their mutual information.
Ahn, Hu, Damianou, Lawrence, Dai 2019, arXiv:1904.05835, eqs. 4 to 6. The regressor of three 1×1 convolutions, the mean
over elements, σ² = log(1 + e^α) + 10⁻⁵ with 5 at the start and the weight of 1 are those of RepDistiller (Tian et al.
2020, arXiv:1910.10699). Formula: `information_loss`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import expm1, log
from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, maps, pooled
from tsd.models._base import View

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Draw, Model, Params

SMALLEST = 1e-5
"""Of a variance."""


class Method(FeatureDistillation):
    """Gaussian guesses of the teacher's maps, at every stage."""

    vid_weight: Batched[float] = field(1.0, ge=0, doc="Weight of the information term; 0 is plain training.")
    vid_variance: Static[float] = field(5.0, gt=SMALLEST, doc="Variance of every channel before training.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="features", where="every stage", data="training set", schedule="joint"
    )
    neutral: ClassVar = {"vid_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """Every stage, behind its activation."""
        return maps(student, teacher, "after")

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """For every pair a regressor and the variances of its channels."""
        found: dict[str, Model] = {}
        for number, (own, other) in enumerate(self.pairs(student, teacher)):
            channels = teacher.shapes[other][0]
            found[f"mean{number}"] = _regressor(student.shapes[own][0], channels)
            found[f"variance{number}"] = _Variance(channels, self.vid_variance)
        return found

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `information`."""
        terms = []
        for number, (own, other) in enumerate(self.pairs(*lesson.networks)):
            student, teacher = pooled(lesson.student.features[own], lesson.teacher.features[other])
            mean, variance = (lesson.adapt(f"{what}{number}", student) for what in ("mean", "variance"))
            terms.append(information_loss(mean, teacher, variance))
        return {"hard": lesson.hard(), "information": self.vid_weight * torch.stack(terms).sum()}


def information_loss(student_mean: Tensor, teacher_map: Tensor, variance: Tensor) -> Tensor:
    """−log N(t; μ, σ²) less its constant ½ log 2π.

    Args:
        student_mean: μ, what the regressor makes of the student's map, shape (batch, channel, height, width).
        teacher_map: t, of the same shape.
        variance: σ² > 0, shape (channel, 1, 1).
    Returns:
        Scalar in nats: mean over elements and batch. It may be negative.
    """
    return ((teacher_map - student_mean).square() / variance + variance.log()).mean() / 2


def _regressor(channels: int, wanted: int) -> Model:
    """Three 1×1 convolutions with ReLUs between them."""
    from tsd.models._module import from_module

    nn = torch.nn
    return from_module(
        lambda: nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, wanted, 1, bias=False),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(wanted, wanted, 1, bias=False),
                relu2=nn.ReLU(),
                conv3=nn.Conv2d(wanted, wanted, 1, bias=False),
            )
        )
    )


@dataclass(frozen=True)
class _Variance:
    """A positive number for every channel, whatever the input."""

    channels: int
    first: float

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """All equal `first`."""
        return {"raw": torch.full((self.channels, 1, 1), log(expm1(self.first - SMALLEST)))}, {}

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """log(1 + e^raw) and a little more; written so that no large `raw` overflows."""
        return View(SMALLEST - torch.nn.functional.logsigmoid(-params["raw"]), {}, buffers)
