"""Spectral students: how many nodes does an over-wide student really use?

A student with h hidden nodes learns from a teacher with fewer, from Gaussian inputs, by mean squared error. Its first
layer is written w_ij = −λ_i φ_ij, and eigenvalues λ and eigenvectors φ are trained together, each under its own L2
penalty. At the best split of a given weight vector w_i between the two,

    min over λ_i φ_i = w_i of  a λ_i² + b ‖φ_i‖²  =  2 √(a b) ‖w_i‖,

which is a group penalty: it switches off whole nodes, and those that survive number as many as the teacher's. The
direct twin (λ frozen at 1) has a plain ridge penalty and keeps them all.

Giambagli, Buffoni, Chicchi, Fanelli 2023, arXiv:2310.12612. The width of the teacher's second layer is not in the
published settings; 20 is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import nan
from typing import TYPE_CHECKING, Any

from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.studies._base import Curve, Fitted, GradientStudy, Measured, Metric, Shelf, Start

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.engine.rng import Streams
    from tsd.models._base import Params, View
    from tsd.models.spectral_mlp import SpectralMLP

VERSION = 1

VALIDATION_SHARE = 0.2


class Trial(GradientStudy):
    """One student of one teacher."""

    teacher_width: Static[int] = field(20, ge=1, unit="nodes", doc="Width of the teacher's first hidden layer.")
    student_width: Static[int] = field(100, ge=1, unit="nodes", doc="Width of the student's first hidden layer.")
    input_dim: Static[int] = field(10, ge=1, unit="nodes", doc="Dimension of the Gaussian inputs.")
    second_width: Static[int] = field(20, ge=1, unit="nodes", doc="Width of the second hidden layer of both.")
    activation: Static[str] = field(
        "relu", choices=("relu", "erf", "tanh"), doc="Activation of both; erf is erf(z/√2)."
    )
    layer: Static[str] = field(
        "spectral", choices=("spectral", "direct"), doc="Whether the student's first layer trains λ and φ, or weights."
    )
    samples: Static[int] = field(10_000, ge=2, unit="samples", doc="Labelled inputs; a fifth is held out to validate.")
    test_samples: Static[int] = field(10_000, ge=2, unit="samples", doc="Fresh inputs for the test error.")
    eigenvalue_l2: Batched[float] = field(5e-4, ge=0, doc="Penalty on Σ λ²; direct layers have no λ and ignore it.")
    eigenvector_l2: Batched[float] = field(0.01, ge=0, doc="Penalty on Σ φ², which are a direct layer's weights.")
    prune_threshold: Batched[float] = field(
        0.05, ge=0, lt=1, doc="A node is alive if its score exceeds this share of the largest."
    )
    epochs: Static[int] = field(2000, ge=1, unit="epochs", doc="Passes over the training set, where steps is 0.")


METRICS = (
    Metric("test_mse", "target²", "Mean squared error on fresh inputs."),
    Metric("train_mse", "target²", "Mean squared error on the training inputs."),
    Metric("validation_mse", "target²", "Mean squared error on the inputs held out to validate."),
    Metric("target_variance", "target²", "Variance of the teacher's output on the test inputs."),
    Metric("alive_nodes", "nodes", "Hidden nodes whose score exceeds prune_threshold of the largest.", type=int),
    Metric("test_mse_pruned", "target²", "Test error with the alive nodes only."),
    Metric("keep_top_teacher", "target²", "Test error with as many of the best nodes as the teacher has."),
    Metric("keep_top_teacher_ratio", "", "keep_top_teacher over test_mse."),
    Metric(
        "mse_keep",
        "target²",
        "Test error with the best nodes only; the step is how many are kept.",
        curve=True,
        step="nodes_kept",
    ),
    Metric("test_mse", "target²", "Mean squared error on fresh inputs, along the training.", curve=True),
    Metric("alive_nodes", "nodes", "Alive hidden nodes along the training.", curve=True),
    Metric("train_loss", "target²", "Training error and penalties together, along the training.", curve=True),
)

EXAMPLE = {
    "teacher_width": 3,
    "student_width": 7,
    "input_dim": 4,
    "second_width": 3,
    "samples": 60,
    "test_samples": 50,
    "batch_size": 20,
    "epochs": 10,
    "curve_points": 3,
}


def start(trial: Trial, streams: Streams, shelf: Shelf) -> Start:
    """A random teacher (its first layer spectral with λ = 1), Gaussian inputs with its labels, an untrained student."""
    dtype = getattr(torch, trial.dtype)
    teacher = _model(trial, trial.teacher_width, "direct")
    weights = {
        name: tensor.to(dtype)
        for name, tensor in teacher.init(lambda purpose: streams.generator("teacher", purpose))[0].items()
    }
    student = _model(trial, trial.student_width, trial.layer)
    params, buffers = student.init(lambda purpose: streams.generator("init", purpose))

    def labelled(purpose: str, count: int) -> dict[str, Tensor]:
        drawn = streams.generator("data", purpose).standard_normal((count, trial.input_dim))
        x = torch.from_numpy(drawn).to(dtype)
        return {"x": x, "y": teacher.forward(weights, {}, x).output}

    known = labelled("inputs", trial.samples)
    train_count = trial.samples - max(1, round(VALIDATION_SHARE * trial.samples))
    train = {name: tensor[:train_count] for name, tensor in known.items()}
    validation = {name: tensor[train_count:] for name, tensor in known.items()}
    held = {"train": train, "validation": validation, "test": labelled("test inputs", trial.test_samples)}
    return Start(student, params, buffers, train, held)


def loss(student: View, batch: Mapping[str, Tensor], trial: Trial) -> Tensor:
    """Mean squared error."""
    return (student.output - batch["y"]).square().mean()


def penalties(trial: Trial) -> dict[str, float]:
    """Separate L2 on eigenvectors and eigenvalues; nothing on the second layer."""
    both = {"layer1.eigenvectors": trial.eigenvector_l2, "layer1.eigenvalues": trial.eigenvalue_l2}
    return both if trial.layer == "spectral" else {"layer1.eigenvectors": trial.eigenvector_l2}


def trace(student: Fitted, held: Mapping[str, Any], trial: Trial) -> dict[str, float]:
    """What is watched along the training."""
    penalty = sum(c * float(student.params[name].square().sum()) for name, c in penalties(trial).items())
    return {
        "test_mse": mse(student, held["test"]),
        "alive_nodes": int(alive(student.params, trial.prune_threshold).sum()),
        "train_loss": mse(student, held["train"]) + penalty,
    }


def measure(student: Fitted, held: Mapping[str, Any], trial: Trial) -> Measured:
    """Errors, surviving nodes, and the error with the n best nodes for many n."""
    survivors = alive(student.params, trial.prune_threshold)
    counts = kept_counts(trial.student_width, trial.teacher_width)
    kept = keep_curve(student, held["test"], counts, trial.activation)
    test, top = mse(student, held["test"]), kept[counts.index(min(trial.teacher_width, trial.student_width))]
    metrics = {
        "test_mse": test,
        "train_mse": mse(student, held["train"]),
        "validation_mse": mse(student, held["validation"]),
        "target_variance": float(held["test"]["y"].var()),
        "alive_nodes": int(survivors.sum()),
        "test_mse_pruned": mse(Fitted(student.model, prune(student.params, survivors), {}), held["test"]),
        "keep_top_teacher": top,
        "keep_top_teacher_ratio": top / test if test > 0 else nan,
    }
    return Measured(metrics, [Curve("mse_keep", counts, kept)])


def node_scores(params: Params) -> Tensor:
    """How much each node of the first hidden layer weighs: |λ_i| ‖φ_i‖ = ‖w_i‖, shape (node,). §3 of the paper, up to a
    factor that all nodes share. Unchanged by λ → c λ, φ → φ / c."""
    norms = params["layer1.eigenvectors"].norm(dim=-1)
    return norms * params["layer1.eigenvalues"].abs() if "layer1.eigenvalues" in params else norms


def alive(params: Params, threshold: float) -> Tensor:
    """Nodes whose score exceeds `threshold` times the largest, a mask of shape (node,)."""
    scores = node_scores(params)
    return scores > threshold * scores.max()


def prune(params: Params, keep: Tensor) -> dict[str, Tensor]:
    """The parameters with the incoming weights of all nodes outside the mask `keep` (node,) set to zero; every
    activation of this study is zero at zero, so these nodes are gone."""
    cut = torch.where(keep.unsqueeze(1), params["layer1.eigenvectors"], 0.0)
    return {**params, "layer1.eigenvectors": cut}


def mse(student: Fitted, data: Mapping[str, Tensor]) -> float:
    """Mean squared error of the student on inputs `x` with labels `y`."""
    output = student.model.forward(student.params, student.buffers, data["x"]).output
    return float((output - data["y"]).square().mean())


def kept_counts(width: int, teacher_width: int) -> list[int]:
    """Numbers of kept nodes at which `mse_keep` is taken: all up to twice the teacher's width, and above that about
    eight for every doubling; the whole student always."""
    counts = {*range(1, 2 * teacher_width + 1), 10, 15, 18, 20, 22, 25, 30, 40, width}
    step = 2 * teacher_width
    while step < width:
        counts.add(step)
        step += max(1, step // 8)
    return sorted(count for count in counts if count <= width)


def keep_curve(student: Fitted, data: Mapping[str, Tensor], counts: Sequence[int], activation: str) -> list[float]:
    """Mean squared error with the n best nodes of the first hidden layer, for every n of the rising `counts`."""
    from tsd.models._chain import ACTIVATIONS

    order = node_scores(student.params).argsort(descending=True, stable=True)
    hidden = student.model.forward(student.params, student.buffers, data["x"]).features["hidden1"][:, order]
    second = student.params["layer2.weight"][:, order]
    value = ACTIVATIONS[activation].value
    signal, errors = torch.zeros_like(hidden[:, :1]), []
    for low, high in pairwise([0, *counts]):
        signal = signal + hidden[:, low:high] @ second[:, low:high].mT
        errors.append(float((value(signal).sum(1) - data["y"]).square().mean()))
    return errors


def _model(trial: Trial, width: int, layer: str) -> SpectralMLP:
    from tsd.models.spectral_mlp import SpectralMLP

    return SpectralMLP(trial.input_dim, width, trial.second_width, trial.activation, layer)
