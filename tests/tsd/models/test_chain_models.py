"""MLPs and spectral networks against torch's own layers and against each other."""

import pytest
import torch
from torch import nn

from tsd.engine.rng import Streams
from tsd.models import MODELS
from tsd.models._chain import ACTIVATIONS
from tsd.models.mlp import MLP, build
from tsd.models.spectral_mlp import SpectralMLP

X = torch.randn(11, 5, generator=torch.Generator().manual_seed(0))


def init(model, seed=0):
    return model.init(lambda purpose: Streams({"init": seed}).generator("init", purpose))[0]


@pytest.mark.parametrize("activation, layer", [("relu", nn.ReLU()), ("tanh", nn.Tanh()), ("identity", nn.Identity())])
def test_an_mlp_is_a_sequence_of_linear_layers(activation, layer):
    model = MLP((5, 7, 3, 2), activation)
    params = init(model)
    torch_net = nn.Sequential(nn.Linear(5, 7), layer, nn.Linear(7, 3), layer, nn.Linear(3, 2))
    torch_net.load_state_dict({f"{2 * int(name[5]) - 2}{name[6:]}": tensor for name, tensor in params.items()})
    view = model.forward(params, {}, X)
    torch.testing.assert_close(view.output, torch_net(X))
    torch.testing.assert_close(view.features["hidden2"], torch_net[:4](X))


def test_erf_is_the_gaussian_error_function_of_theory():
    """erf(z/√2) = 2 Φ(z) − 1 with Φ the normal distribution function."""
    z = torch.linspace(-3, 3, 31, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS["erf"].value(z), 2 * torch.distributions.Normal(0, 1).cdf(z) - 1)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_those_of_autograd(name):
    activation = ACTIVATIONS[name]
    z = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    slope = torch.linspace(1, 3, 41, dtype=torch.float64)
    (expected,) = torch.autograd.grad(activation.value(z), z, slope)
    given = z.detach().clone()
    applied = activation.apply(given)
    torch.testing.assert_close(applied, activation.value(z).detach())
    torch.testing.assert_close(activation.pullback(slope.clone(), given, applied), expected)


def test_an_output_of_width_one_has_no_class_axis():
    for model in (MLP((5, 1)), SpectralMLP(5, 4, 3)):
        assert model.forward(init(model), {}, X).output.shape == (11,)


def test_weights_are_drawn_within_torchs_bounds_and_fill_them():
    params = init(MLP((400, 300, 1)))
    for name, tensor in params.items():
        bound = (400 if name.startswith("layer1") else 300) ** -0.5
        assert 0 < tensor.abs().max() <= bound and tensor.dtype == torch.float32
    assert params["layer1.weight"].std() == pytest.approx(400**-0.5 / 3**0.5, rel=0.01)


def test_equal_seeds_draw_equal_weights_and_others_do_not():
    for model in (MLP((5, 7, 2)), SpectralMLP(5, 4, 3)):
        first, same, other = init(model, 1), init(model, 1), init(model, 2)
        assert all(torch.equal(first[name], same[name]) for name in first)
        assert not any(torch.equal(first[name], other[name]) for name in first if name != "layer1.eigenvalues")


def test_a_spectral_layer_starts_as_the_direct_one():
    """λ = 1: both compute −φ x, from the same draw of φ."""
    spectral, direct = SpectralMLP(5, 8, 3, "tanh"), SpectralMLP(5, 8, 3, "tanh", "direct")
    with_eigenvalues, without = init(spectral), init(direct)
    assert set(with_eigenvalues) - set(without) == {"layer1.eigenvalues"}
    torch.testing.assert_close(
        spectral.forward(with_eigenvalues, {}, X).output, direct.forward(without, {}, X).output, rtol=0, atol=0
    )


def test_a_spectral_network_is_its_formula():
    model = SpectralMLP(5, 8, 3)
    params = init(model)
    params["layer1.eigenvalues"] = torch.linspace(-1, 2, 8)
    weights = -params["layer1.eigenvalues"][:, None] * params["layer1.eigenvectors"]
    by_hand = ((X @ weights.T).relu() @ params["layer2.weight"].T).relu().sum(1)
    torch.testing.assert_close(model.forward(params, {}, X).output, by_hand)


def test_glorot_bounds_of_the_spectral_network():
    params = init(SpectralMLP(30, 200, 40))
    for name, fans in (("layer1.eigenvectors", 230), ("layer2.weight", 240)):
        bound = (6 / fans) ** 0.5
        assert 0.98 * bound < params[name].abs().max() <= bound


def test_build_reads_a_width_and_a_depth_and_has_defaults():
    assert build(16, 1, "tanh", (1, 8, 8), 10) == MLP((64, 16, 10), "tanh")
    assert build(0, 0, "relu", (64,), 10) == MLP((64, 256, 256, 10), "relu")
    assert {"mlp", "spectral_mlp"} <= set(MODELS.names())
