"""Distillation: what does a small student learn from a teacher that it does not learn from labels?

A teacher is trained once on the whole training set. Its student sees `samples_per_class` samples of it and learns them
by a method of `tsd/methods/`. Equal seeds mean the same teacher, the same samples, the same order and the same first
weights for every method, so methods are compared in pairs.

The defaults are a few-sample protocol on Fashion-MNIST: a CNN teacher of width 16 (105,962 parameters), the same
network in a quarter of its width (6,818) as student, Adam, no augmentation, scores after the last step.
Methods and losses: Hinton, Vinyals, Dean 2015, arXiv:1503.02531, and the files of `tsd/methods/`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tsd import data
from tsd.engine.rng import STREAMS, Streams
from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.methods import METHODS
from tsd.models import MODELS
from tsd.studies._base import Artefact, GradientStudy, Measured, Metric, Start
from tsd.studies._classify import accuracy, agreement, calibration_error, nll, predict

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Model, View
    from tsd.studies._base import Fitted, Shelf

VERSION = 1
FAMILIES = [name for name in MODELS.names() if name != "spectral_mlp"]
"""Models that classify; a spectral MLP has a single output."""
TRACED = 1_000
"""Samples on which a curve is recorded: the first ones of the test and of the training set."""


class Trial(GradientStudy):
    """One student, taught by one teacher."""

    parts: ClassVar = {"method": METHODS}

    dataset: Static[str] = field("fashion_mnist", doc="A data set of tsd/data, or the path of an .npz file.")
    samples_per_class: Static[int] = field(50, ge=0, unit="samples", doc="Training samples of each class; 0 takes all.")
    validation_per_class: Static[int] = field(
        0, ge=0, unit="samples", doc="Samples of each class that neither teacher nor student is trained on."
    )
    gaussian_dim: Static[int] = field(32, ge=1, doc="Length of an input of the data set gaussian.")
    gaussian_classes: Static[int] = field(10, ge=2, unit="classes", doc="Classes of the data set gaussian.")
    gaussian_samples: Static[int] = field(10_000, ge=1, unit="samples", doc="Training set of the data set gaussian.")

    teacher: Static[str] = field("cnn", choices=FAMILIES, doc="Family of the teacher.")
    teacher_width: Static[int] = field(16, ge=0, doc="Units of the teacher's first layer; 0 takes the family's own.")
    teacher_depth: Static[int] = field(0, ge=0, doc="Depth of the teacher as its family counts; 0 takes its own.")
    teacher_epochs: Static[int] = field(2, ge=1, unit="epochs", doc="Passes of the teacher over its training set.")
    teacher_lr: Static[float] = field(2e-3, gt=0, doc="Step size of Adam, with which the teacher is trained.")
    teacher_schedule: Static[str] = field(
        "linear", choices=("constant", "cosine", "linear"), doc="Course of teacher_lr over the teacher's steps."
    )
    teacher_batch_size: Static[int] = field(50, ge=1, unit="samples", doc="Samples a step of the teacher.")

    student: Static[str] = field("cnn", choices=FAMILIES, doc="Family of the student.")
    student_width: Static[int] = field(4, ge=0, doc="Units of the student's first layer; 0 takes the family's own.")
    student_depth: Static[int] = field(0, ge=0, doc="Depth of the student as its family counts; 0 takes its own.")
    activation: Static[str] = field("relu", choices=("relu", "erf", "tanh"), doc="Activation of both.")
    method: Static[str] = field("kd", choices=METHODS.names(), doc="How the student learns: a file of tsd/methods.")

    lr: Batched[float] = field(2e-3, gt=0, doc="Step size of the student's optimizer.")
    batch_size: Static[int] = field(50, ge=1, unit="samples", doc="Samples a step; at most the whole training set.")
    epochs: Static[int] = field(60, ge=1, unit="epochs", doc="Passes over the training samples, where steps is 0.")
    curve_points: Static[int] = field(10, ge=0, unit="points", doc="How often a curve is recorded, evenly in steps.")


CHECKS = {"dataset": data.check}
"""Field → what raises UserError for a value of it that cannot work, before anything runs."""


def prepare(  # noqa: PLR0917 (its parameters are the fields that it asks for, and come by position)
    dataset: str,
    gaussian_dim: int,
    gaussian_classes: int,
    gaussian_samples: int,
    teacher: str,
    teacher_depth: int,
    student: str,
    student_depth: int,
    samples_per_class: int,
    validation_per_class: int,
) -> None:
    """Have the data set at hand, downloaded if need be, and judge what is asked of it before any trial starts.

    Raises:
        UserError: the data set cannot be had, teacher or student cannot read its inputs, or a class of it has too few
            samples.
    """
    shape: tuple[int, ...]
    if dataset == "gaussian":
        shape, classes, smallest = (gaussian_dim,), gaussian_classes, gaussian_samples // gaussian_classes
        found = f"gaussian draws {gaussian_samples} samples of {classes} classes"
    else:
        images = data.load(dataset)
        counts = images.y_train.bincount()
        shape, classes, smallest = images.input_shape, images.classes, int(counts.min())
        found = f"class {int(counts.argmin())} of {dataset} has {smallest} training samples"
    for role, family, depth in (("teacher", teacher, teacher_depth), ("student", student, student_depth)):
        _check_model(role, family, depth, dataset=dataset, shape=shape, classes=classes)
    if validation_per_class + max(samples_per_class, 1) > smallest:
        raise UserError(
            f"samples_per_class {samples_per_class} and validation_per_class {validation_per_class} ask for too many "
            f"samples of each class: {found}. Together they can be at most {smallest}, and validation_per_class must "
            "leave one of each class to train on. Ask for fewer, or use a larger data set."
        )


def _check_model(role: str, family: str, depth: int, *, dataset: str, shape: tuple[int, ...], classes: int) -> None:
    """Build the architecture, in the smallest width: what a family cannot read does not depend on it."""
    try:
        MODELS.load(family).build(1, depth, "relu", shape, classes)
    except UserError as error:
        raise UserError(
            f"The {role} cannot be built: {role}: {family}, {role}_depth: {depth}, dataset: {dataset}. {error}"
        ) from error


METRICS = (
    Metric("test_accuracy", "%", "Test samples that the student classifies rightly."),
    Metric("teacher_accuracy", "%", "Test samples that the teacher classifies rightly."),
    Metric("agreement", "%", "Test samples to which student and teacher give the same class."),
    Metric("nll", "nats", "Negative log-likelihood of the test labels, mean over samples."),
    Metric("ece", "", "Expected calibration error on the test set, 15 equal bins of confidence; a fraction."),
    Metric("train_accuracy", "%", "Training samples of the student that it classifies rightly."),
    Metric("validation_accuracy", "%", "Validation samples that the student classifies rightly; empty without any."),
    Metric("student_params", "parameters", "Trained parameters of the student.", int),
    Metric("teacher_params", "parameters", "Trained parameters of the teacher.", int),
    Metric("traced_test_accuracy", "%", "The student's accuracy on the first 1,000 test samples, by step.", curve=True),
    Metric("traced_train_nll", "nats", "Its loss on the first 1,000 training samples' labels, by step.", curve=True),
)

EXAMPLE = {
    "dataset": "digits",
    "teacher": "mlp",
    "teacher_width": 16,
    "teacher_depth": 1,
    "teacher_epochs": 3,
    "student": "mlp",
    "student_width": 8,
    "student_depth": 1,
    "samples_per_class": 5,
    "batch_size": 20,
    "steps": 6,
    "curve_points": 2,
}


def train_teacher(trial: Trial, streams: Streams, shelf: Shelf) -> tuple[dict[str, np.ndarray], dict[str, float | int | str]]:
    """A teacher, trained on the labels of the whole training set less the validation samples.

    All that it draws comes from the stream `teacher`, so trials with other data, students or noise share it.
    Returns:
        Its weights, and its logits on the whole training and test set under "logits.train" and "logits.test"; its
        accuracy, size and data as facts.
    Raises:
        UserError: training diverged.
    """
    from tsd.engine.fit import fit

    images, _, _ = _images(trial, streams)
    own = Streams(dict.fromkeys(STREAMS, streams.seeds.get("teacher", 0)))
    model = _model(trial.teacher, trial.teacher_width, trial.teacher_depth, trial, images)
    params, buffers = model.init(functools.partial(own.generator, "teacher"))
    start = Start(model, params, buffers, {"x": images.x_train, "y": images.y_train}, {})
    settings = GradientStudy(
        lr=trial.teacher_lr,
        schedule=trial.teacher_schedule,
        batch_size=trial.teacher_batch_size,
        epochs=trial.teacher_epochs,
        curve_points=0,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    [run] = fit([start], [settings], [own], _label_loss, device=device)
    if run.diverged:
        raise UserError(f"The teacher diverged with teacher_lr {trial.teacher_lr:g}; give it a smaller one.")
    arrays = {name: value.cpu().numpy() for name, value in {**run.fitted.params, **run.fitted.buffers}.items()}
    test = predict(run.fitted, images.x_test).cpu()
    arrays |= {"logits.train": predict(run.fitted, images.x_train).cpu().numpy(), "logits.test": test.numpy()}
    size = sum(p.numel() for p in params.values())
    return arrays, {
        "accuracy": accuracy(test, images.y_test),
        "params": size,
        "data": images.fingerprint,
        "device": device,
    }


TEACHER = Artefact(
    name="teacher",
    fields=(
        *("dataset", "gaussian_dim", "gaussian_classes", "gaussian_samples", "validation_per_class", "activation"),
        *("teacher", "teacher_width", "teacher_depth"),
        *("teacher_epochs", "teacher_lr", "teacher_schedule", "teacher_batch_size"),
    ),
    streams=("teacher",),
    make=train_teacher,
)
ARTEFACTS = (TEACHER,)


def start(trial: Trial, streams: Streams, shelf: Shelf) -> Start:
    """The student's first weights, its samples with the teacher's logits, and what it is measured on."""
    arrays, facts = shelf.get(TEACHER, trial, streams)
    images, x_validation, y_validation = _images(trial, streams)
    if facts["data"] != images.fingerprint:
        raise UserError(
            f"The stored teacher was trained on other data than {trial.dataset} now holds. Give the changed data "
            "a new name, or remove the results folder's artefacts to train its teachers again."
        )
    train = {"x": images.x_train, "y": images.y_train, "teacher_logits": torch.tensor(arrays["logits.train"])}
    if trial.samples_per_class:
        rows = data.balanced_subset(images.y_train, trial.samples_per_class, streams.generator("data", "subset"))
        train = {name: tensor[rows] for name, tensor in train.items()}
    model = _model(trial.student, trial.student_width, trial.student_depth, trial, images)
    params, buffers = model.init(functools.partial(streams.generator, "init"))
    held = {
        "train": {"x": train["x"], "y": train["y"]},
        "test": {"x": images.x_test, "y": images.y_test},
        "validation": {"x": x_validation, "y": y_validation},
        "teacher_logits": torch.tensor(arrays["logits.test"]),
        "teacher_params": facts["params"],
    }
    return Start(model, params, buffers, train, held)


def loss(student: View, batch: Mapping[str, Tensor], trial: Trial) -> Tensor:
    """Sum of the method's terms."""
    from tsd.models._base import View

    teacher = View(batch["teacher_logits"], {}, {})
    return functools.reduce(operator.add, trial.part("method").loss(student, teacher, batch["y"]).values())


