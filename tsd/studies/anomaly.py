"""Anomaly detection: where does a student fail to follow its teacher?

A teacher that never sees a defect learns the likelihood of good feature maps: a normalising flow x → z with the loss
L_T = mean over pixels of ½ Σ_c z² − log|det J|  (`flow_loss`). Its log-scales stay within ±α: 0.636 α arctan(s/α)
(`clamp`). A student learns on the same good samples to give the teacher's z: L_S = mean over pixels and channels of
(z_teacher − z_student)²  (`distance_loss`). On what neither has seen they part, and their distance is the map of
anomalies. The paper's claim: a second flow of the teacher's architecture (`student: symmetric`) follows it further than
a plain convolutional network does (`asymmetric`). Rudolph, Wehrbein, Rosenhahn, Wandt 2023, arXiv:2210.07829.

Teacher and student are always those of the last step; a best step would be chosen by looking at the test set.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tsd.data._surfaces import TEXTURES, Counts
from tsd.engine.rng import Streams
from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.studies import _anomaly_data as data
from tsd.studies import _anomaly_features as features
from tsd.studies._anomaly_formulas import (
    auroc,
    clamp,
    distance_loss,
    distance_map,
    flow_loss,
    flow_map,
    image_score,
)
from tsd.studies._anomaly_teacher import TEACHER, TRACED, inversion_error, latent, restored
from tsd.studies._base import Curve, GradientStudy, Measured, Metric, Start
from tsd.studies._classify import predict

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Model, View
    from tsd.studies._base import Fitted, Shelf

__all__ = ["Trial", "clamp", "distance_loss", "flow_loss", "loss", "measure", "score_map", "start", "trace"]

VERSION = 1


class Trial(GradientStudy):
    """One student of one flow, on one class of objects."""

    dataset: Static[str] = field("surfaces", doc="surfaces, manifold, or the path of a folder in MVTec AD's layout.")
    texture: Static[str] = field("weave", choices=tuple(TEXTURES), doc="Texture of the data set surfaces.")
    image_size: Static[int] = field(64, ge=8, le=2048, unit="pixels", doc="Side to which images are drawn or scaled.")
    train_samples: Static[int] = field(96, ge=2, unit="samples", doc="Good samples to learn from, if drawn.")
    test_good: Static[int] = field(60, ge=1, unit="samples", doc="Good test samples, if drawn.")
    test_defective: Static[int] = field(60, ge=1, unit="samples", doc="Defective test samples, if drawn.")
    defect_strength: Batched[float] = field(
        1.0, ge=0, doc="How far drawn defects are from good: contrast of surfaces, distance from the manifold."
    )
    extractor: Static[str] = field(
        features.GABOR, doc="gabor, or a model of torchvision whose weights lie in torch's cache."
    )
    extractor_layer: Static[str] = field("features.6", doc="Layer of the torchvision model whose maps are read.")
    map_size: Static[int] = field(16, ge=1, unit="pixels", doc="Side of the feature maps of gabor.")
    position_dim: Static[int] = field(32, ge=0, doc="Channels of sines and cosines of the position; multiple of 4.")

    flow_blocks: Static[int] = field(4, ge=1, unit="blocks", doc="Coupling blocks of the teacher.")
    flow_hidden: Static[int] = field(24, ge=1, unit="channels", doc="Channels inside the flow's networks.")
    flow_clamp: Static[float] = field(1.9, gt=0, doc="Bound α of a log-scale of the flow.")
    flow_epochs: Static[int] = field(20, ge=1, unit="epochs", doc="Passes of the teacher over its training set.")
    flow_lr: Static[float] = field(2e-3, gt=0, doc="Step size of Adam, with which the teacher is trained.")
    flow_weight_decay: Static[float] = field(1e-5, ge=0, doc="Weight decay of the teacher.")
    flow_batch_size: Static[int] = field(8, ge=1, unit="samples", doc="Samples a step of the teacher.")

    student: Static[str] = field(
        "asymmetric", choices=("asymmetric", "symmetric"), doc="A convolutional network, or a flow like the teacher."
    )
    student_width: Static[int] = field(32, ge=1, unit="channels", doc="Channels of the convolutional student.")
    student_blocks: Static[int] = field(2, ge=0, unit="blocks", doc="Residual blocks of the convolutional student.")
    score: Static[str] = field("mean", choices=("max", "mean"), doc="How the pixels of a map give an image's score.")

    lr: Batched[float] = field(2e-3, gt=0, doc="Step size of the student's optimizer.")
    weight_decay: Batched[float] = field(1e-5, ge=0, doc="Decoupled in adamw, added to the gradient in sgd and adam.")
    batch_size: Static[int] = field(8, ge=1, unit="samples", doc="Samples a step; at most the whole training set.")
    epochs: Static[int] = field(20, ge=1, unit="epochs", doc="Passes over the training set, where steps is 0.")
    schedule: Static[str] = field(
        "cosine", choices=("constant", "cosine", "linear"), doc="Course of lr over the student's steps."
    )
    curve_points: Static[int] = field(10, ge=0, unit="points", doc="How often a curve is recorded, evenly in steps.")


METRICS = (
    Metric("auroc_image", "", "AUROC over test images of the distance, scored as `score` says; 0.5 is chance."),
    Metric("auroc_max", "", "AUROC over test images of the largest distance of an image."),
    Metric("auroc_mean", "", "AUROC over test images of the mean distance of an image."),
    Metric("auroc_pixel", "", "AUROC over test pixels of the distance, scaled up bicubically."),
    Metric("teacher_auroc", "", "AUROC over test images of the flow's own likelihood, scored as `score` says."),
    Metric("flow_nll", "nats/pixel", "Loss of the flow on good test samples: likelihood without ½ log 2π a channel."),
    Metric("flow_log_det", "nats/pixel", "log|det J| of the flow on good test samples, mean over pixels."),
    Metric("inversion_error", "", "Largest |x − inverse of the flow of x| on the training samples that are traced."),
    Metric("distance_good", "", "Student's loss on good test samples."),
    Metric("distance_defective", "", "Student's loss on defective test samples."),
    Metric("student_params", "parameters", "Trained parameters of the student.", int),
    Metric("teacher_params", "parameters", "Trained parameters of the teacher.", int),
    Metric("traced_distance_good", "", "Student's loss on good test samples, by step.", curve=True),
    Metric("traced_distance_defective", "", "Student's loss on defective test samples, by step.", curve=True),
    Metric("traced_flow_nll", "nats/pixel", "Loss of the flow on 64 training samples, by its own step.", curve=True),
)

EXAMPLE = {
    "image_size": 32,
    "map_size": 4,
    "train_samples": 8,
    "test_good": 4,
    "test_defective": 3,
    "position_dim": 4,
    "flow_blocks": 2,
    "flow_hidden": 4,
    "flow_epochs": 3,
    "student_width": 4,
    "student_blocks": 1,
    "epochs": 2,
    "curve_points": 2,
}

CHECKS = {"dataset": data.check, "extractor": features.check}
"""Field → what raises UserError for a value of it that cannot work, before anything runs."""


def prepare(trial: Trial) -> None:
    """Read or draw images and extract features once, so that what cannot work is told before any trial starts.

    Raises:
        UserError: the images cannot be read, their test set lacks good or defective ones, or the features do not fit.
    """
    if trial.position_dim % 4:
        below = trial.position_dim // 4 * 4
        raise UserError(
            f"position_dim is {trial.position_dim}; sine and cosine of row and column share its channels, so it must "
            f"be a multiple of 4. Use {below} or {below + 4}."
        )
    channels = data.samples(data.source(trial, Counts(2, 1, 1)), 0).train.shape[1]
    if channels < 2:
        raise UserError(
            f"extractor: {trial.extractor}, extractor_layer: {trial.extractor_layer} gives maps of {channels} channel; "
            "a coupling changes one half of the channels by the other and needs two. Choose another layer."
        )


ARTEFACTS = (TEACHER,)


def start(trial: Trial, streams: Streams, shelf: Shelf) -> Start:
    """The student's first weights, the teacher's z of the good samples, and what the student is measured on."""
    from tsd.studies._anomaly_networks import convolutional

    arrays, facts = shelf.get(TEACHER, trial, streams)
    samples = data.of_trial(trial, streams)
    if facts["data"] != samples.fingerprint:
        raise UserError(
            f"The stored flow was trained on other images than {trial.dataset} now holds. Give the changed folder "
            "a new name, or remove the results folder's artefacts to train its flows again."
        )
    teacher = restored(trial, samples, arrays)
    model: Model = teacher.model
    if trial.student == "asymmetric":
        model = convolutional(samples.shape, trial.student_width, trial.student_blocks, trial.position_dim)
    params, buffers = model.init(functools.partial(streams.generator, "init"))
    train = {"x": samples.train, "z": latent(teacher, samples.train)["z"]}
    held = {
        "x": samples.test,
        **latent(teacher, samples.test),
        "mask": samples.mask,
        "defective": samples.defective,
        "inversion_error": inversion_error(teacher, samples.train[:TRACED]),
        "teacher_params": facts["params"],
        "flow_curve": (arrays["curve.steps"].tolist(), arrays["curve.values"].tolist()),
    }
    return Start(model, params, buffers, train, held)


def loss(student: View, batch: Mapping[str, Tensor], trial: Trial) -> Tensor:
    """L_S."""
    return distance_loss(batch["z"], student.output)


def score_map(student: Fitted, held: Mapping[str, Any]) -> Tensor:
    """Distance of teacher and student at every pixel of the test set's feature maps, shape (sample, height, width)."""
    return distance_map(held["z"], predict(student, held["x"]))


