"""An over-wide student that was taught, pruned to its core."""

import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.models import mlp, spectral
from tsd.studies import distill
from tsd.studies._distill_pruning import kept_counts
from tsd.studies._spectral_pruning import node_scores, prune

WIDTH = 12


SHELF = MemoryShelf()


def trial(**changed):
    student = {"student": "spectral", "student_width": WIDTH, "prune_by": "count", "prune_keep": WIDTH}
    return distill.Trial.of(distill.EXAMPLE | student | changed)


def measured(**changed):
    [outcome] = run_pack(distill, [trial(**changed)], [Streams(dict.fromkeys(STREAMS, 0))], SHELF)
    return outcome.measured


@pytest.mark.parametrize("student", ["spectral", "mlp"])
@pytest.mark.parametrize("depth", [1, 2])
def test_who_keeps_every_node_keeps_its_accuracy(student, depth):
    found = measured(student=student, student_depth=depth, steps=40)
    [curve] = [each for each in found.curves if each.metric == "accuracy_keep"]
    assert found.metrics["test_accuracy_pruned"] == found.metrics["test_accuracy"] == curve.values[-1]
    assert (curve.steps[0], curve.steps[-1]) == (1, WIDTH)


@pytest.mark.parametrize("family", [spectral, mlp])
def test_a_pruned_node_says_nothing(family):
    """Without the node, and with its incoming weights set to zero: the same answers."""
    model = family.build(WIDTH, 2, "relu", (7,), 3)
    params, _ = model.init(lambda name: Streams({"init": 0}).generator("init", name))
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(WIDTH) != 4
    left = prune(params, {1: mask})
    assert (model.forward(left, {}, x).features["hidden1"][:, 4] == 0).all()
    others = model.forward(left, {}, x).features["hidden1"][:, mask]
    assert torch.equal(others, model.forward(params, {}, x).features["hidden1"][:, mask])


def test_a_spectral_student_starts_with_eigenvalues_one_and_weighs_its_nodes_as_its_kernel_does():
    model = spectral.build(WIDTH, 1, "relu", (7,), 3)
    params, _ = model.init(lambda name: Streams({"init": 0}).generator("init", name))
    assert (params["layer1.eigenvalues"] == 1).all()
    scaled = params | {"layer1.eigenvalues": torch.arange(1.0, WIDTH + 1)}
    [hidden, _] = model.layers(scaled)
    assert torch.allclose(node_scores(scaled), hidden.weight.norm(dim=0))


def test_the_penalty_leaves_fewer_nodes_alive():
    common = {"samples_per_class": 40, "steps": 400, "batch_size": 100, "lr": 1e-2, "prune_by": "threshold"}
    alive = [
        measured(**common, eigenvector_l2=b, eigenvalue_l2=a).metrics["alive_nodes"] for a, b in ((0, 0), (0.02, 0.02))
    ]
    assert alive[1] < alive[0] <= WIDTH


def test_only_students_with_hidden_nodes_are_pruned():
    with pytest.raises(UserError, match=r"prune_by: count prunes hidden nodes.*this one is `cnn`"):
        distill.prepare(trial(student="cnn"))


@pytest.mark.parametrize("width", [1, 2, 20, 500])
def test_counts_of_kept_nodes_go_from_one_to_all(width):
    counts = kept_counts(width)
    assert counts[0] == 1
    assert counts[-1] == width
    assert counts == sorted(set(counts))
