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
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tsd import data, models
from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.methods import METHODS
from tsd.methods._teacher import network, recipe
from tsd.studies._base import PRECISIONS, SCHEDULES, Artefact, GradientStudy, Measured, Metric, Phase
from tsd.studies._classify import accuracy, agreement, calibration_error, divergence, nll, predict, recalibrated
from tsd.studies._distill_lesson import teach
from tsd.studies._distill_networks import inputs, pair, tutor
from tsd.studies._distill_pruning import RULES, check_prunable, pruned
from tsd.studies._distill_pupil import bare
from tsd.studies._distill_report import report
from tsd.studies._distill_start import start

__all__ = ["start"]

if TYPE_CHECKING:
    from tsd.studies._base import Curve, Fitted

VERSION = 3
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

    teacher: Static[str] = field("cnn", doc="Family of the teacher, a file of tsd/models or torchvision/NAME.")
    teacher_width: Static[int] = field(16, ge=0, doc="Units of the teacher's first layer; 0 takes the family's own.")
    teacher_depth: Static[int] = field(0, ge=0, doc="Depth of the teacher as its family counts; 0 takes its own.")
    teacher_epochs: Static[int] = field(2, ge=1, unit="epochs", doc="Passes of the teacher over its training set.")
    teacher_lr: Static[float] = field(2e-3, gt=0, doc="Step size of the teacher's optimizer.")
    teacher_schedule: Static[str] = field(
        "linear", choices=SCHEDULES, doc="Course of teacher_lr over the teacher's steps."
    )
    teacher_milestones: Static[str] = field("0.5 0.75", doc="As milestones, of the teacher's schedule step.")
    teacher_milestone_factor: Static[float] = field(0.1, gt=0, doc="As milestone_factor, of the teacher's schedule.")
    teacher_batch_size: Static[int] = field(50, ge=1, unit="samples", doc="Samples a step of the teacher.")
    teacher_optimizer: Static[str] = field(
        "adam", choices=("sgd", "adam", "adamw"), doc="Rule that turns the teacher's gradients into steps."
    )
    teacher_momentum: Static[float] = field(0.0, ge=0, lt=1, doc="Momentum of sgd, with which the teacher is trained.")
    teacher_nesterov: Static[bool] = field(False, doc="Whether that momentum looks ahead, after Nesterov.")
    teacher_weight_decay: Static[float] = field(0.0, ge=0, doc="Decay of the teacher's weights.")
    teacher_precision: Static[str] = field("full", choices=PRECISIONS, doc="As precision, of the teacher's training.")
    teacher_augment: Static[str] = field(
        "none", choices=data.AUGMENTATIONS, doc="What is done to the teacher's images at random in training."
    )

    student: Static[str] = field("cnn", doc="Family of the student, a file of tsd/models or torchvision/NAME.")
    student_width: Static[int] = field(4, ge=0, doc="Units of the student's first layer; 0 takes the family's own.")
    student_depth: Static[int] = field(0, ge=0, doc="Depth of the student as its family counts; 0 takes its own.")
    activation: Static[str] = field("relu", choices=("relu", "erf", "tanh"), doc="Activation of both.")
    eigenvalue_l2: Batched[float] = field(
        5e-4, ge=0, doc="Penalty on Σ λ² of a student of the family spectral; others have no λ and ignore it."
    )
    eigenvector_l2: Batched[float] = field(
        0.01, ge=0, doc="Penalty on Σ φ² of a student of the family spectral; others ignore it."
    )
    prune_by: Static[str] = field(
        "none",
        choices=("none", *RULES),
        doc="What says which hidden nodes of a trained student of the families spectral and mlp stay.",
    )
    prune_threshold: Batched[float] = field(
        0.05, ge=0, lt=1, doc="A node is alive if its score exceeds this share of the largest of its layer."
    )
    prune_percentile: Batched[float] = field(80.0, ge=0, lt=100, unit="%", doc="Share of the weakest nodes that go.")
    prune_keep: Batched[int] = field(20, ge=1, unit="nodes", doc="How many of the strongest nodes of a layer stay.")
    method: Static[str] = field("kd", choices=METHODS.names(), doc="How the student learns: a file of tsd/methods.")

    augment: Static[str] = field(
        "none",
        choices=data.AUGMENTATIONS,
        doc="What is done to the images at random; student and teacher see the same.",
    )
    lr: Batched[float] = field(2e-3, gt=0, doc="Step size of the student's optimizer.")
    batch_size: Static[int] = field(50, ge=1, unit="samples", doc="Samples a step; at most the whole training set.")
    epochs: Static[int] = field(60, ge=1, unit="epochs", doc="Passes over the training samples, where steps is 0.")
    curve_points: Static[int] = field(10, ge=0, unit="points", doc="How often a curve is recorded, evenly in steps.")


