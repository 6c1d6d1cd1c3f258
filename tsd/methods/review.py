"""Knowledge review: each stage of the teacher is told from that stage of the student and all later ones.

From the last stage to the first, the student's map is squeezed to a common number of channels and fused with what came
from the stage behind it, x ← a x + b y, with a and b of every place told from both (attention-based fusion); a 3×3
convolution of it is compared with the teacher's map, whole and averaged down to 4×4, 2×2 and 1×1 places with weights 1,
½, ¼, ⅛ (hierarchical context).   Chen, Liu, Zhao, Jia 2021, arXiv:2104.09044, eqs. 7 and 8, figs. 3 and 4.
Layers, weights and the warm-up over 20 of 240 epochs are those of the released code and of mdistiller (Zhao et al.
2022, arXiv:2203.08679). The maps are those behind the stages' activations, without the pooled one in front of the head.
Formula: `context_loss`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, maps

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tsd.models._base import Model

LEVELS = (4, 2, 1)
"""Heights to which maps are averaged down."""


class Method(FeatureDistillation):
    """Every stage with what comes after it."""

    review_weight: Batched[float] = field(1.0, ge=0, doc="Weight of the review term; 0 is plain training.")
    review_warmup: Batched[float] = field(
        1 / 12, gt=0, le=1, doc="Share of the updates over which the weight rises from 0, linearly."
    )
    review_channels: Static[int] = field(
        512, ge=1, doc="Channels in which stages are fused, at most those of the student's last stage."
    )

    needs = Needs(features=True, progress=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="features", where="every stage", data="training set", schedule="joint, warm-up"
    )
    neutral: ClassVar = {"review_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """Every stage, behind its activation."""
        return maps(student, teacher, "after")

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """For every stage what squeezes and what expands, and, but for the last, what weighs the two that are fused."""
        pairs = self.pairs(student, teacher)
        common = min(self.review_channels, student.shapes[pairs[-1][0]][0])
        found: dict[str, Model] = {}
        for number, (own, other) in enumerate(pairs):
            found[f"squeeze{number}"] = _layer(student.shapes[own][0], common, 1)
            found[f"expand{number}"] = _layer(common, teacher.shapes[other][0], 3)
            if number + 1 < len(pairs):
                found[f"attend{number}"] = _layer(2 * common, 2, 1, norm=False)
        return found

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `review`."""
        pairs = self.pairs(*lesson.networks)
        terms, later = [], None
        for number, (own, other) in reversed(list(enumerate(pairs))):
            target = lesson.teacher.features[other]
            later = self._fused(lesson, number, lesson.student.features[own], later)
            terms.append(context_loss(lesson.adapt(f"expand{number}", resized(later, target)), target))
        warm = (torch.as_tensor(lesson.progress) / self.review_warmup).clamp(max=1)
        return {"hard": lesson.hard(), "review": self.review_weight * warm * torch.stack(terms).sum()}

    @staticmethod
    def _fused(lesson: Lesson, number: int, activations: Tensor, later: Tensor | None) -> Tensor:
        """The squeezed map of stage `number` with what came from the later stages."""
        own = lesson.adapt(f"squeeze{number}", activations)
        if later is None:
            return own
        later = resized(later, own)
        weights = lesson.adapt(f"attend{number}", torch.cat([own, later], 1))
        share = torch.nn.functional.logsigmoid(weights).exp()
        return own * share[:, :1] + later * share[:, 1:]


def context_loss(student_map: Tensor, teacher_map: Tensor) -> Tensor:
    """Mean squared differences of two maps at several sizes, weighted.

    Args:
        student_map: what is told from the student, shape (batch, channel, height, width).
        teacher_map: of the same shape.
    Returns:
        Scalar: weighted mean of the mean squared differences of the maps as they are (weight 1) and averaged down to
        4×4, 2×2 and 1×1 places (½, ¼, ⅛), as far as these are smaller.
    """
    down = torch.nn.functional.adaptive_avg_pool2d
    levels = [size for size in LEVELS if size < student_map.shape[2]]
    total = (student_map - teacher_map).square().mean()
    for number, size in enumerate(levels, 1):
        total = total + (down(student_map, size) - down(teacher_map, size)).square().mean() / 2**number
    return total / sum(0.5**number for number in range(len(levels) + 1))


def resized(one: Tensor, other: Tensor) -> Tensor:
    """The map `one` in the height and width of `other`, by its nearest places."""
    if one.shape[2:] == other.shape[2:]:
        return one
    return torch.nn.functional.interpolate(one, other.shape[2:], mode="nearest")


def _layer(channels: int, wanted: int, size: int, *, norm: bool = True) -> Model:
    """A convolution that keeps height and width; without bias and before batch norm, or alone with its bias."""
    from tsd.models._module import from_module

    def build() -> nn.Module:
        conv = torch.nn.Conv2d(channels, wanted, size, padding=size // 2, bias=not norm)
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
        if norm:
            layers["norm"] = torch.nn.BatchNorm2d(wanted, track_running_stats=False)
        return torch.nn.Sequential(layers)

    return from_module(build)
