"""What is read off a spectral student: its error under pruning, its paths and its connectivity beside the teacher's.

Giambagli, Buffoni, Chicchi, Fanelli 2023, arXiv:2310.12612, §3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tsd.lazy import torch
from tsd.studies._base import Curve
from tsd.studies._spectral_pruning import by_threshold, core, node_scores

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Params
    from tsd.studies._base import Fitted

THRESHOLDS = range(0, 100, 5)
"""Scores at which a student is pruned, in per cent of the largest."""

QUANTILES = 1001
"""Even points on [0, 1] at which the quantile functions of paths are taken."""


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
    from tsd.models.spectral_mlp import kernel

    value, params = ACTIVATIONS[activation].value, student.params
    order = node_scores(params).argsort(descending=True, stable=True)
    features = student.model.forward(params, student.buffers, data["x"]).features
    hidden, second = features["hidden1"][:, order], kernel(params, 2)[:, order]
    depth = sum(name.startswith("hidden") for name in features)
    later = [kernel(params, number) for number in range(3, depth + 1)]
    signal, errors = torch.zeros_like(hidden[:, :1]), []
    for low, high in pairwise([0, *counts]):
        signal = signal + hidden[:, low:high] @ second[:, low:high].mT
        output = value(signal)
        for weight in later:
            output = value(output @ weight.mT)
        errors.append(float((output.sum(1) - data["y"]).square().mean()))
    return errors


def paths(params: Params) -> np.ndarray:
    """Quantile function of the path magnitudes w²_km w¹_mj over all paths input j → first hidden node m → second hidden
    node k, at `QUANTILES` points; zero where there is no path.

    Unchanged where a node's incoming weights grow by a factor and its outgoing ones shrink by it, which no ReLU network
    notices, and under permutations of nodes.
    """
    from tsd.models.spectral_mlp import kernel

    sizes = torch.einsum("mj,km->jmk", kernel(params, 1), kernel(params, 2)).flatten().sort().values.tolist()
    if not sizes:
        return np.zeros(QUANTILES)
    return np.interp(np.linspace(0, 1, QUANTILES), np.linspace(0, 1, len(sizes)), sizes)


def path_distance(student: np.ndarray, teacher: np.ndarray) -> float:
    """∫ |Q_s − Q_t| over ∫ |Q_t| of two quantile functions from `paths`: the Wasserstein distance of the two sets of
    paths in units of the teacher's mean |path|. A student without paths has distance 1."""
    return float(np.abs(student - teacher).mean() / np.abs(teacher).mean())


def connectivity(params: Params) -> list[float]:
    """Input connectivity k_m = Σ_j w¹_mj of the first hidden nodes, rising, the least at 0 and the largest at 1."""
    from tsd.models.spectral_mlp import kernel

    sums = np.sort(kernel(params, 1).sum(1).tolist())
    return [] if not len(sums) else ((sums - sums[0]) / (sums[-1] - sums[0] or 1)).tolist()


def observables(
    student: Fitted, held: Mapping[str, Any], living: Mapping[int, Tensor], kept: Curve, trial: Any
) -> list[Curve]:
    """The curves of single nodes, of thresholds and of paths.

    Args:
        student: as trained.
        held: the test set and the teacher's parameters.
        living: hidden layer → mask of its alive nodes.
        kept: the test error with the n best nodes.
        trial: for the teacher's width and the activation.
    """
    scores = node_scores(student.params)
    change = [abs(error - kept.values[-1]) for error in kept.values]
    curves = [
        _ranked("score", (scores.sort(descending=True).values / scores.max()).tolist()),
        Curve("excess_mse", kept.steps, change),
        _scaled(kept.steps, change, trial.teacher_width),
        *_threshold_curves(student, held["test"], trial.activation),
    ]
    for who, params in (("student", core(student.params, living)), ("teacher", held["teacher"])):
        curves.append(Curve(f"{who}_paths", range(101), paths(params)[:: QUANTILES // 100].tolist()))
        curves.append(_ranked(f"{who}_connectivity", connectivity(params)))
    return curves


def _threshold_curves(student: Fitted, data: Mapping[str, Tensor], activation: str) -> list[Curve]:
    """How many nodes survive each threshold, and the test error with these alone."""
    scores = node_scores(student.params)
    left = [int(by_threshold(scores, percent / 100).sum()) for percent in THRESHOLDS]
    counts = sorted(set(left))
    errors = dict(zip(counts, keep_curve(student, data, counts, activation), strict=True))
    return [
        Curve("threshold_nodes", THRESHOLDS, left),
        Curve("threshold_mse", THRESHOLDS, [errors[count] for count in left]),
    ]


def _ranked(metric: str, values: Sequence[float]) -> Curve:
    return Curve(metric, range(1, len(values) + 1), values)


def _scaled(counts: Sequence[int], change: Sequence[float], teacher_width: int) -> Curve:
    """The change over its largest value, against the number of nodes over the teacher's, up to twice as many: curves of
    teachers of any width then have their transition in one place."""
    shown = [count for count in counts if count <= 2 * teacher_width]
    largest = max(change) or 1.0
    steps = [round(1000 * count / teacher_width) for count in shown]
    return Curve("scaled_excess", steps, [value / largest for value in change[: len(shown)]])
