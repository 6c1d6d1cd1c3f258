"""What a study file declares. A study computes one trial; the engine stacks many.

A gradient study gives `start`, `measure` and `loss`, or `phases` (trial → the stretches of its training, each with a
loss), and, where it wants, `penalties`, `group_penalties`, `trace` and `conclude` (curves → further metrics); a
simulation gives `simulate(trials, seeds, checkpoint)`, works over the leading trial axis itself, and says now and then
where it stands (`tsd.engine.checkpoint`), to be kept. Both declare `VERSION`, `Trial`, `METRICS` and `EXAMPLE`: values
that make a trial last a fraction of a second, with which the conformance tests run every study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import PrivateAttr

from tsd.families import Family
from tsd.fields import Batched, Fields, Role, Static, field

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tsd.engine.checkpoint import Keep
    from tsd.engine.rng import Streams
    from tsd.models._base import Model, View

SCHEDULES = ("constant", "cosine", "linear", "step")
PRECISIONS = ("full", "bf16")

Alter = Callable[[int, "Mapping[str, Tensor]"], "dict[str, Tensor]"]


class Study(Fields):
    """Base of every study's `Trial`. `parts` names the fields whose value is a file with fields of its own.

    The values of the parts travel with the trial: `Trial.of(values)` keeps them and `part` hands them out.
    """

    parts: ClassVar[dict[str, Family]] = {}
    _given: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Any:
        """A trial from `values` of its own fields and of its parts' fields; what is left out takes its default."""
        trial = super().of(values)
        trial._given = dict(values)
        return trial

    def part(self, name: str) -> Any:
        """The part that field `name` names, with this trial's values: `trial.part("method").temperature`."""
        family = self.parts[name]
        declared = getattr(family.load(getattr(self, name)), family.singular.capitalize())
        return declared.of(self._given)

    def but(self, **values: Any) -> Any:
        """The same trial with other `values` of some fields, its own or its parts'."""
        return type(self).of(self.values() | values)

    def values(self, role: Role | None = None) -> dict[str, Any]:
        """Every value of the trial and of its parts by name; with `role`, only those of fields of that role."""
        return {
            name: getattr(owner, name)
            for owner in (self, *map(self.part, self.parts))
            for name, declared in owner.fields().items()
            if role in (None, declared.role)
        }


class GradientStudy(Study):
    """Fields of every study that trains by stochastic gradients."""

    optimizer: Static[str] = field(
        "adam", choices=("sgd", "adam", "adamw"), doc="Rule that turns gradients into steps."
    )
    lr: Batched[float] = field(5e-3, gt=0, doc="Step size of the optimizer.")
    momentum: Batched[float] = field(0.0, ge=0, lt=1, doc="Momentum of sgd; adam and adamw do not read it.")
    nesterov: Static[bool] = field(False, doc="Whether sgd's momentum looks ahead, after Nesterov.")
    weight_decay: Batched[float] = field(0.0, ge=0, doc="Decoupled in adamw, added to the gradient in sgd and adam.")
    schedule: Static[str] = field("constant", choices=SCHEDULES, doc="Course of lr over the steps.")
    milestones: Static[str] = field(
        "0.5 0.75", doc="Shares of the steps after which the schedule step multiplies lr by milestone_factor."
    )
    milestone_factor: Static[float] = field(0.1, gt=0, doc="What lr is multiplied by at each milestone.")
    batch_size: Static[int] = field(300, ge=1, unit="samples", doc="Samples a step; at most the whole training set.")
    epochs: Static[int] = field(100, ge=1, unit="epochs", doc="Passes over the training set, where steps is 0.")
    steps: Static[int] = field(0, ge=0, unit="steps", doc="Optimizer steps; 0 leaves the length to epochs.")
    curve_points: Static[int] = field(20, ge=0, unit="points", doc="How often a curve is recorded, evenly in steps.")
    way: Static[str] = field(
        "auto",
        choices=("auto", "loop", "vmap", "dense", "fused"),
        doc="How the engine steps; auto follows its fixed rule.",
    )
    dtype: Static[str] = field("float32", choices=("float32", "float64"), doc="Precision of parameters and data.")
    precision: Static[str] = field(
        "full", choices=PRECISIONS, doc="bf16 runs the student's layers in bfloat16; weights and loss keep dtype."
    )


@dataclass(frozen=True)
class Metric:
    """One number (or word) that a study reports of a trial.

    Args:
        type: float, int or str; a curve is always float.
        curve: many values a trial, each at a step, not a column of its row.
        step: what a step of the curve is called: "step" for optimizer steps, "nodes_kept" for a pruning curve.
    """

    name: str
    unit: str
    doc: str
    type: type = float
    curve: bool = False
    step: str = "step"


