"""Pruning rules and what they leave: masks, zeroed networks and cores agree."""

import pytest
import torch

from tsd.models.spectral_mlp import SpectralMLP
from tsd.studies._spectral_pruning import (
    alive,
    by_count,
    by_percentile,
    by_threshold,
    core,
    node_scores,
    prune,
)

SCORES = torch.tensor([0.5, 2.0, 0.02, 1.0, 0.0, 0.5, 0.1, 1.5])
X = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def network(layer="spectral", activation="relu", depth=3, spectral_layers=2):
    """A random network whose eigenvalues differ, and its parameters."""
    model = SpectralMLP(5, 8, 6, activation, layer, depth, spectral_layers)
    generator = torch.Generator().manual_seed(1)
    shapes = {name: tensor.shape for name, tensor in model.init(lambda purpose: _zeros())[0].items()}
    return model, {name: torch.randn(shape, dtype=torch.float64, generator=generator) for name, shape in shapes.items()}


def _zeros():
    class Zeros:
        def uniform(self, low, high, size):
            return torch.zeros(size).numpy()

    return Zeros()


def test_rules_agree_where_they_ask_for_the_same():
    """Above the fourth largest score there are three nodes; three of eight nodes are what 62.5 % leave."""
    three = by_count(SCORES, 3)
    assert three.tolist() == [False, True, False, True, False, False, False, True]
    assert torch.equal(by_threshold(SCORES, 0.25), three)
    assert torch.equal(by_percentile(SCORES, 62.5), three)


def test_a_percentile_takes_whole_nodes_and_never_more_than_its_share():
    left = [int(by_percentile(SCORES, percent).sum()) for percent in (0, 12, 12.5, 50, 99)]
    assert left == [8, 8, 7, 4, 1]


def test_a_count_takes_the_first_of_equal_nodes_and_all_where_there_are_fewer():
    assert by_count(SCORES, 4).nonzero().flatten().tolist() == [0, 1, 3, 7]
    assert by_count(SCORES, 20).all()


def test_a_threshold_is_a_share_of_the_largest_score_and_takes_dead_nodes_even_at_zero():
    assert torch.equal(by_threshold(SCORES, 0.4), by_threshold(7 * SCORES, 0.4))
    assert by_threshold(SCORES, 0).sum() == 7
    assert not by_threshold(torch.zeros(3), 0).any()


def test_every_layer_has_its_scores_plain_ones_too():
    model, params = network()
    for number, layer in enumerate(model.layers(params)[:-1], start=1):
        torch.testing.assert_close(node_scores(params, number), layer.weight.norm(dim=0))
        assert torch.equal(alive(params, 0.5, number), by_threshold(node_scores(params, number), 0.5))


@pytest.mark.parametrize("layer", ["spectral", "direct"])
@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize("depth, layers", [(2, (1,)), (2, (1, 2)), (3, (1, 3)), (3, (2,))])
def test_the_core_computes_what_pruning_leaves(layer, activation, depth, layers):
    model, params = network(layer, activation, depth)
    keep = {number: by_count(node_scores(params, number), 2 + number) for number in layers}
    small, zeroed = core(params, keep), prune(params, keep)
    outputs = [model.forward(each, {}, X).output for each in (params, zeroed, small)]
    torch.testing.assert_close(outputs[1], outputs[2])
    assert not torch.allclose(outputs[0], outputs[1])
    assert [len(node_scores(small, number)) for number in layers] == [2 + number for number in layers]
    assert {name: tensor.shape for name, tensor in zeroed.items()} == {name: t.shape for name, t in params.items()}


def test_pruning_nothing_changes_nothing_and_pruning_everything_leaves_zero():
    model, params = network()
    every, none = torch.ones(8, dtype=torch.bool), torch.zeros(8, dtype=torch.bool)
    for take in (core, prune):
        assert all(torch.equal(tensor, params[name]) for name, tensor in take(params, {1: every}).items())
        assert not model.forward(take(params, {1: none}), {}, X).output.any()
