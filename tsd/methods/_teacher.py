"""Who teaches: networks that are trained once and shared by every trial that names them.

A teacher is kept as its weights, its logits on the whole training and test set, and facts about it. All that it draws
comes from the stream `teacher`, so trials with other data, students or noise share it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsd import data, models
from tsd.engine.rng import STREAMS, Streams
from tsd.errors import UserError
from tsd.lazy import torch
from tsd.methods._base import Traits
from tsd.studies._base import Artefact, Fitted, GradientStudy, Kept, Start
from tsd.studies._classify import accuracy, predict

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tsd.models._base import Classifier, Model, View
    from tsd.studies._base import Shelf

Loss = Callable[["View", Mapping[str, "Tensor"], Any], "Tensor"]


@dataclass(frozen=True)
class Tutor:
    """Who teaches a trial.

    Args:
        artefact: holds it.
        network: trial → its family, width and depth.
    """

    artefact: Artefact
    network: Callable[[Any], tuple[str, int, int]]


@dataclass(frozen=True)
class Taught:
    """A trained network that teaches, its logits on the training and the test set, and facts about it."""

    network: Fitted
    logits: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def images(trial: Any, streams: Streams) -> tuple[data.Images, Tensor, Tensor]:
    """The data set less its validation samples, and those."""
    seed = streams.seeds.get("teacher", 0)
    drawn = data.Drawn(trial.gaussian_dim, trial.gaussian_classes, trial.gaussian_samples, seed)
    return data.hold_out(data.load(trial.dataset, drawn), trial.validation_per_class)


def network(size: tuple[str, int, int], activation: str, shape: tuple[int, ...], classes: int) -> Classifier:
    """The architecture of a (family, width, depth) for inputs of `shape`.

    Raises:
        UserError: it cannot be built for such inputs.
    """
    family, width, depth = size
    built: Classifier = models.load(family).build(width, depth, activation, shape, classes)
    return built


@functools.lru_cache(maxsize=64)
def traits(role: str, size: tuple[str, int, int], activation: str, shape: tuple[int, ...], classes: int) -> Traits:
    """What is known of a network of (family, width, depth) before it is trained.

    Raises:
        UserError: it cannot be built for such inputs.
    """
    model = network(size, activation, shape, classes)
    params, buffers = model.init(lambda name: Streams({}).generator("init", name))
    with torch.no_grad():
        view = model.forward(params, buffers, torch.zeros(1, *shape))
    shapes = {point: tuple(value.shape[1:]) for point, value in view.features.items()}
    return Traits(f"{role} {size[0]}", model.stages, model.embedding, shapes, classes, shape)


def taught(tutor: Tutor, trial: Any, streams: Streams, shelf: Shelf) -> Taught:
    """The network that teaches `trial`.

    Raises:
        UserError: it was trained on other data than the data set now holds.
    """
    arrays, facts = shelf.get(tutor.artefact, trial, streams)
    at_hand, _, _ = images(trial, streams)
    if facts["data"] != at_hand.fingerprint:
        raise UserError(
            f"The stored teacher was trained on other data than {trial.dataset} now holds. Give the changed data "
            "a new name, or remove the results folder's artefacts to train its teachers again."
        )
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    logits = {part: tensors.pop(f"logits.{part}") for part in ("train", "test")}
    model = network(tutor.network(trial), trial.activation, at_hand.input_shape, at_hand.classes)
    return Taught(fitted_from(model, tensors), logits, facts)


def fitted_from(model: Model, tensors: Mapping[str, Tensor]) -> Fitted:
    """A trained network from all its tensors by name."""
    groups = model.init(lambda name: Streams({}).generator("init", name))
    params, buffers = ({name: tensors[name] for name in group} for group in groups)
    return Fitted(model, params, buffers)


def train_network(
    trial: Any,
    streams: Streams,
    build: Callable[[data.Images], Model],
    loss: Loss,
    shelf: Shelf,
    *,
    beside: Mapping[str, Tensor] | None = None,
    keep: Callable[[Any], Model] = lambda model: model,
    who: str = "teacher",
) -> Kept:
    """Train a network on the whole training set less the validation samples, with the teacher's recipe.

    Args:
        build: data set → architecture.
        loss: of one batch with "x", "y" and what is `beside`.
        shelf: which asked for the network.
        beside: further entries of the training set, sample axis first.
        keep: what was trained → the network that is kept, whose weights it has under the same names.
        who: what it is called in messages, and in its draws.
    Raises:
        UserError: training diverged.
    """
    from tsd.engine import arithmetic
    from tsd.engine.fit import fit

    at_hand, x_held, y_held = images(trial, streams)
    own = Streams(dict.fromkeys(STREAMS, streams.seeds.get("teacher", 0)))
    model = build(at_hand)

    def draw(name: str) -> np.random.Generator:
        return own.generator("teacher", name if who == "teacher" else f"{who}.{name}")

    params, buffers = model.init(draw)
    train = {"x": at_hand.x_train, "y": at_hand.y_train, **(beside or {})}
    start = Start(model, params, buffers, train, {}, alter=augmented(trial.teacher_augment, own))
    device = arithmetic.device()
    [run] = fit([start], [recipe(trial)], [own], loss, device=device, keep=shelf.keep)
    if run.diverged:
        raise UserError(f"The {who} diverged with teacher_lr {trial.teacher_lr:g}; give it a smaller one.")
    kept = keep(model)
    names = [set(part) for part in kept.init(draw)]
    fitted = Fitted(
        kept,
        {name: value for name, value in run.fitted.params.items() if name in names[0]},
        {name: value for name, value in run.fitted.buffers.items() if name in names[1]},
    )
    arrays, facts = _kept(fitted, at_hand, device)
    if len(y_held):
        facts["validation_accuracy"] = accuracy(predict(fitted, x_held).cpu(), y_held)
    return arrays, facts


def _kept(fitted: Fitted, at_hand: data.Images, device: str) -> Kept:
    logits = {part: predict(fitted, x).cpu() for part, x in (("train", at_hand.x_train), ("test", at_hand.x_test))}
    tensors = {**fitted.params, **fitted.buffers, **{f"logits.{part}": value for part, value in logits.items()}}
    return {name: value.cpu().numpy() for name, value in tensors.items()}, {
        "accuracy": accuracy(logits["test"], at_hand.y_test),
        "params": sum(param.numel() for param in fitted.params.values()),
        "data": at_hand.fingerprint,
        "device": device,
    }


def recipe(trial: Any) -> GradientStudy:
    """How teachers are trained, as the fields of a study."""
    return GradientStudy(
        optimizer=trial.teacher_optimizer,
        lr=trial.teacher_lr,
        momentum=trial.teacher_momentum,
        nesterov=trial.teacher_nesterov,
        weight_decay=trial.teacher_weight_decay,
        schedule=trial.teacher_schedule,
        milestones=trial.teacher_milestones,
        milestone_factor=trial.teacher_milestone_factor,
        precision=trial.teacher_precision,
        batch_size=trial.teacher_batch_size,
        epochs=trial.teacher_epochs,
        curve_points=0,
    )


def augmented(kind: str, streams: Streams) -> Callable[[int, Mapping[str, Tensor]], dict[str, Tensor]] | None:
    """What alters the batches where inputs are augmented; None where they are not."""
    if kind == "none":
        return None

    def alter(step: int, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**batch, "x": data.augment(batch["x"], kind, streams.generator("data", "augment", step=step))}

    return alter


def label_loss(student: View, batch: Mapping[str, Tensor], trial: Any) -> Tensor:
    """Cross-entropy of the labels."""
    return torch.nn.functional.cross_entropy(student.output, batch["y"])


def network_of(trial: Any) -> tuple[str, int, int]:
    """Family, width and depth of the trial's teacher."""
    return trial.teacher, trial.teacher_width, trial.teacher_depth


def _train_teacher(trial: Any, streams: Streams, shelf: Shelf) -> Kept:
    """A network trained on the labels alone."""

    def build(at_hand: data.Images) -> Model:
        return network(network_of(trial), trial.activation, at_hand.input_shape, at_hand.classes)

    return train_network(trial, streams, build, label_loss, shelf)


DATA_FIELDS = ("dataset", "gaussian_dim", "gaussian_classes", "gaussian_samples", "validation_per_class")
RECIPE_FIELDS = (
    *("teacher_epochs", "teacher_lr", "teacher_schedule", "teacher_batch_size"),
    *("teacher_optimizer", "teacher_momentum", "teacher_nesterov", "teacher_weight_decay", "teacher_augment"),
    *("teacher_milestones", "teacher_milestone_factor", "teacher_precision"),
)
TEACHER_FIELDS = (*DATA_FIELDS, "activation", "teacher", "teacher_width", "teacher_depth", *RECIPE_FIELDS)
"""What a teacher depends on; an artefact that is made from it depends on these too."""

TEACHER = Artefact(name="teacher", fields=TEACHER_FIELDS, streams=("teacher",), make=_train_teacher)
PLAIN = Tutor(TEACHER, network_of)
"""The teacher that was trained on labels alone."""