def reads_features(trial: Trial) -> bool:
    """Whether the trial's method looks inside the student."""
    return trial.part("method").needs.features


def trace(student: Fitted, held: Mapping[str, Any], trial: Trial) -> dict[str, float]:
    """Test accuracy and training loss on a fixed 1,000 samples."""
    (x, y), (x_train, y_train) = ((held[part]["x"][:TRACED], held[part]["y"][:TRACED]) for part in ("test", "train"))
    return {
        "traced_test_accuracy": accuracy(predict(student, x), y),
        "traced_train_nll": nll(predict(student, x_train), y_train),
    }


def measure(student: Fitted, held: Mapping[str, Any], trial: Trial) -> Measured:
    """Every metric after the last step."""
    label, teacher = held["test"]["y"], held["teacher_logits"]
    logits = predict(student, held["test"]["x"])
    metrics: dict[str, float | int | str] = {
        "test_accuracy": accuracy(logits, label),
        "teacher_accuracy": accuracy(teacher, label),
        "agreement": agreement(logits, teacher),
        "nll": nll(logits, label),
        "ece": calibration_error(logits, label),
        "train_accuracy": accuracy(predict(student, held["train"]["x"]), held["train"]["y"]),
        "student_params": sum(p.numel() for p in student.params.values()),
        "teacher_params": held["teacher_params"],
    }
    if len(held["validation"]["y"]):
        metrics["validation_accuracy"] = accuracy(predict(student, held["validation"]["x"]), held["validation"]["y"])
    return Measured(metrics)


def _images(trial: Trial, streams: Streams) -> tuple[data.Images, Tensor, Tensor]:
    """The data set less its validation samples, and those."""
    seed = streams.seeds.get("teacher", 0)
    drawn = data.Drawn(trial.gaussian_dim, trial.gaussian_classes, trial.gaussian_samples, seed)
    return data.hold_out(data.load(trial.dataset, drawn), trial.validation_per_class)


def _model(family: str, width: int, depth: int, trial: Trial, images: data.Images) -> Model:
    return MODELS.load(family).build(width, depth, trial.activation, images.input_shape, images.classes)


def _label_loss(student: View, batch: Mapping[str, Tensor], trial: GradientStudy) -> Tensor:
    return torch.nn.functional.cross_entropy(student.output, batch["y"])
