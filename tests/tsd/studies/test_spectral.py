"""Spectral students: what theory says of scores, penalties and pruning."""

from statistics import median

import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.rng import Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.studies import spectral
from tsd.studies._base import Fitted

SEEDS = Streams({"teacher": 1, "data": 2, "init": 3})


def trial_of(**values):
    return spectral.Trial.of(spectral.EXAMPLE | values)


def student_of(trial):
    """A student whose eigenvalues differ, and what it is held against."""
    start = spectral.start(trial, SEEDS, MemoryShelf())
    params = dict(start.params)
    if trial.layer == "spectral":
        params["layer1.eigenvalues"] = torch.linspace(0.1, 2, trial.student_width)
    return Fitted(start.model, params, start.buffers), start.held


def test_node_scores_are_the_norms_of_the_nodes_weights():
    student, _ = student_of(trial_of())
    weights = student.model.layers(student.params)[0].weight
    torch.testing.assert_close(spectral.node_scores(student.params), weights.norm(dim=0))


@pytest.mark.parametrize("factor", [0.25, 7.0])
def test_scores_and_outputs_are_invariant_under_rescaling(factor):
    """λ → c λ, φ → φ / c leaves weights, outputs and scores unchanged."""
    student, held = student_of(trial_of())
    scaled = dict(student.params)
    scaled["layer1.eigenvalues"] = factor * scaled["layer1.eigenvalues"]
    scaled["layer1.eigenvectors"] = scaled["layer1.eigenvectors"] / factor
    torch.testing.assert_close(spectral.node_scores(scaled), spectral.node_scores(student.params))
    outputs = [student.model.forward(p, {}, held["test"]["x"]).output for p in (student.params, scaled)]
    torch.testing.assert_close(*outputs)


def test_the_two_penalties_are_a_group_lasso_at_the_balanced_split():
    """min over λ φ = w of a λ² + b ‖φ‖² is 2 √(ab) ‖w‖, at λ² = √(b/a) ‖w‖."""
    a, b, w = 5e-4, 0.01, torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)
    coefficients = spectral.penalties(trial_of(eigenvalue_l2=a, eigenvector_l2=b))

    def penalty(eigenvalue):
        phi = w / eigenvalue
        parts = {"layer1.eigenvalues": eigenvalue**2, "layer1.eigenvectors": float(phi.square().sum())}
        return sum(c * parts[name] for name, c in coefficients.items())

    balanced = ((b / a) ** 0.5 * float(w.norm())) ** 0.5
    bound = 2 * (a * b) ** 0.5 * float(w.norm())
    assert penalty(balanced) == pytest.approx(bound, rel=1e-12)
    assert all(penalty(balanced * shift) > bound for shift in (0.5, 0.9, 1.1, 2.0))


def test_a_direct_layer_has_one_ridge_penalty_and_no_eigenvalues():
    trial = trial_of(layer="direct", eigenvector_l2=0.5)
    student, _ = student_of(trial)
    assert set(student.params) == {"layer1.eigenvectors", "layer2.weight"}
    assert spectral.penalties(trial) == {"layer1.eigenvectors": 0.5}


def test_the_teacher_itself_has_no_error():
    trial = trial_of(layer="direct", student_width=3)
    student, held = student_of(trial)
    teacher = student.model.init(lambda purpose: SEEDS.generator("teacher", purpose))[0]
    assert spectral.mse(Fitted(student.model, teacher, {}), held["test"]) == 0


@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
@pytest.mark.parametrize("layer", ["spectral", "direct"])
def test_keeping_n_nodes_is_pruning_the_others(layer, activation):
    trial = trial_of(layer=layer, activation=activation)
    student, held = student_of(trial)
    order = spectral.node_scores(student.params).argsort(descending=True)
    counts = list(range(1, 8))
    curve = spectral.keep_curve(student, held["test"], counts, activation)
    for count, error in zip(counts, curve, strict=True):
        mask = torch.zeros(7, dtype=torch.bool)
        mask[order[:count]] = True
        pruned = Fitted(student.model, spectral.prune(student.params, {1: mask}), {})
        assert error == pytest.approx(spectral.mse(pruned, held["test"]), rel=1e-5)
    assert curve[-1] == pytest.approx(spectral.mse(student, held["test"]), rel=1e-5)