CHECKS = {"dataset": data.check, "teacher": models.check, "student": models.check}
"""Field → what raises UserError for a value of it that cannot work, before anything runs."""


def prepare(trial: Trial) -> None:
    """Have the data set at hand, downloaded if need be, and judge what is asked of it before any trial starts.

    Raises:
        UserError: the data set cannot be had, teacher or student cannot read its inputs, a class of it has too few
            samples, or the method finds no fitting feature points in teacher and student.
    """
    from tsd.engine.optim import course

    if trial.dataset == "gaussian":
        smallest = trial.gaussian_samples // trial.gaussian_classes
        found = f"gaussian draws {trial.gaussian_samples} samples of {trial.gaussian_classes} classes"
    else:
        counts = data.load(trial.dataset).y_train.bincount()
        smallest = int(counts.min())
        found = f"class {int(counts.argmin())} of {trial.dataset} has {smallest} training samples"
    for kind in (trial.augment, trial.teacher_augment):
        data.check_augmentation(kind, inputs(trial)[0])
    method, networks = trial.part("method"), pair(trial)
    method.reads(*networks)
    method.adapters(*networks)
    method.phases()
    check_prunable(trial)
    for settings in (trial, recipe(trial)):
        course(settings)
    if trial.validation_per_class + max(trial.samples_per_class, 1) > smallest:
        raise UserError(
            f"samples_per_class {trial.samples_per_class} and validation_per_class {trial.validation_per_class} ask "
            f"for too many samples of each class: {found}. Together they can be at most {smallest}, and "
            "validation_per_class must leave one of each class to train on. Ask for fewer, or use a larger data set."
        )


