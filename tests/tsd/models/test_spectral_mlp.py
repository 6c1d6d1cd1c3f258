"""Spectral networks of several spectral layers: their formula, their gradients, their start."""

import pytest
import torch

from tsd.engine.rng import Streams
from tsd.models._base import Layer
from tsd.models.spectral_mlp import SpectralMLP, kernel

X = torch.randn(11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
KINDS = [("spectral", 1), ("spectral", 2), ("spectral", 3), ("direct", 2), ("group_lasso", 3)]


def init(model):
    params = model.init(lambda purpose: Streams({"init": 0}).generator("init", purpose))[0]
    return {name: tensor.double() for name, tensor in params.items()}


def test_a_deep_spectral_network_is_its_formula():
    model = SpectralMLP(5, 8, 3, "tanh", depth=3, spectral_layers=2)
    params = init(model)
    for number, width in ((1, 8), (2, 3)):
        params[f"layer{number}.eigenvalues"] = torch.linspace(-1, 2, width, dtype=torch.float64)
    signal = X
    for number in (1, 2):
        weights = torch.diag(-params[f"layer{number}.eigenvalues"]) @ params[f"layer{number}.eigenvectors"]
        signal = torch.tanh(signal @ weights.T)
    by_hand = torch.tanh(signal @ params["layer3.weight"].T).sum(1)
    torch.testing.assert_close(model.forward(params, {}, X).output, by_hand)


@pytest.mark.parametrize("layer, spectral_layers", KINDS)
def test_gradients_pulled_back_from_the_kernels_are_those_of_autograd(layer, spectral_layers):
    model = SpectralMLP(5, 6, 4, "erf", layer, 3, spectral_layers)
    leaves = {name: (tensor + 0.3).requires_grad_() for name, tensor in init(model).items()}
    layers = model.layers(leaves)
    loss = model.forward(leaves, {}, X).output.square().sum()
    kernels = [each.weight for each in layers[:-1]]
    output = X
    for weight in kernels:
        output = torch.erf(output @ weight / 2**0.5)
    of_kernels = torch.autograd.grad(output.sum(1).square().sum(), kernels, retain_graph=True)
    expected = torch.autograd.grad(loss, list(leaves.values()))
    got = model.pullback(leaves, [*(Layer(gradient, None) for gradient in of_kernels), layers[-1]])
    assert got.keys() == leaves.keys()
    for name, gradient in zip(leaves, expected, strict=True):
        torch.testing.assert_close(got[name], gradient)


@pytest.mark.parametrize("layer, spectral_layers", KINDS)
def test_every_kind_of_layer_starts_from_the_same_weights(layer, spectral_layers):
    """λ = 1 is w = −φ, of a plain layer's size; equal purposes draw equal φ."""
    params = init(SpectralMLP(5, 6, 4, "relu", layer, 3, spectral_layers))
    twin = init(SpectralMLP(5, 6, 4, "relu", "direct", 3, spectral_layers))
    for number in (1, 2, 3):
        assert torch.equal(kernel(params, number), kernel(twin, number))
        assert (f"layer{number}.weight" in params) == (number > spectral_layers)
    assert sum(name.endswith("eigenvalues") for name in params) == (spectral_layers if layer == "spectral" else 0)


def test_a_stack_of_networks_has_the_kernels_of_each():
    model = SpectralMLP(5, 6, 4, spectral_layers=2)
    one, two = (init(model) | {"layer1.eigenvalues": torch.full((6,), c, dtype=torch.float64)} for c in (0.5, -2.0))
    stack = {name: torch.stack([one[name], two[name]]) for name in one}
    for number in (1, 2):
        torch.testing.assert_close(kernel(stack, number)[1], kernel(two, number))
    assert [layer.weight.shape for layer in model.layers(stack)] == [(2, 5, 6), (2, 6, 4), (2, 4, 1)]