def test_nodes_are_alive_above_the_threshold_and_pruning_takes_the_others():
    params = dict(student_of(trial_of())[0].params)
    scale = torch.tensor([1.0, 0.04, 0.06, 0.0, 1.0, 1.0, 0.9]).unsqueeze(1)
    params["layer1.eigenvectors"] = torch.nn.functional.normalize(params["layer1.eigenvectors"], dim=1) * scale
    params["layer1.eigenvalues"] = torch.ones(7)
    assert spectral.alive(params, 0.05).tolist() == [True, False, True, False, True, True, True]
    pruned = spectral.prune(params, {1: spectral.alive(params, 0.05)})
    assert spectral.node_scores(pruned).count_nonzero() == 5
    assert not torch.equal(pruned["layer1.eigenvectors"], params["layer1.eigenvectors"])


def test_kept_counts_are_dense_up_to_twice_the_teacher_and_end_with_the_student():
    counts = spectral.kept_counts(200, 20)
    assert set(range(1, 41)) <= set(counts) and counts[-1] == 200 and counts == sorted(set(counts))
    assert len(counts) < 65
    assert spectral.kept_counts(10, 20) == list(range(1, 11))
    assert {10, 15, 18, 20, 22, 25, 30, 40, 2, 60} <= set(spectral.kept_counts(60, 2))


def test_labels_come_from_one_teacher_and_a_fifth_is_held_out():
    trial = trial_of(samples=100)
    first, second = (
        spectral.start(trial, Streams({"teacher": 1, "data": 2, "init": i}), MemoryShelf()) for i in range(2)
    )
    assert len(first.train["x"]) == 80 and len(first.held["validation"]["x"]) == 20
    torch.testing.assert_close(first.train["y"], second.train["y"], rtol=0, atol=0)
    other = spectral.start(trial, Streams({"teacher": 2, "data": 2}), MemoryShelf())
    assert torch.equal(first.train["x"], other.train["x"]) and not torch.equal(first.train["y"], other.train["y"])
    assert not torch.equal(first.held["test"]["x"][:20], first.held["validation"]["x"])


@pytest.mark.parametrize("layer", ["spectral", "direct"])
def test_training_lowers_every_error_and_metrics_fit_together(layer):
    trial = trial_of(layer=layer, epochs=300, samples=200, student_width=8, eigenvector_l2=1e-3, eigenvalue_l2=5e-5)
    outcomes = run_pack(spectral, [trial] * 2, [SEEDS, Streams({"init": 9})], MemoryShelf())
    for outcome in outcomes:
        metrics, curves = outcome.measured.metrics, {c.metric: c for c in outcome.measured.curves}
        assert outcome.state == "done" and outcome.way == "dense"
        assert metrics["test_mse"] < 0.1 * curves["test_mse"].values[0]
        assert curves["train_loss"].values[-1] < 0.5 * curves["train_loss"].values[0]
        assert curves["test_mse"].values[-1] == metrics["test_mse"]
        assert curves["alive_nodes"].values[-1] == metrics["alive_nodes"]
        assert curves["mse_keep"].values[-1] == pytest.approx(metrics["test_mse"], rel=1e-4)
        assert curves["mse_keep"].values[2] == metrics["keep_top_teacher"]
        assert metrics["keep_top_teacher_ratio"] == metrics["keep_top_teacher"] / metrics["test_mse"]


def test_spectral_students_and_the_group_penalty_find_the_teachers_width_and_a_ridge_does_not():
    """Two nodes in the teacher's first layer, ten in the student's, both hidden layers penalised: the two ways to write
    one penalty let equally many nodes live, student by student."""
    sizes = {"teacher_width": 2, "student_width": 10, "samples": 1000, "test_samples": 1000, "batch_size": 100}
    seeds = [Streams({"teacher": i, "data": i, "init": i}) for i in range(8)]

    def alive_nodes(layer):
        trial = trial_of(**sizes, epochs=300, curve_points=0, finetune_epochs=0, layer=layer, spectral_layers=2)
        return [
            outcome.measured.metrics["alive_nodes"] for outcome in run_pack(spectral, [trial] * 8, seeds, MemoryShelf())
        ]

    own, lasso, direct = map(alive_nodes, ("spectral", "group_lasso", "direct"))
    assert sum(a == b for a, b in zip(own, lasso, strict=True)) >= 7
    assert median(own) == median(lasso) == 2
    assert median(direct) >= 6


