"""What a distillation method declares: its fields, its loss for one student and one teacher, and what it needs.

A method file holds the formula as a pure function on tensors and a class `Method`. The study `distill` shows the method
one batch at a time, as a `Lesson`; everything else (stacking, stages, who teaches, what is stored) is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from tsd.fields import Fields
from tsd.lazy import torch
from tsd.studies._base import Artefact, Measured

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tsd.methods._teacher import Tutor
    from tsd.models._base import Draw, Model, Stage, View

Terms = Mapping[str, "Tensor"]
"""Named terms of a loss, each a scalar and a mean over the batch; their sum is minimised."""


@dataclass(frozen=True)
class Needs:
    """What must be provided. A student that is a chain of affine layers is stepped with hand-written gradients where no
    input gradients are.

    Args:
        labels: reads the labels.
        teacher: reads the teacher.
        features: reads activations inside the student or the teacher.
        images: sees training images; a data-free method does not.
        input_gradients: differentiates with respect to the input, through student and teacher.
        batch_statistics: the teacher normalises by the statistics of the batch, not by those it was trained with.
        draws: makes the batch with `draw`.
        new_inputs: and makes other inputs in it, for which the teacher has to be run.
        progress: reads how far the training is.
        rows: reads which samples the batch holds.
    """

    labels: bool = True
    teacher: bool = True
    features: bool = False
    images: bool = True
    input_gradients: bool = False
    batch_statistics: bool = False
    draws: bool = False
    new_inputs: bool = False
    progress: bool = False
    rows: bool = False

    @property
    def live_teacher(self) -> bool:
        """Whether the teacher must be run on every batch: what it says cannot be known beforehand."""
        return self.batch_statistics or self.new_inputs


@dataclass(frozen=True)
class Taxonomy:
    """Where a method stands among its kin; axes after Abbasi et al. 2020, arXiv:1912.13179."""

    teacher: str
    passes: str
    where: str
    data: str
    schedule: str


@dataclass(frozen=True)
class Traits:
    """What is known of a network before it is trained.

    Args:
        role: what it is called in messages: "student cnn".
        stages: its blocks from input to output, each with its feature points.
        embedding: the feature point in front of the head.
        shapes: the shape of one sample's activations, by feature point.
        classes: number of outputs.
        inputs: the shape of one input.
    """

    role: str
    stages: tuple[Stage, ...]
    embedding: str
    shapes: Mapping[str, tuple[int, ...]]
    classes: int
    inputs: tuple[int, ...] = ()


def _unknown(name: str, x: Tensor) -> Tensor:
    raise KeyError(name)


def nobody(x: Tensor, *, train: bool = True) -> View:
    """Answers no one."""
    raise TypeError("this method did not declare that it asks the networks again")


@dataclass(frozen=True)
class Lesson:
    """One batch as one student and its teacher see it.

    Args:
        student, teacher: outputs of shape (batch, class) and activations by feature point. What the teacher shows
            carries no gradient, unless the method needs input gradients.
        label: shape (batch,).
        x: the inputs, shape (batch, …).
        rows: which training samples they are, shape (batch,); with `needs.rows`.
        progress: share of the run's updates that is done, a scalar; with `needs.progress`.
        drawn: what `draw` added to the batch.
        adapt: (name of an adapter, activations) → its output, through its trained weights.
        frozen: (name of a product, activations) → its output, through weights that stay.
        ask_student, ask_teacher: other inputs → the view of them; with `needs.input_gradients`. The student normalises
            by the statistics of these inputs, or, with `train=False`, by its running ones.
        memory: what the method carries from update to update; what it writes is there at the next one.
        networks: what is known of student and teacher.
    """

    student: View
    teacher: View
    label: Tensor
    x: Tensor
    rows: Tensor | None = None
    progress: Tensor | float = 0.0
    drawn: Mapping[str, Tensor] = field(default_factory=dict)
    adapt: Callable[[str, Tensor], Tensor] = _unknown
    frozen: Callable[[str, Tensor], Tensor] = _unknown
    ask_student: Callable[..., View] = nobody
    ask_teacher: Callable[[Tensor], View] = nobody
    memory: MutableMapping[str, Tensor] = field(default_factory=dict)
    networks: tuple[Traits, ...] = ()

    def hard(self) -> Tensor:
        """Cross-entropy of the student's answers and the labels."""
        return torch.nn.functional.cross_entropy(self.student.output, self.label)


class Stretch(NamedTuple):
    """A stretch of the training; it trains what its loss depends on.

    Args:
        share: of the updates.
        loss: of a lesson.
        lr: the method's Batched field that holds its step size; where that is 0, or none is named, it is the trial's.
        optimizer: its rule; "same" is the trial's.
        images: "student" for the student's own samples; "all" for the whole training set, of which it must read no
            labels.
    """

    share: float
    loss: Callable[[Any, Lesson], Terms]
    lr: str = ""
    optimizer: str = "same"
    images: str = "student"


OPTIMIZERS = ("same", "sgd", "adam", "adamw")
IMAGES = ("student", "all")


class Distillation(Fields):
    """Base of every method file's `Method`. `neutral` names values at which the method is plain training, `none`."""

    needs: ClassVar[Needs]
    taxonomy: ClassVar[Taxonomy]
    neutral: ClassVar[Mapping[str, float | str]] = {}
    artefacts: ClassVar[tuple[Artefact, ...]] = ()
    """What is trained beforehand besides the teacher. Its arrays are named "<product>.<weight>"."""
    reports: ClassVar[tuple[str, ...]] = ()
    """Metrics and curves of the study that `report` gives."""

    @property
    def batch_statistics(self) -> bool:
        """Whether the teacher normalises by the statistics of the batch; a method may leave it to a field."""
        return self.needs.batch_statistics

    def loss(self, lesson: Lesson) -> Terms:
        """The terms of one batch. A term that several methods of a sum name alike (`hard`) is taken from the first."""
        raise NotImplementedError

    def phases(self) -> Sequence[Stretch]:
        """The stretches of the training, whose shares are 1 together."""
        return (Stretch(1.0, type(self).loss),)

    def tutor(self) -> Tutor | None:
        """Who teaches in place of the teacher that was trained on labels alone; None leaves it to that one."""
        return None

    def reads(self, student: Traits, teacher: Traits) -> Sequence[str]:
        """The feature points of the teacher that the loss reads.

        Raises:
            UserError: the networks have no such points, or points that do not fit.
        """
        return ()

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """Networks that are trained along and are no part of the student."""
        return {}

    def products(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """Networks whose weights the artefacts hold, by name."""
        return {}

    def memory(self, student: Traits, teacher: Traits, samples: int, draw: Draw) -> Mapping[str, Tensor]:
        """What `lesson.memory` holds at the first update. The student is trained on `samples` samples."""
        return {}

    def report(self, lesson: Lesson) -> Measured:
        """The metrics and curves named in `reports`, of a trained student on one batch."""
        return Measured({})

    def draw(
        self,
        batch: Mapping[str, Tensor],
        draws: Callable[[str], np.random.Generator],
        frozen: Callable[[str, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """The batch that is learned in place of the sampled one: another "x", further entries for `lesson.drawn`.

        Args:
            batch: "x", "y" and the rest, sample axis first.
            draws: purpose → generator of this update.
            frozen: as in a lesson.
        """
        return dict(batch)