METRICS = (
    Metric("test_accuracy", "%", "Test samples that the student classifies rightly."),
    Metric("teacher_accuracy", "%", "Test samples that the teacher classifies rightly."),
    Metric("agreement", "%", "Test samples to which student and teacher give the same class."),
    Metric("divergence", "nats", "KL(teacher ‖ student) between their test answers at T = 1, mean over samples."),
    Metric("nll", "nats", "Negative log-likelihood of the test labels, mean over samples."),
    Metric("ece", "", "Expected calibration error on the test set, 15 equal bins of confidence; a fraction."),
    Metric("train_accuracy", "%", "Training samples of the student that it classifies rightly."),
    Metric("validation_accuracy", "%", "Validation samples that the student classifies rightly; empty without any."),
    Metric("best_validation_accuracy", "%", "The largest validation accuracy along the curve; empty without any."),
    Metric(
        "test_accuracy_at_best_validation",
        "%",
        "Accuracy on the first 1,000 test samples at that moment; empty without.",
    ),
    Metric("subset", "", "The trial's training samples: equal where these are; a digest of their numbers.", str),
    Metric("alive_nodes", "nodes", "Hidden nodes above prune_threshold; where prune_by says what stays.", int),
    Metric("test_accuracy_pruned", "%", "Test accuracy after pruning by prune_by."),
    Metric(
        "accuracy_keep",
        "%",
        "Test accuracy with the strongest nodes of every hidden layer only; the step is how many of each stay.",
        curve=True,
        step="nodes_kept",
    ),
    Metric("test_accuracy_batch", "%", "Test accuracy with batch norm on each batch's statistics; data-free methods."),
    Metric(
        "test_accuracy_recalibrated", "%", "Test accuracy with batch norm recalibrated on images; data-free methods."
    ),
    Metric("sign_agreement", "%", "Hidden units that are on or off in both networks, mean over the stages; of ab."),
    Metric("noise_entropy", "nats", "Entropy of the teacher's answers to noise, mean over 500 inputs; of noise."),
    Metric("noise_class_entropy", "nats", "Entropy of how these answers fall on the classes; log C where evenly."),
    Metric(
        "noise_classes", "%", "Share of these answers by class, which is the step; of noise.", curve=True, step="class"
    ),
    Metric("student_params", "parameters", "Trained parameters of the student.", int),
    Metric("teacher_params", "parameters", "Trained parameters of the teacher.", int),
    Metric("traced_test_accuracy", "%", "The student's accuracy on the first 1,000 test samples, by step.", curve=True),
    Metric("traced_validation_accuracy", "%", "The student's accuracy on the validation samples, by step.", curve=True),
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


def artefacts(trial: Trial) -> tuple[Artefact, ...]:
    """Who teaches the trial, and what its method takes besides."""
    return (tutor(trial).artefact, *trial.part("method").artefacts)


def phases(trial: Trial) -> list[Phase]:
    """The stretches of the method, each with its loss."""
    method = trial.part("method")
    teacher = network(tutor(trial).network(trial), trial.activation, *inputs(trial))
    networks = pair(trial)
    given = (teacher, method.products(*networks), networks)
    return [
        Phase(
            stretch.share,
            functools.partial(teach, stretch.loss, *given),
            lr=stretch.lr,
            optimizer="" if stretch.optimizer == "same" else stretch.optimizer,
            data="" if stretch.images == "student" else stretch.images,
        )
        for stretch in method.phases()
    ]


def penalties(trial: Trial) -> dict[str, float]:
    """Coefficients of Σ λ² and Σ φ² of a spectral student."""
    from tsd.models.spectral import DEPTH

    if trial.student != "spectral":
        return {}
    kinds = {"eigenvalues": trial.eigenvalue_l2, "eigenvectors": trial.eigenvector_l2}
    layers = range(1, (trial.student_depth or DEPTH) + 1)
    return {f"layer{n}.{kind}": value for n in layers for kind, value in kinds.items()}


def trace(student: Fitted, held: Mapping[str, Any], trial: Trial) -> dict[str, float]:
    """Test accuracy and training loss on a fixed 1,000 samples; accuracy on the validation samples."""
    student = bare(student)
    (x, y), (x_train, y_train) = ((held[part]["x"][:TRACED], held[part]["y"][:TRACED]) for part in ("test", "train"))
    seen = {
        "traced_test_accuracy": accuracy(predict(student, x), y),
        "traced_train_nll": nll(predict(student, x_train), y_train),
    }
    if len(held["validation"]["y"]):
        seen["traced_validation_accuracy"] = accuracy(
            predict(student, held["validation"]["x"]), held["validation"]["y"]
        )
    return seen


def measure(student: Fitted, held: Mapping[str, Any], trial: Trial) -> Measured:
    """Every metric after the last step, of the student alone, and what its method tells of both."""
    told = report(student, held, trial)
    student = bare(student)
    label, teacher = held["test"]["y"], held["teacher_logits"]
    logits = predict(student, held["test"]["x"])
    metrics: dict[str, float | int | str] = {
        "test_accuracy": accuracy(logits, label),
        "teacher_accuracy": accuracy(teacher, label),
        "agreement": agreement(logits, teacher),
        "divergence": divergence(logits, teacher),
        "nll": nll(logits, label),
        "ece": calibration_error(logits, label),
        "train_accuracy": accuracy(predict(student, held["train"]["x"]), held["train"]["y"]),
        "student_params": sum(p.numel() for p in student.params.values()),
        "teacher_params": held["teacher_params"],
        "subset": data.digest(held["train"]["number"]),
    }
    if len(held["validation"]["y"]):
        metrics["validation_accuracy"] = accuracy(predict(student, held["validation"]["x"]), held["validation"]["y"])
    if not trial.part("method").needs.images and student.buffers:
        x, images = held["test"]["x"], held["train"]["x"]
        metrics["test_accuracy_batch"] = accuracy(predict(student, x, batch_statistics=True), label)
        metrics["test_accuracy_recalibrated"] = accuracy(predict(recalibrated(student, images), x), label)
    metrics |= told.metrics
    if trial.prune_by == "none":
        return Measured(metrics, told.curves)
    found, curve = pruned(student, held["test"]["x"], label, trial)
    return Measured(metrics | found, [*told.curves, curve])


def conclude(curves: Sequence[Curve]) -> dict[str, float]:
    """The best validation accuracy along the way, and the test accuracy of that moment on the first 1,000 samples."""
    traced = {curve.metric: curve.values for curve in curves}
    if "traced_validation_accuracy" not in traced:
        return {}
    validation, test = traced["traced_validation_accuracy"], traced["traced_test_accuracy"]
    best = max(range(len(validation)), key=lambda i: validation[i])
    return {"best_validation_accuracy": validation[best], "test_accuracy_at_best_validation": test[best]}
