"""Compression with a GAN: the student imitates its teacher's logits on real and on generated inputs.

L = mean_B ½ |z_t − z_s|²;  a batch is real as a whole, or with probability p_fake generated as a whole, freshly every
time.   Liu, Fusi, Mackey 2018, arXiv:1812.02271. The GAN is class-conditional, was trained once on the teacher's data,
and gives every class alike; the student reads no label. The released code leaves the teacher's dropout on while it
teaches; here a teacher is in evaluation mode. How much a set of inputs is worth for compression: `compression_score`.
Formula: `regression_loss`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Batched, Static, field
from tsd.methods._base import Distillation, Lesson, Needs, Taxonomy, Terms, Traits
from tsd.methods._gan_networks import codes, generator
from tsd.methods._gan_training import GAN

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tsd.models._base import Model


class Method(Distillation):
    """A teacher's logits on real and on generated inputs."""

    p_fake: Batched[float] = field(0.8, ge=0, le=1, doc="Probability that a batch is generated.")
    gan_latent: Static[int] = field(64, ge=1, doc="Numbers of noise from which an input is generated.")
    gan_width: Static[int] = field(16, ge=1, doc="Channels of the GAN's widest maps are twice as many.")
    gan_epochs: Static[int] = field(10, ge=1, unit="epochs", doc="Passes of the GAN over the training set.")
    gan_lr: Static[float] = field(1e-3, gt=0, doc="Step size of Adam, with which the GAN is trained.")
    gan_batch_size: Static[int] = field(64, ge=1, unit="samples", doc="Samples a step of the GAN.")

    needs = Needs(labels=False, draws=True, new_inputs=True)
    taxonomy = Taxonomy(
        teacher="pretrained", passes="logits", where="output", data="training set and GAN", schedule="two stages"
    )
    artefacts: ClassVar = (GAN,)

    def reads(self, student: Traits, teacher: Traits) -> Sequence[str]:
        """No features.

        Raises:
            UserError: there is no generator for inputs of this shape.
        """
        self.products(student, teacher)
        return ()

    def products(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """The generator.

        Raises:
            UserError: there is none for inputs of this shape.
        """
        return {"generator": generator(student.inputs, student.classes, self.gan_latent, self.gan_width)}

    def draw(
        self,
        batch: Mapping[str, Tensor],
        draws: Callable[[str], np.random.Generator],
        frozen: Callable[[str, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """The batch, or a generated one in its place."""
        if draws("fake").random() >= self.p_fake:
            return dict(batch)
        x = batch["x"]
        made = frozen("generator", codes(len(x), self.gan_latent, draws("codes")))
        return {**batch, "x": made.to(x)}

    def loss(self, lesson: Lesson) -> Terms:
        """The term `regression`."""
        return {"regression": regression_loss(lesson.student.output, lesson.teacher.output)}


def regression_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """½ |z_t − z_s|², summed over the classes, mean over the batch.

    Args:
        student_logits, teacher_logits: shape (batch, class), same class order.
    """
    return (teacher_logits - student_logits).square().sum(-1).mean() / 2


def compression_score(candidate_accuracies: Sequence[float], real_accuracies: Sequence[float]) -> tuple[float, float]:
    """How much a set of inputs is worth for compression: the accuracy of students that were taught on it over that of
    the same students taught on real inputs, both on real test data. Liu, Fusi, Mackey 2018, arXiv:1812.02271.

    Args:
        candidate_accuracies, real_accuracies: one a run, in equal units; a single one is taken to be exact.
    Returns:
        The ratio of the means, and its standard error by the errors of both means.
    Raises:
        ValueError: there are none, or no real student is right anywhere.
    """
    (candidate, error), (real, real_error) = (_mean(each) for each in (candidate_accuracies, real_accuracies))
    if real == 0:
        raise ValueError("the students of real inputs must be right somewhere")
    return candidate / real, sqrt(error**2 + (candidate / real * real_error) ** 2) / real


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error."""
    if not values:
        raise ValueError("at least one accuracy of each kind is needed")
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)
    return mean, sqrt(spread / len(values))
