"""A comprehensive overhaul of feature distillation: distances in front of the ReLU that forgive what the ReLU hides.

The teacher's pre-activations pass a margin ReLU, t′ = max(t, m) with m the mean of the channel's negative values, and
the student's are free wherever both are hidden: d = 0 where s ≤ t′ ≤ 0, else (s − t′)².
L = CE + c Σ_l 2^(l − L) Σ d / batch over the stages l = 1 … L, with c = 1/1000.
Heo, Kim, Yun, Park, Kwak, Choi 2019, arXiv:1904.01866, eqs. 2 to 5; the weights are those of the released code.

The released code computes m from batch norm's weights, for Gaussian values. Here m is their mean over the teacher's
training images, as the paper defines it: it needs no batch norm. The teacher stays frozen in evaluation mode.
Formula: `partial_loss`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tsd.fields import Batched, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, connected, connectors, stages
from tsd.methods._teacher import PLAIN, TEACHER, TEACHER_FIELDS, images, taught
from tsd.models._base import View
from tsd.studies._base import Artefact, Kept

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.engine.rng import Streams
    from tsd.models._base import Draw, Model, Params
    from tsd.studies._base import Shelf

CHUNK = 1_000


def _measure_margins(trial: Any, streams: Streams, shelf: Shelf) -> Kept:
    """The margins of the teacher's channels where the trial's method reads them, over its training images."""
    teacher, point = taught(PLAIN, trial, streams, shelf).network, trial.values()["teacher_point"]
    network: Any = teacher.model
    points = [point] if point else [stage.before for stage in network.stages]
    sums: dict[str, Tensor] = {}
    with torch.no_grad():
        for x in images(trial, streams)[0].x_train.split(CHUNK):
            shown = network.forward(teacher.params, teacher.buffers, x).features
            for name in points:
                sums[name] = sums.get(name, 0) + negatives(shown[name])
    return {f"margin.{name}.value": margin(total).float().numpy() for name, total in sums.items()}, {}


MARGINS = Artefact(
    name="margins",
    fields=(*TEACHER_FIELDS, "teacher_point"),
    streams=("teacher",),
    make=_measure_margins,
    needs=(TEACHER,),
)


class Method(FeatureDistillation):
    """Pre-activations as far as the ReLU shows them, at every stage."""

    ofd_weight: Batched[float] = field(1e-3, ge=0, doc="Weight c of the distance; 0 is plain training.")
    ofd_decay: Batched[float] = field(0.5, ge=0, le=1, doc="Weight of a stage as a share of the next one's.")

    needs = Needs(features=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="features", where="every stage", data="training set", schedule="joint"
    )
    neutral: ClassVar = {"ofd_weight": 0.0}
    artefacts: ClassVar = (MARGINS,)

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """Every stage, in front of its activation."""
        return stages(student, teacher, "before")

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """A connector for every stage whose shapes differ."""
        return connectors(self.pairs(student, teacher), student, teacher)

    def products(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """The margin ReLU of every point of the teacher that is read."""
        return {f"margin.{other}": _MarginReLU() for _, other in self.pairs(student, teacher)}

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `distance`."""
        pairs = self.pairs(*lesson.networks)
        total = torch.zeros(())
        for (_, point), (own, other) in zip(pairs, connected(pairs, lesson), strict=True):
            total = self.ofd_decay * total + partial_loss(own, lesson.frozen(f"margin.{point}", other))
        return {"hard": lesson.hard(), "distance": self.ofd_weight * total}


def partial_loss(student_pre: Tensor, teacher_target: Tensor) -> Tensor:
    """Squared distance that is 0 wherever the student is below a target that is not positive.

    Args:
        student_pre: what the connector makes of the student's pre-activations, shape (batch, …).
        teacher_target: the teacher's behind its margin ReLU, of the same shape.
    Returns:
        Scalar: summed over the elements of a sample, mean over the batch.
    """
    counts = (student_pre > teacher_target) | (teacher_target > 0)
    apart = torch.where(counts, student_pre - teacher_target, 0.0)
    return apart.square().flatten(1).sum(1).mean()


def negatives(pre: Tensor) -> Tensor:
    """Sum and number of the negative values of every channel of `pre`, (batch, channel, …): (2, channel, 1, …)."""
    rest = [dim for dim in range(pre.ndim) if dim != 1]
    values = pre.double()
    both = [values.clamp(max=0), (values < 0).double()]
    return torch.stack([each.sum(rest, keepdim=True)[0] for each in both])


def margin(total: Tensor) -> Tensor:
    """Mean of the negative values from `negatives`; 0 where there are none."""
    return total[0] / total[1].clamp(min=1)


@dataclass(frozen=True)
class _MarginReLU:
    """max(x, margin of the channel)."""

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Nothing to draw: the margins are measured."""
        return {}, {}

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """Element by element, with the weight `value` of shape (channel, 1, …)."""
        return View(torch.maximum(x, params["value"]), {}, buffers)