def trace(student: Fitted, held: Mapping[str, Any], trial: Trial) -> dict[str, float]:
    """The student's loss on good and on defective test samples."""
    good, defective = _good_and_defective(score_map(student, held), held)
    return {"traced_distance_good": good, "traced_distance_defective": defective}


def measure(student: Fitted, held: Mapping[str, Any], trial: Trial) -> Measured:
    """Every metric after the last step."""
    defective = held["defective"]
    distance, surprise = score_map(student, held), flow_map(held["z"], held["log_det"])
    by_score = {score: auroc(defective, image_score(distance, score)) for score in ("max", "mean")}
    side = held["mask"].shape[-1]
    pixels = torch.nn.functional.interpolate(distance.unsqueeze(1), (side, side), mode="bicubic").squeeze(1)
    distance_good, distance_defective = _good_and_defective(distance, held)
    metrics = {
        "auroc_image": by_score[trial.score],
        "auroc_max": by_score["max"],
        "auroc_mean": by_score["mean"],
        "auroc_pixel": auroc(held["mask"], pixels),
        "teacher_auroc": auroc(defective, image_score(surprise, trial.score)),
        "flow_nll": float(surprise[~defective].mean()),
        "flow_log_det": float(held["log_det"][~defective].mean()),
        "inversion_error": held["inversion_error"],
        "distance_good": distance_good,
        "distance_defective": distance_defective,
        "student_params": sum(param.numel() for param in student.params.values()),
        "teacher_params": held["teacher_params"],
    }
    return Measured(metrics, [Curve("traced_flow_nll", *held["flow_curve"])])


def _good_and_defective(distance: Tensor, held: Mapping[str, Any]) -> tuple[float, float]:
    defective = held["defective"]
    return float(distance[~defective].mean()), float(distance[defective].mean())