@pytest.mark.parametrize("values", [{"layer": "group_lasso"}, {"spectral_layers": 2, "depth": 3, "activation": "erf"}])
def test_other_layers_too_give_the_same_bits_in_any_company(values):
    trials = [trial_of(**values, eigenvalue_l2=10.0**-i, eigenvector_l2=0.1 * i) for i in range(3)]
    seeds = [Streams({"data": i, "init": i}) for i in range(3)]
    together = [repr(outcome) for outcome in run_pack(spectral, trials, seeds, MemoryShelf())]
    alone = [
        repr(run_pack(spectral, [trial], [own], MemoryShelf())[0]) for trial, own in zip(trials, seeds, strict=True)
    ]
    assert alone == together


def test_the_penalised_loss_that_is_traced_counts_every_layer_and_both_kinds_of_penalty():
    for layer, kind in (("spectral", "square"), ("group_lasso", "norm")):
        trial = trial_of(layer=layer, spectral_layers=2, eigenvalue_l2=0.5, eigenvector_l2=2.0)
        student, held = student_of(trial)
        phi = [student.params[f"layer{number}.eigenvectors"] for number in (1, 2)]
        if kind == "norm":
            penalty = sum(2 * each.norm(dim=1).sum() for each in phi)
        else:
            eigenvalues = (student.params[f"layer{number}.eigenvalues"] for number in (1, 2))
            penalty = sum(2 * each.square().sum() for each in phi) + sum(
                each.square().sum() / 2 for each in eigenvalues
            )
        traced = spectral.trace(student, held, trial)["train_loss"]
        assert traced == pytest.approx(spectral.mse(student, held["train"]) + float(penalty), rel=1e-6)


@pytest.mark.parametrize("prune_by, left", [("threshold", 7), ("percentile", 4), ("count", 2)])
def test_fine_tuning_repairs_what_pruning_took_and_wakes_no_node(prune_by, left):
    settings = {"prune_threshold": 0.0, "prune_percentile": 50.0, "prune_keep": 2, "finetune_epochs": 100}
    trial = trial_of(**settings, prune_by=prune_by, samples=500, eigenvector_l2=1e-3)
    student, held = student_of(trial)
    start = Fitted(student.model, spectral.core(student.params, spectral.survivors(student.params, trial)), {})
    tuned = spectral.finetuned(start, held, trial)
    assert spectral.mse(tuned, held["train"]) < 0.7 * spectral.mse(start, held["train"])
    assert len(spectral.node_scores(tuned.params)) == left
    metrics = spectral.measure(student, held, trial).metrics
    assert metrics["test_mse_finetuned"] == spectral.mse(tuned, held["test"])
    assert metrics["test_mse_pruned"] == pytest.approx(spectral.mse(start, held["test"]), rel=1e-5)


def test_more_spectral_layers_than_layers_are_refused():
    spectral.prepare(trial_of(depth=2, spectral_layers=2))
    with pytest.raises(UserError, match=r"spectral_layers is 3, but the student has 2 hidden layers"):
        spectral.prepare(trial_of(depth=2, spectral_layers=3))


def test_curves_of_single_nodes_are_recorded_where_they_are_asked_for():
    def curves(**values):
        [outcome] = run_pack(spectral, [trial_of(**values)], [SEEDS], MemoryShelf())
        return {curve.metric: curve for curve in outcome.measured.curves}

    few, many, deep = curves(observables=False), curves(), curves(spectral_layers=2)
    assert set(few) == {"mse_keep", "test_mse", "alive_nodes", "train_loss"}
    assert set(many) == {metric.name for metric in spectral.METRICS if metric.curve} - {"alive_by_layer"}
    assert list(deep["alive_by_layer"].steps) == [1, 2]
    assert deep["alive_by_layer"].values[0] == deep["alive_nodes"].values[-1]


def test_double_precision_reaches_every_number():
    held = spectral.start(trial_of(dtype="float64"), SEEDS, MemoryShelf()).held
    assert held["test"]["y"].dtype == torch.float64
    (outcome,) = run_pack(spectral, [trial_of(dtype="float64")], [SEEDS], MemoryShelf())
    (single,) = run_pack(spectral, [trial_of()], [SEEDS], MemoryShelf())
    got, near = outcome.measured.metrics["test_mse"], single.measured.metrics["test_mse"]
    assert got == pytest.approx(near, rel=1e-3) and got != near
