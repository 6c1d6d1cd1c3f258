"""Contrastive distillation: of all samples, the student's embedding is to tell which one the teacher saw.

h(a, b) = exp(⟨a, b⟩/τ) / Z for embeddings on the unit sphere;  a pair of one sample against K pairs of different ones:
L = CE + w Σ over both sides of −[log h₊/(h₊ + K/N) + Σ_k log (K/N)/(h_k + K/N)], mean over the batch.
Tian, Krishnan, Isola 2020, arXiv:1910.10699, §3 and their code: the student's embeddings are compared with
the teacher's in a memory bank and the other way round; banks follow with momentum; Z is N times the mean of the first
batch. A bank holds the samples that the student is trained on, so that few of them do; the released code needs a whole
data set. Negatives are drawn uniformly from all other samples. Formula: `contrast_loss`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log
from typing import TYPE_CHECKING, ClassVar

from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.methods._base import Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._features import FeatureDistillation, Pairs, regressor

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tsd.models._base import Draw, Model

SIDES = ("student", "teacher")
MANY = 2**31
"""Negatives are drawn below this number and folded onto the samples, whose number `draw` does not know."""


class Method(FeatureDistillation):
    """Embeddings of one sample against those of others."""

    crd_weight: Batched[float] = field(0.8, ge=0, doc="Weight of the contrastive term; 0 is plain training.")
    crd_temperature: Batched[float] = field(0.07, gt=0, doc="Sharpness of the comparison of two embeddings.")
    crd_momentum: Batched[float] = field(0.5, ge=0, lt=1, doc="Share of an old embedding that its bank keeps.")
    crd_negatives: Static[int] = field(16_384, ge=1, doc="Other samples that each sample is compared with.")
    crd_width: Static[int] = field(128, ge=1, doc="Length of the embeddings that are compared.")

    needs = Needs(features=True, rows=True, draws=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="relations of samples", where="embedding", data="training set", schedule="joint"
    )
    neutral: ClassVar = {"crd_weight": 0.0}

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """The embeddings in front of the heads."""
        return [(student.embedding, teacher.embedding)]

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """An affine layer to the common embedding, for each side."""
        pair = self.pairs(student, teacher)[0]
        found = {}
        for side, point, network in zip(SIDES, pair, (student, teacher), strict=True):
            shape = network.shapes[point]
            if len(shape) != 1:
                raise UserError(
                    f"The method crd compares vectors; `{point}` of the {network.role} has shape {shape}. Name a point "
                    "of vectors, such as the embedding, with student_point and teacher_point."
                )
            found[side] = regressor(pair, shape, (self.crd_width,), relu=False, norm=False)
        return found

    def memory(self, student: Traits, teacher: Traits, samples: int, draw: Draw) -> Mapping[str, Tensor]:
        """A bank of random directions for each side and its log Z, −∞ until the first batch."""
        banks = {
            f"{side}s": unit(torch.from_numpy(draw(f"crd.{side}").standard_normal((samples, self.crd_width))).float())
            for side in SIDES
        }
        return banks | {f"{side}_scale": torch.tensor(-torch.inf) for side in SIDES}

    def draw(
        self,
        batch: Mapping[str, Tensor],
        draws: Callable[[str], np.random.Generator],
        frozen: Callable[[str, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """The batch, and which other samples each of its samples is compared with."""
        drawn = draws("negatives").integers(MANY, size=(len(batch["row"]), self.crd_negatives))
        return {**batch, "negatives": torch.from_numpy(drawn).to(batch["row"])}

    def loss(self, lesson: Lesson) -> Terms:
        """The terms `hard` and `contrast`. Both banks take the batch's embeddings up."""
        [(own, other)] = self.pairs(*lesson.networks)
        shown = lesson.student.features[own], lesson.teacher.features[other]
        found = {side: unit(lesson.adapt(side, value)) for side, value in zip(SIDES, shown, strict=True)}
        rows, negatives = lesson.rows, lesson.drawn["negatives"]
        assert rows is not None
        chosen = against(rows, negatives, len(lesson.memory["students"]))
        total = self._contrast(lesson, found["student"], "teacher", chosen)
        total = total + self._contrast(lesson, found["teacher"], "student", chosen)
        for side, embedding in found.items():
            bank = lesson.memory[f"{side}s"]
            moved = unit(self.crd_momentum * bank[rows] + (1 - self.crd_momentum) * embedding)
            lesson.memory[f"{side}s"] = bank.index_copy(0, rows, moved.detach())
        return {"hard": lesson.hard(), "contrast": self.crd_weight * total}

    def _contrast(self, lesson: Lesson, embedding: Tensor, side: str, chosen: Tensor) -> Tensor:
        """Embeddings against the bank of the other network, which is called `side`."""
        bank, scale = lesson.memory[f"{side}s"], lesson.memory[f"{side}_scale"]
        scores = (embedding @ bank.mT / self.crd_temperature).gather(-1, chosen)
        first = scores.detach().flatten().logsumexp(0) + log(len(bank) / scores.numel())
        scale = torch.where(scale.isfinite(), scale, first)
        lesson.memory[f"{side}_scale"] = scale
        return contrast_loss(scores[:, 0] - scale, scores[:, 1:] - scale, len(bank))


def contrast_loss(positive: Tensor, negative: Tensor, samples: int) -> Tensor:
    """−[log h₊/(h₊ + c) + Σ_k log c/(h_k + c)], c = K/N: telling one pair of equal samples from K pairs of others.

    Args:
        positive: log h of the pair of equal samples, shape (batch,).
        negative: log h of the pairs of others, shape (batch, K).
        samples: N, how many samples there are.
    Returns:
        Scalar in nats: summed over the pairs, mean over the batch.
    """
    odds = log(negative.shape[-1] / samples)
    logsigmoid = torch.nn.functional.logsigmoid
    return -(logsigmoid(positive - odds) + logsigmoid(odds - negative).sum(-1)).mean()


def against(rows: Tensor, drawn: Tensor, samples: int) -> Tensor:
    """Which samples of the bank each sample is compared with: itself, then the others that were drawn for it.

    Args:
        rows: numbers of the batch's samples, shape (batch,).
        drawn: any numbers ≥ 0, shape (batch, K).
        samples: in the bank, at least two.
    Returns:
        Shape (batch, 1 + K).
    """
    own = rows.unsqueeze(-1)
    return torch.cat([own, (own + 1 + drawn % (samples - 1)) % samples], -1)


def unit(vectors: Tensor) -> Tensor:
    """`vectors` divided by their lengths."""
    return torch.nn.functional.normalize(vectors, dim=-1)
