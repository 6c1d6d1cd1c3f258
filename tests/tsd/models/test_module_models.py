"""Module families: published sizes, torch's own layers as second implementation, and the same numbers in a stack."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import grad, vmap
from torch.nn.functional import cross_entropy

from tsd.engine.rng import Streams
from tsd.errors import UserError
from tsd.models import cnn, lenet5
from tsd.models._module import from_module

GREY = (1, 28, 28)


def draw(seed=0):
    return lambda purpose: Streams({"init": seed}).generator("init", purpose)


def count(model):
    return sum(p.numel() for p in model.init(draw())[0].values())


def batch(n=8, shape=GREY, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal((n, *shape), dtype=np.float32))
    return x, torch.from_numpy(rng.integers(0, 10, n))


FAMILIES = [(cnn, 4), (lenet5, 3)]


@pytest.mark.parametrize(("width", "size"), [(16, 105_962), (0, 105_962), (4, 6_818)])
def test_cnn_has_the_published_number_of_parameters(width, size):
    assert count(cnn.build(width, 0, "relu", GREY, 10)) == size


@pytest.mark.parametrize(("width", "size"), [(6, 61_706), (0, 61_706)])
def test_lenet5_has_the_published_number_of_parameters(width, size):
    assert count(lenet5.build(width, 0, "relu", (1, 32, 32), 10)) == size


def test_half_width_lenet5_has_half_of_everything():
    params, _ = lenet5.build(3, 0, "relu", GREY, 10).init(draw())
    assert [params[f"{name}.weight"].shape[0] for name in ("conv1", "conv2", "conv3", "hidden")] == [3, 8, 60, 42]


def test_cnn_depth_is_its_number_of_blocks():
    params, _ = cnn.build(3, 3, "tanh", (3, 32, 32), 7).init(draw())
    assert [params[f"conv{i}.weight"].shape[0] for i in (1, 2, 3)] == [3, 6, 12]
    assert params["hidden.weight"].shape == (24, 12 * 4 * 4)


@pytest.mark.parametrize(("family", "width"), FAMILIES)
def test_a_pass_is_the_pass_of_the_plain_module(family, width):
    """Against torch's stateful way: load the weights, call the module, let batch norm move its own statistics."""
    model = family.build(width, 0, "relu", GREY, 10)
    params, buffers = model.init(draw())
    module = family.build(width, 0, "relu", GREY, 10).module
    module.load_state_dict(params | buffers, strict=False)
    x, _ = batch()
    for train in (True, False):
        module.train(train)
        view = model.forward(params, buffers, x, train=train)
        assert torch.allclose(view.output, module(x), atol=1e-5)
        buffers = view.buffers
        for name, buffer in module.named_buffers():
            assert torch.allclose(buffers[name], buffer, atol=1e-6)


def test_a_pass_leaves_what_it_was_given_as_it_was():
    model = cnn.build(4, 0, "relu", GREY, 10)
    params, buffers = model.init(draw())
    before = {k: v.clone() for k, v in (params | buffers).items()}
    x, _ = batch()
    moved = model.forward(params, buffers, x, train=True).buffers
    assert all(torch.equal(before[k], v) for k, v in (params | buffers).items())
    assert not torch.equal(moved["norm1.running_mean"], buffers["norm1.running_mean"])
    assert model.forward(params, buffers, x).buffers == buffers


@pytest.mark.parametrize(("family", "width"), FAMILIES)
def test_stacked_networks_have_the_outputs_features_gradients_and_statistics_of_each_alone(family, width):
    model = family.build(width, 0, "relu", GREY, 10)
    alone = [model.init(draw(seed)) for seed in range(3)]
    batches = [batch(seed=seed) for seed in range(3)]

    def loss(params, buffers, x, y):
        view = model.forward(params, buffers, x, train=True)
        return cross_entropy(view.output, y) + view.features["conv2"].square().mean(), view.buffers

    stack = lambda dicts: {k: torch.stack([d[k] for d in dicts]) for k in dicts[0]}  # noqa: E731
    stacked = vmap(grad(loss, has_aux=True))(
        stack([p for p, _ in alone]), stack([b for _, b in alone]), *map(torch.stack, zip(*batches, strict=True))
    )
    for i, ((params, buffers), (x, y)) in enumerate(zip(alone, batches, strict=True)):
        for one, many in zip(grad(loss, has_aux=True)(params, buffers, x, y), stacked, strict=True):
            for name in one:
                assert torch.allclose(one[name], many[name][i], atol=1e-5), name


@pytest.mark.parametrize(("family", "width"), FAMILIES)
def test_features_before_the_activation_keep_their_negative_values(family, width):
    model = family.build(width, 0, "relu", GREY, 10)
    features = model.forward(*model.init(draw()), batch()[0]).features
    assert features["conv1"].min() < 0
    assert features["hidden"].min() < 0
    assert torch.equal(features["embedding"], features["hidden"].relu())


