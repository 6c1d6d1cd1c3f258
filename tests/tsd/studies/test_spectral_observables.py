"""What is read off a student: paths, connectivity, and errors under pruning."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from shelves import MemoryShelf

from tsd.engine.rng import Streams
from tsd.models.spectral_mlp import kernel
from tsd.studies import spectral
from tsd.studies._base import Fitted
from tsd.studies._spectral_observables import THRESHOLDS, connectivity, observables, path_distance, paths
from tsd.studies._spectral_pruning import alive, by_threshold, core, node_scores, prune

SEEDS = Streams({"teacher": 1, "data": 2, "init": 3})
TRIAL = spectral.Trial.of(spectral.EXAMPLE | {"student_width": 30, "dtype": "float64"})


@pytest.fixture
def student():
    start = spectral.start(TRIAL, SEEDS, MemoryShelf())
    params = {name: tensor.double() for name, tensor in start.params.items()}
    params["layer1.eigenvalues"] = torch.linspace(0, 2, 30, dtype=torch.float64)
    return Fitted(start.model, params, {}), start.held


def curves_of(student, held):
    counts = spectral.kept_counts(30, 3)
    kept = spectral.Curve("mse_keep", counts, spectral.keep_curve(student, held["test"], counts, "relu"))
    living = {1: alive(student.params, 0.05)}
    return kept, {curve.metric: curve for curve in observables(student, held, living, kept, TRIAL)}


def all_paths(params):
    """Every product of two weights, one by one."""
    first, second = kernel(params, 1).tolist(), kernel(params, 2).tolist()
    return [row[m] * weight for row in second for m in range(len(first)) for weight in first[m]]


def test_the_path_distance_is_the_wasserstein_distance_of_all_paths(student):
    """SciPy's comes from the distribution functions, ours from their inverses on a grid."""
    params, teacher = student[0].params, student[1]["teacher"]
    exact = wasserstein_distance(all_paths(params), all_paths(teacher)) / np.abs(all_paths(teacher)).mean()
    assert path_distance(paths(params), paths(teacher)) == pytest.approx(exact, rel=0.05)
    assert path_distance(paths(params), paths(teacher)) > 0.2


def test_paths_are_those_of_the_function_not_of_its_parameters(student):
    """Relu networks are unchanged where a node's scale or place moves; so are their paths."""
    params = student[0].params
    scale, order = torch.linspace(0.2, 3, 30, dtype=torch.float64), torch.randperm(30)
    moved = {
        "layer1.eigenvectors": (params["layer1.eigenvectors"] * scale[:, None])[order],
        "layer1.eigenvalues": params["layer1.eigenvalues"][order],
        "layer2.weight": (params["layer2.weight"] / scale)[:, order],
    }
    outputs = [student[0].model.forward(each, {}, student[1]["test"]["x"]).output for each in (params, moved)]
    torch.testing.assert_close(*outputs)
    np.testing.assert_allclose(paths(moved), paths(params), atol=1e-12)


def test_a_teacher_is_at_distance_zero_from_itself_and_one_from_a_student_without_paths(student):
    teacher = student[1]["teacher"]
    none = core(teacher, {1: torch.zeros(3, dtype=torch.bool)})
    assert path_distance(paths(teacher), paths(teacher)) == 0
    assert path_distance(paths(none), paths(teacher)) == 1
    assert connectivity(none) == []


def test_quantiles_of_paths_run_from_the_least_to_the_largest(student):
    values, sizes = paths(student[0].params), all_paths(student[0].params)
    assert (np.diff(values) >= 0).all()
    assert values[[0, 500, -1]] == pytest.approx([min(sizes), np.median(sizes), max(sizes)])


def test_connectivity_runs_from_zero_to_one_and_forgets_scale_and_shift(student):
    params = student[0].params
    values = connectivity(params)
    assert values == sorted(values) and values[0] == 0 and values[-1] == 1
    sums = kernel(params, 1).sum(1)
    np.testing.assert_allclose(values, np.sort((sums - sums.min()) / (sums.max() - sums.min())))
    assert connectivity(core(params, {1: torch.arange(30) == 7})) == [0]


def test_pruning_at_a_threshold_is_pruning_by_mask(student):
    fitted, held = student
    _, curves = curves_of(fitted, held)
    for place, percent in enumerate(THRESHOLDS):
        mask = by_threshold(node_scores(fitted.params), percent / 100)
        error = spectral.mse(Fitted(fitted.model, prune(fitted.params, {1: mask}), {}), held["test"])
        assert curves["threshold_nodes"].values[place] == mask.sum()
        assert curves["threshold_mse"].values[place] == pytest.approx(error, rel=1e-9)


def test_scores_fall_from_one_and_the_dead_node_is_last(student):
    curve = curves_of(*student)[1]["score"]
    assert list(curve.steps) == list(range(1, 31))
    assert curve.values[0] == 1 and curve.values[-1] == 0
    assert curve.values == sorted(curve.values, reverse=True)


def test_excess_is_the_change_of_the_error_and_scales_with_the_teacher(student):
    kept, curves = curves_of(*student)
    excess, scaled = curves["excess_mse"], curves["scaled_excess"]
    assert excess.values[-1] == 0 and min(excess.values) == 0
    assert excess.values[0] == abs(kept.values[0] - kept.values[-1])
    assert max(scaled.values) == 1
    np.testing.assert_allclose(np.multiply(scaled.values, max(excess.values)), excess.values[: len(scaled.values)])
    assert scaled.steps[excess.steps.index(3)] == 1000 and scaled.steps[-1] == 2000


def test_curves_of_the_pruned_student_are_those_of_its_core(student):
    fitted, held = student
    _, curves = curves_of(fitted, held)
    alone = core(fitted.params, {1: alive(fitted.params, 0.05)})
    assert curves["student_paths"].values == paths(alone)[::10].tolist()
    assert curves["student_connectivity"].values == connectivity(alone)
    assert curves["teacher_paths"].values == paths(held["teacher"])[::10].tolist()
    assert len(curves["teacher_connectivity"].values) == 3