@dataclass(frozen=True)
class Start:
    """One student before its first step.

    Args:
        model: the architecture; equal for all trials of a pack.
        params: what is trained, by name.
        buffers: what is carried along and not trained (batch-norm statistics), by name.
        train: training data by name, each with the sample axis first. A batch takes the same rows of every entry. The
            entry "x" is the student's input. A tensor that many trials hold as the same object is never copied.
        held: what `measure` and `trace` need: test sets, the teacher.
        whole: what goes with every batch as it is (the weights of a frozen teacher), by names that `train` has not.
        alter: (update from 0, its batch) → the batch that is learned in its place: augmentation, noise, other inputs.
            Gets and gives tensors with the sample axis first; draws by keyed streams, so that it depends on the update
            alone.
        others: further sets of training data by name, each as `train`, for phases that learn from another one.
    """

    model: Model
    params: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    train: Mapping[str, Tensor]
    held: Mapping[str, Any]
    whole: Mapping[str, Tensor] = attribute(default_factory=dict)
    alter: Alter | None = None
    others: Mapping[str, Mapping[str, Tensor]] = attribute(default_factory=dict)


@dataclass(frozen=True)
class MeanSquare:
    """The loss mean (output − label)², of a student with one output: `loss = MeanSquare("y")` in a study. Written so,
    and not as a function, the engine knows which one it is and can make many updates of small students in one go.

    Args:
        target: the entry of a batch that holds the labels, shape (batch,).
    """

    target: str

    def __call__(self, student: View, batch: Mapping[str, Tensor], trial: Any) -> Tensor:
        """Of one student on one batch."""
        return (student.output - batch[self.target]).square().mean()


@dataclass(frozen=True)
class Phase:
    """A stretch of the training with a loss of its own. It starts its optimizer and its schedule afresh, and of several
    phases each trains those parameters alone that its loss depends on.

    Args:
        share: of the run's updates, 0 to 1.
        loss: of one student on one batch, as `loss` of a study.
        lr: the Batched field that holds its step size; where that is 0 for a trial, and where none is named, it is lr.
        optimizer: the rule of this phase; empty takes that of the trial.
        data: which of `Start.others` it learns from; empty takes `Start.train`.
    """

    share: float
    loss: Callable[[View, Mapping[str, Tensor], Any], Tensor]
    lr: str = ""
    optimizer: str = ""
    data: str = ""


@dataclass(frozen=True)
class Fitted:
    """A student after training: the same architecture, its learned parameters and its buffers, without a trial axis."""

    model: Model
    params: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]


@dataclass(frozen=True)
class Curve:
    """A measured trajectory: `values[i]` at `steps[i]`. What a step is (an update, a node kept): the metric's doc."""

    metric: str
    steps: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True)
class Measured:
    """What one trial reports: its metrics by name and its curves."""

    metrics: Mapping[str, float | int | str]
    curves: Sequence[Curve] = ()


@dataclass(frozen=True)
class Outcome:
    """How one trial ended. `state` is done, diverged or failed; a failed one has the error's type and its trace."""

    state: str
    measured: Measured = attribute(default_factory=lambda: Measured({}))
    error_type: str | None = None
    error: str | None = None
    way: str = ""


@dataclass(frozen=True)
class Artefact:
    """Something trained once and shared by every trial that agrees in `fields` and `streams`.

    Args:
        name: what it is ("teacher"), the key under which `shelf` finds it.
        fields: the trial's fields that it depends on.
        streams: the random streams that it draws from.
        make: trains it for (trial, streams, shelf): arrays by name, and facts about it (its accuracy) by name.
        needs: what `make` takes from the shelf.
        before: a trial's values → those by which the trial differs whose artefact of this kind `make` takes from the
            shelf too (one assistant is taught by another); empty where there is none.
        stored: whether the store keeps it. What is quick to make again (drawn data) stays in the memory of a worker,
            shared by the trials of a pack; a study makes no other mention of it than asking the shelf.
    """

    name: str
    fields: tuple[str, ...]
    streams: tuple[str, ...]
    make: Callable[[Any, Streams, Shelf], Kept]
    needs: tuple[Artefact, ...] = ()
    before: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda values: {}
    stored: bool = True


Kept = tuple[dict[str, "np.ndarray"], dict[str, float | int | str]]
"""Arrays and facts of an artefact."""


def artefacts(study: Any, trial: Any) -> list[Artefact]:
    """What is trained beforehand for `trial`, in an order in which it can be; depends on its Static fields alone.

    A study says it with `artefacts(trial)`, or, where all its trials agree, with the tuple `ARTEFACTS`.
    """
    asked = study.artefacts(trial) if hasattr(study, "artefacts") else getattr(study, "ARTEFACTS", ())
    found: dict[str, Artefact] = {}

    def add(artefact: Artefact) -> None:
        for other in artefact.needs:
            add(other)
        found.setdefault(artefact.name, artefact)

    for artefact in asked:
        add(artefact)
    return list(found.values())


class Shelf(Protocol):
    """Where a trial finds its artefacts. One that is missing is made and kept.

    `keep` is where the training of the artefact that is being made is kept now and then; None keeps nothing.
    """

    keep: Keep | None

    def get(self, artefact: Artefact, trial: Any, streams: Streams) -> Kept:
        """Arrays and facts of the artefact that this trial needs."""
        ...
