"""Spectral students: how many nodes does an over-wide student really use?

A student with h hidden nodes learns from a teacher with fewer, from Gaussian inputs, by mean squared error. Its first
layer is written w_ij = −λ_i φ_ij, and eigenvalues λ and eigenvectors φ are trained together, each under its own L2
penalty. At the best split of a given weight vector w_i between the two,

    min over λ_i φ_i = w_i of  a λ_i² + b ‖φ_i‖²  =  2 √(a b) ‖w_i‖,

which is a group penalty: it switches off whole nodes, and those that survive number as many as the teacher's. The
direct twin (λ frozen at 1) has a plain ridge penalty and keeps them all; `layer: group_lasso` puts the right-hand side
itself on plain weights.

Giambagli, Buffoni, Chicchi, Fanelli 2023, arXiv:2310.12612. The width of the teacher's second layer is not in the
published settings; 20 is our choice. So are the rules of pruning other than the threshold, and the fine-tuning.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan, sqrt
from typing import TYPE_CHECKING, Any

from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.lazy import torch
from tsd.models._base import below
from tsd.studies._base import Artefact, Curve, Fitted, GradientStudy, Kept, MeanSquare, Measured, Metric, Shelf, Start
from tsd.studies._spectral_observables import keep_curve, kept_counts, mse, observables, path_distance, paths
from tsd.studies._spectral_pruning import alive, by_count, by_percentile, by_threshold, core, node_scores, prune

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.engine.rng import Streams
    from tsd.models._base import Params
    from tsd.models.spectral_mlp import SpectralMLP

VERSION = 2

VALIDATION_SHARE = 0.2


class Trial(GradientStudy):
    """One student of one teacher."""

    teacher_width: Static[int] = field(20, ge=1, unit="nodes", doc="Width of the teacher's first hidden layer.")
    student_width: Static[int] = field(100, ge=1, unit="nodes", doc="Width of the student's first hidden layer.")
    input_dim: Static[int] = field(10, ge=1, unit="nodes", doc="Dimension of the Gaussian inputs.")
    second_width: Static[int] = field(20, ge=1, unit="nodes", doc="Width of every later hidden layer of the teacher.")
    student_second_width: Static[int] = field(
        0, ge=0, unit="nodes", doc="Width of every later hidden layer of the student; 0 takes second_width."
    )
    depth: Static[int] = field(2, ge=2, unit="layers", doc="Hidden layers of both.")
    activation: Static[str] = field(
        "relu", choices=("relu", "erf", "tanh"), doc="Activation of both; erf is erf(z/√2)."
    )
    layer: Static[str] = field(
        "spectral",
        choices=("spectral", "direct", "group_lasso"),
        doc="What the student's first layer trains: λ and φ, weights under a ridge, or weights under a group penalty.",
    )
    spectral_layers: Static[int] = field(
        1, ge=1, unit="layers", doc="How many hidden layers of the student, from the input on, are such layers."
    )
    samples: Static[int] = field(10_000, ge=2, unit="samples", doc="Labelled inputs; a fifth is held out to validate.")
    test_samples: Static[int] = field(10_000, ge=2, unit="samples", doc="Fresh inputs for the test error.")
    eigenvalue_l2: Batched[float] = field(5e-4, ge=0, doc="Penalty a on Σ λ²; direct layers have no λ and ignore it.")
    eigenvector_l2: Batched[float] = field(
        0.01, ge=0, doc="Penalty b on Σ φ², which are a direct layer's weights; group_lasso has 2 √(a b) on Σ ‖w_i‖."
    )
    prune_threshold: Batched[float] = field(
        0.05, ge=0, lt=1, doc="A node is alive if its score exceeds this share of the largest."
    )
    prune_by: Static[str] = field(
        "threshold",
        choices=("threshold", "percentile", "count"),
        doc="Whether prune_threshold, prune_percentile or prune_keep says which nodes of such a layer stay.",
    )
    prune_percentile: Batched[float] = field(80.0, ge=0, lt=100, unit="%", doc="Share of the weakest nodes that go.")
    prune_keep: Batched[int] = field(20, ge=1, unit="nodes", doc="How many of the strongest nodes stay.")
    finetune_epochs: Static[int] = field(
        0, ge=0, unit="epochs", doc="Passes of the pruned student over the training set, without penalties."
    )
    observables: Static[bool] = field(False, doc="Whether the curves of single nodes, thresholds and paths are kept.")
    epochs: Static[int] = field(2000, ge=1, unit="epochs", doc="Passes over the training set, where steps is 0.")


def _curve(name: str, unit: str, doc: str, step: str) -> Metric:
    return Metric(name, unit, doc, curve=True, step=step)


METRICS = (
    Metric("test_mse", "target²", "Mean squared error on fresh inputs."),
    Metric("train_mse", "target²", "Mean squared error on the training inputs."),
    Metric("validation_mse", "target²", "Mean squared error on the inputs held out to validate."),
    Metric("target_variance", "target²", "Variance of the teacher's output on the test inputs."),
    Metric("alive_nodes", "nodes", "Hidden nodes whose score exceeds prune_threshold of the largest.", type=int),
    Metric("test_mse_pruned", "target²", "Test error after pruning by prune_by."),
    Metric("test_mse_finetuned", "target²", "Test error after pruning and fine-tuning; NaN where that diverged."),
    Metric("keep_top_teacher", "target²", "Test error with as many of the best nodes as the teacher has."),
    Metric("keep_top_teacher_ratio", "", "keep_top_teacher over test_mse."),
    Metric("path_distance", "", "Distance of the pruned student's paths from the teacher's, over their mean size."),
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
    _curve(
        "alive_by_layer", "nodes", "Alive nodes of each layer of the kind `layer`, where there are several.", "layer"
    ),
    _curve("score", "", "Scores of the first hidden layer's nodes over the largest, falling.", "rank"),
    _curve("excess_mse", "target²", "What pruning to the best nodes changes in the test error, |Δ|.", "nodes_kept"),
    _curve(
        "scaled_excess",
        "",
        "excess_mse over its largest value, up to twice as many nodes as the teacher has.",
        "per_mille_of_teacher",
    ),
    _curve("threshold_nodes", "nodes", "Nodes of a score above the threshold.", "threshold_percent"),
    _curve("threshold_mse", "target²", "Test error with these nodes only.", "threshold_percent"),
    _curve("student_paths", "", "Quantiles of the pruned student's path magnitudes.", "path_percent"),
    _curve("teacher_paths", "", "Quantiles of the teacher's path magnitudes.", "path_percent"),
    _curve("student_connectivity", "", "Summed incoming weights of alive nodes, scaled to [0, 1], rising.", "rank"),
    _curve("teacher_connectivity", "", "The same of the teacher's nodes.", "rank"),
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
    "finetune_epochs": 2,
    "observables": True,
    "curve_points": 3,
}


def prepare(trial: Trial) -> None:
    """Raises UserError where more layers are to be spectral than there are."""
    if trial.spectral_layers > trial.depth:
        raise UserError(
            f"spectral_layers is {trial.spectral_layers}, but the student has {trial.depth} hidden layers. "
            f"Ask for at most {trial.depth}, or for a larger depth."
        )


def start(trial: Trial, streams: Streams, shelf: Shelf) -> Start:
    """Gaussian inputs with the labels of a random teacher, and an untrained student."""
    task = {name: torch.from_numpy(array) for name, array in shelf.get(TASK, trial, streams)[0].items()}
    student = _student(trial)
    params, buffers = student.init(lambda purpose: streams.generator("init", purpose))
    train_count = trial.samples - max(1, round(VALIDATION_SHARE * trial.samples))
    known, test = below("known.", task), below("test.", task)
    train = {name: tensor[:train_count] for name, tensor in known.items()}
    validation = {name: tensor[train_count:] for name, tensor in known.items()}
    held = {"train": train, "validation": validation, "test": test, "teacher": below("teacher.", task)}
    return Start(student, params, buffers, train, held | {"streams": streams})


def _draw(trial: Trial, streams: Streams, shelf: Shelf) -> Kept:
    """A random teacher (its first layer spectral with λ = 1), and Gaussian inputs with its labels."""
    dtype, teacher = getattr(torch, trial.dtype), _teacher(trial)
    drawn, _ = teacher.init(lambda purpose: streams.generator("teacher", purpose))
    weights = {name: tensor.to(dtype) for name, tensor in drawn.items()}
    arrays = {f"teacher.{name}": tensor.numpy() for name, tensor in weights.items()}
    for name, purpose, count in (("known", "inputs", trial.samples), ("test", "test inputs", trial.test_samples)):
        inputs = streams.generator("data", purpose).standard_normal((count, trial.input_dim))
        x = torch.from_numpy(inputs).to(dtype)
        arrays |= {f"{name}.x": x.numpy(), f"{name}.y": teacher.forward(weights, {}, x).output.numpy()}
    return arrays, {}


TASK = Artefact(
    name="task",
    fields=(
        "teacher_width",
        "second_width",
        "input_dim",
        "depth",
        "activation",
        "samples",
        "test_samples",
        "dtype",
    ),
    streams=("teacher", "data"),
    make=_draw,
    stored=False,
)
"""What a student learns, the same for all that agree in these."""


loss = MeanSquare("y")
"""Mean squared error."""


def penalties(trial: Trial) -> dict[str, float]:
    """Separate L2 on eigenvectors and eigenvalues; nothing on plain layers."""
    coefficients = {
        "spectral": {"eigenvectors": trial.eigenvector_l2, "eigenvalues": trial.eigenvalue_l2},
        "direct": {"eigenvectors": trial.eigenvector_l2},
        "group_lasso": {},
    }[trial.layer]
    return {f"layer{number}.{kind}": c for number in _penalised(trial) for kind, c in coefficients.items()}


def group_penalties(trial: Trial) -> dict[str, float]:
    """2 √(eigenvalue_l2 · eigenvector_l2) on Σ_i ‖w_i‖ of group_lasso: what the two penalties of a spectral layer come
    down to at the best split of its weights."""
    c = 2 * sqrt(trial.eigenvalue_l2 * trial.eigenvector_l2)
    return {f"layer{number}.eigenvectors": c for number in _penalised(trial) if trial.layer == "group_lasso"}


def trace(student: Fitted, held: Mapping[str, Any], trial: Trial) -> dict[str, float]:
    """What is watched along the training."""
    penalty = sum(c * float(student.params[name].square().sum()) for name, c in penalties(trial).items())
    penalty += sum(c * float(student.params[name].norm(dim=-1).sum()) for name, c in group_penalties(trial).items())
    return {
        "test_mse": mse(student, held["test"]),
        "alive_nodes": int(alive(student.params, trial.prune_threshold).sum()),
        "train_loss": mse(student, held["train"]) + penalty,
    }


def measure(student: Fitted, held: Mapping[str, Any], trial: Trial) -> Measured:
    """Errors, surviving nodes, the student after pruning, and the error with the n best nodes for many n."""
    params, test = student.params, held["test"]
    living = {number: alive(params, trial.prune_threshold, number) for number in _penalised(trial)}
    stay = survivors(params, trial)
    counts = kept_counts(trial.student_width, trial.teacher_width)
    kept = keep_curve(student, test, counts, trial.activation)
    error, top = mse(student, test), kept[counts.index(min(trial.teacher_width, trial.student_width))]
    metrics = {
        "test_mse": error,
        "train_mse": mse(student, held["train"]),
        "validation_mse": mse(student, held["validation"]),
        "target_variance": float(test["y"].var()),
        "alive_nodes": int(living[1].sum()),
        "test_mse_pruned": mse(Fitted(student.model, prune(params, stay), {}), test),
        "keep_top_teacher": top,
        "keep_top_teacher_ratio": top / error if error > 0 else nan,
        "path_distance": path_distance(paths(core(params, living)), paths(held["teacher"])),
    }
    if trial.finetune_epochs:
        tuned = finetuned(Fitted(student.model, core(params, stay), {}), held, trial)
        metrics["test_mse_finetuned"] = mse(tuned, test) if tuned else nan
    curves = [Curve("mse_keep", counts, kept)]
    if trial.spectral_layers > 1:
        curves.append(Curve("alive_by_layer", list(living), [int(mask.sum()) for mask in living.values()]))
    if trial.observables:
        curves += observables(student, held, living, curves[0], trial)
    return Measured(metrics, curves)


def survivors(params: Params, trial: Trial) -> dict[int, Tensor]:
    """Masks of the nodes that stay where the student is pruned by `prune_by`, by the number of their layer."""
    scores = {number: node_scores(params, number) for number in _penalised(trial)}
    if trial.prune_by == "count":
        return {number: by_count(each, trial.prune_keep) for number, each in scores.items()}
    if trial.prune_by == "percentile":
        return {number: by_percentile(each, trial.prune_percentile) for number, each in scores.items()}
    return {number: by_threshold(each, trial.prune_threshold) for number, each in scores.items()}


def finetuned(student: Fitted, held: Mapping[str, Any], trial: Trial) -> Fitted | None:
    """The student after `finetune_epochs` more passes over the training set with the settings of its training, but
    without penalties: they have made their choice, and would only shrink what is left. None where that diverged."""
    from tsd.engine.fit import fit

    settings = Trial.of({**trial.values(), "epochs": trial.finetune_epochs, "steps": 0, "curve_points": 0})
    start = Start(student.model, student.params, student.buffers, held["train"], {})
    [run] = fit([start], [settings], [held["streams"]], loss, device=str(held["train"]["x"].device))
    return None if run.diverged else run.fitted


def _penalised(trial: Trial) -> range:
    """Numbers of the student's layers of the kind `layer`."""
    return range(1, trial.spectral_layers + 1)


def _teacher(trial: Trial) -> SpectralMLP:
    from tsd.models.spectral_mlp import SpectralMLP

    return SpectralMLP(
        trial.input_dim, trial.teacher_width, trial.second_width, trial.activation, "direct", trial.depth
    )


def _student(trial: Trial) -> SpectralMLP:
    from tsd.models.spectral_mlp import SpectralMLP

    return SpectralMLP(
        trial.input_dim,
        trial.student_width,
        trial.student_second_width or trial.second_width,
        trial.activation,
        trial.layer,
        trial.depth,
        trial.spectral_layers,
    )
