"""Data-free distillation by noise: the student imitates its teacher on Gaussian inputs; no image, no label.

L = −mean_B Σ_c p_t log p_s,  p = softmax(z), x ~ N(0, 1).   Raikwar and Mishra, NeurIPS 2022 ("Discovering and
overcoming limitations of noise-engineered data-free knowledge distillation"), code at Piyush-555/GaussianDistillation.
Noise shifts the activations inside a teacher away from what its batch norm expects; statistics of the noise batch
itself (`noise_statistics: batch`) undo the shift. They want batches of 128 or more, and a teacher with batch norm.
The teacher's own statistics stay as they were, where the released code overwrites them. The student's statistics are
those of noise, so it is measured with each test batch's own and with statistics gathered anew on images, too.
Formula: `soft_cross_entropy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Static, field
from tsd.lazy import torch
from tsd.methods._base import Distillation, Lesson, Needs, Taxonomy, Terms
from tsd.studies._base import Curve, Measured

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Method(Distillation):
    """A teacher's answers to Gaussian noise."""

    noise_statistics: Static[str] = field(
        "batch",
        choices=("batch", "running"),
        doc="What the teacher's batch norm uses: statistics of the noise, or those of its own training.",
    )

    needs = Needs(labels=False, images=False, batch_statistics=True, draws=True, new_inputs=True)
    taxonomy = Taxonomy(teacher="pretrained", passes="logits", where="output", data="noise", schedule="offline")

    reports: ClassVar = ("noise_entropy", "noise_class_entropy", "noise_classes")

    @property
    def batch_statistics(self) -> bool:
        """As `noise_statistics` says."""
        return self.noise_statistics == "batch"

    def draw(
        self,
        batch: Mapping[str, Tensor],
        draws: Callable[[str], np.random.Generator],
        frozen: Callable[[str, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """Noise in place of the images."""
        x = batch["x"]
        noise = draws("inputs").standard_normal(tuple(x.shape), dtype="float32")
        return {**batch, "x": torch.from_numpy(noise).to(x)}

    def loss(self, lesson: Lesson) -> Terms:
        """The term `soft`."""
        return {"soft": soft_cross_entropy(lesson.student.output, lesson.teacher.output)}

    def report(self, lesson: Lesson) -> Measured:
        """How sure the teacher is of noise, and how evenly its answers fall on the classes."""
        logits = lesson.teacher.output
        shares = class_shares(logits)
        told = {
            "noise_entropy": entropy(torch.softmax(logits, 1)).mean().item(),
            "noise_class_entropy": entropy(shares).item(),
        }
        return Measured(told, [Curve("noise_classes", range(len(shares)), (100 * shares).tolist())])


def class_shares(logits: Tensor) -> Tensor:
    """Share of the samples whose largest logit is that of each class, shape (class,); of logits (batch, class)."""
    return logits.argmax(1).bincount(minlength=logits.shape[1]).double() / len(logits)


def entropy(probability: Tensor) -> Tensor:
    """−Σ p log p over the last axis, in nats; classes of probability 0 add nothing."""
    return torch.special.entr(probability).sum(-1)


def soft_cross_entropy(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Cross-entropy of the student's and the teacher's probabilities: KL(teacher ‖ student) plus the teacher's entropy.

    Args:
        student_logits, teacher_logits: shape (batch, class), same class order.
    Returns:
        Scalar in nats: summed over classes, mean over the batch.
    """
    teacher = torch.softmax(teacher_logits, -1)
    return -(teacher * torch.log_softmax(student_logits, -1)).sum(-1).mean()