def test_in_place_activations_do_not_overwrite_the_feature_in_front_of_them():
    model = from_module(lambda: nn.Sequential(nn.Linear(3, 5), nn.ReLU(inplace=True)), ("0",))
    assert model.forward(*model.init(draw()), torch.randn(9, 3)).features["0"].min() < 0


def test_an_unknown_feature_point_is_named_with_those_that_exist():
    model = cnn.build(4, 0, "relu", GREY, 10)
    features = model.forward(*model.init(draw()), batch()[0]).features
    with pytest.raises(UserError, match=r"no feature point `conv3`; it has `conv1`, `norm1`"):
        features["conv3"]
    with pytest.raises(UserError, match=r"no feature point `con1` .* submodules are `0`"):
        from_module(lambda: nn.Sequential(nn.Linear(1, 1)), ("con1",))


def test_one_sample_is_too_few_for_batch_norm_over_vectors_in_training_alone():
    model = from_module(lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    params, buffers = model.init(draw())
    x = torch.ones(2, 3)
    with pytest.raises(UserError, match=r"one sample.*batch_size"):
        model.forward(params, buffers, x[:1], train=True)
    assert model.forward(params, buffers, x[:1]).output.isfinite().all()
    assert model.forward(params, buffers, x, train=True).output.isfinite().all()


def test_weights_fill_torchs_default_bounds_and_norms_start_at_one_and_zero():
    """nn.Linear and nn.Conv2d draw U(±1/√fan_in): half-width and standard deviation 1/√(3 fan_in)."""
    params, buffers = cnn.build(16, 0, "relu", GREY, 10).init(draw())
    fan_in = 32 * 49
    weight = params["hidden.weight"]
    assert weight.abs().max() == pytest.approx(fan_in**-0.5, rel=1e-3)
    assert weight.std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.02)
    assert params["hidden.bias"].abs().max() <= fan_in**-0.5
    assert params["norm1.weight"].unique().tolist() == [1]
    assert params["norm1.bias"].unique().tolist() == [0]
    assert {k: v.unique().tolist() for k, v in buffers.items()} == {
        f"norm{i}.running_{kind}": [value] for i in (1, 2) for kind, value in (("mean", 0), ("var", 1))
    }


def test_a_layers_weights_depend_on_its_name_shape_and_seed_alone():
    two, three = (cnn.build(4, depth, "relu", GREY, 10).init(draw())[0] for depth in (2, 3))
    assert torch.equal(two["conv2.weight"], three["conv2.weight"])
    other = cnn.build(4, 2, "relu", GREY, 10).init(draw(1))[0]
    assert not torch.equal(two["conv2.weight"], other["conv2.weight"])


def test_the_activation_is_that_of_the_fully_connected_families():
    x, _ = batch()
    for name, value in (("tanh", torch.tanh), ("erf", lambda z: torch.erf(z / 2**0.5))):
        model = cnn.build(4, 0, name, GREY, 10)
        features = model.forward(*model.init(draw()), x).features
        assert torch.allclose(features["act1"], value(features["norm1"]))


def test_building_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    cnn.build(4, 0, "relu", GREY, 10).init(draw())
    assert torch.equal(before, torch.get_rng_state())


def test_a_layer_without_a_rule_is_refused_rather_than_drawn_wrongly():
    with pytest.raises(TypeError, match="`weight` of a PReLU"):
        from_module(nn.PReLU).init(draw())


@pytest.mark.parametrize(
    ("family", "arguments", "said"),
    [
        (cnn, (4, 0, "relu", (64,), 10), r"reads images .* inputs of shape \(64,\)"),
        (cnn, (4, 4, "relu", (1, 8, 8), 10), "of depth 4 halves its images 4 times.*can be halved 3 times"),
        (lenet5, (6, 2, "relu", GREY, 10), "depth of its own"),
        (lenet5, (6, 0, "relu", (1, 8, 8), 10), "28×28 or 32×32"),
    ],
)
def test_inputs_that_do_not_fit_are_said(family, arguments, said):
    with pytest.raises(UserError, match=said):
        family.build(*arguments)


@pytest.mark.parametrize("train", [True, False])
def test_a_pass_is_in_the_mode_that_is_asked_for_whatever_ran_before(train):
    """A tail shares its layers with the whole network."""
    model = cnn.build(2, 2, "relu", GREY, 10)
    params, buffers = model.init(draw())
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, *GREY))).float()
    before = model.forward(params, buffers, x, train=train)
    for other in (train, not train):
        own, state = ({k: d[k] for k in model.tail_names(0) if k in d} for d in (params, buffers))
        model.tail(own, state, before.features["pool1"], after=0, train=other)
        again = model.forward(params, buffers, x, train=train)
        assert torch.equal(again.output, before.output)
        tail = model.tail(own, state, before.features["pool1"], after=0, train=train)
        torch.testing.assert_close(tail.output, before.output)
