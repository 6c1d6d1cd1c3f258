"""torchvision's classifiers by name: the original's numbers, its own blocks as stages, and what is adapted."""

import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from tsd.engine.rng import Streams
from tsd.errors import UserError
from tsd.models import MODELS, _torchvision, check, classifiers, load
from tsd.models._base import below

SMALL, LARGE = (3, 32, 32), (3, 96, 96)
CHAINED = {
    "densenet121": "DenseNet",
    "efficientnet_b0": "EfficientNet",
    "googlenet": "GoogLeNet",
    "inception_v3": "Inception3",
    "mnasnet0_5": "MNASNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_small": "MobileNetV3",
    "regnet_y_400mf": "RegNet",
    "resnet18": "ResNet",
    "shufflenet_v2_x0_5": "ShuffleNetV2",
    "vgg11_bn": "VGG",
    "alexnet": "AlexNet",
}
NO_AUX = {"aux_logits": False, "init_weights": False}
OPTIONS = {"vgg11_bn": {"init_weights": False}, "googlenet": NO_AUX, "inception_v3": NO_AUX}
STAGED = ("densenet121", "efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5")
WHOLE = ("convnext_tiny", "swin_t", "swin_v2_t", "vit_b_32")


def built(name, shape=SMALL, classes=10):
    return load(f"torchvision/{name}").build(0, 0, "relu", shape, classes)


def start(model, seed=0):
    return model.init(lambda purpose: Streams({"init": seed}).generator("init", purpose))


def images(n=2, shape=SMALL, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, *shape), dtype=np.float32))


def test_every_class_that_is_chained_is_tested():
    assert set(CHAINED.values()) == set(_torchvision.CHAINS)


@pytest.mark.parametrize("name", CHAINED)
def test_a_chain_of_blocks_is_the_original(name):
    """The same weights in torchvision's own forward; images are large enough for its own stem."""
    original = _torchvision._zoo().get_model(name, weights=None, num_classes=10, **OPTIONS.get(name, {})).eval()
    assert type(original).__name__ == CHAINED[name]
    model = built(name, LARGE)
    state = dict(zip(dict(original.named_parameters()), model.module.parameters(), strict=True))
    x = images(1, LARGE)
    with torch.no_grad():
        expected = functional_call(original, state, (x,))
        output = model.forward(dict(model.module.named_parameters()), dict(model.module.named_buffers()), x).output
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("name", STAGED)
def test_stages_go_through_their_activation_and_their_tails_are_the_rest(name):
    model = built(name)
    params, buffers = start(model)
    view = model.forward(params, buffers, images(4), train=True)
    sizes = [view.features[stage.end].shape[-1] for stage in model.stages]
    assert len(sizes) > 3
    assert sizes == sorted(set(sizes), reverse=True)
    for number, stage in enumerate(model.stages):
        before, after = view.features[stage.before], view.features[stage.after]
        assert before.min() < 0 < before.max()
        assert before.shape[2:] == view.features[stage.end].shape[2:]
        torch.testing.assert_close(model.module.get_submodule(stage.after)(before), after)
        tail = model.tail(params, buffers, view.features[stage.end], after=number, train=True)
        assert torch.equal(tail.output, view.output)


def test_the_stages_of_a_resnet_are_its_layers():
    """The sum with the shortcut is what the last activation reads: its batch norm's result, added to in place."""
    model = built("resnet18")
    assert [(s.before, s.after, s.end) for s in model.stages] == [
        (f"layer{i}.1.bn2", f"layer{i}.1.relu", f"layer{i}") for i in (1, 2, 3, 4)
    ]
    features = model.forward(*start(model), images()).features
    for i in (1, 2, 3, 4):
        assert torch.equal(features[f"layer{i}.1.bn2"].relu(), features[f"layer{i}"])


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v3_small", "swin_t"])
def test_the_embedding_is_what_the_last_layer_reads(name):
    model = built(name, classes=7)
    params, buffers = start(model)
    view = model.forward(params, buffers, images(3))
    weight, bias = list(params.values())[-2:]
    assert weight.shape[0] == 7
    torch.testing.assert_close(view.output, view.features[model.embedding] @ weight.T + bias)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_a_network_that_ends_in_a_convolution_is_the_original_and_is_embedded_in_front_of_it(name):
    original = _torchvision._zoo().get_model(name, weights=None, num_classes=10).eval()
    model = built(name, LARGE)
    state = dict(zip(dict(original.named_parameters()), model.module.parameters(), strict=True))
    params, x = dict(model.module.named_parameters()), images(2, LARGE)
    with torch.no_grad():
        view = model.forward(params, {}, x)
        torch.testing.assert_close(view.output, functional_call(original, state, (x,)))
        read = functional_call(original.features, below("features.", state), (x,))
    torch.testing.assert_close(view.features[model.embedding], read.mean((2, 3)))
    assert model.forward(*start(built(name)), images()).output.shape == (2, 10)


@pytest.mark.parametrize("name", WHOLE)
def test_transformers_have_no_stages_but_learn(name):
    model = built(name)
    assert model.stages == ()
    params, buffers = start(model)

    def loss(params):
        return cross_entropy(model.forward(params, buffers, images(2), train=True).output, torch.tensor([1, 2]))

    slopes = grad(loss)(params)
    assert all(slope.isfinite().all() for slope in slopes.values())
    assert sum(bool(slope.any()) for slope in slopes.values()) > 0.9 * len(slopes)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_a_stack_has_the_gradients_of_each_network(name):
    model = built(name)
    alone = [[{k: v.double() for k, v in group.items()} for group in start(model, seed)] for seed in (0, 1)]
    x, y = torch.stack([images(5, seed=seed).double() for seed in (0, 1)]), torch.arange(10).reshape(2, 5)

    def loss(params, buffers, x, y):
        return cross_entropy(model.forward(params, buffers, x, train=True).output, y)

    params, buffers = ({k: torch.stack([o[k] for o in group]) for k in group[0]} for group in zip(*alone, strict=True))
    stacked = vmap(grad(loss))(params, buffers, x, y)
    for i, own in enumerate(alone):
        for key, value in grad(loss)(*own, x[i], y[i]).items():
            torch.testing.assert_close(stacked[key][i], value, msg=key)


def test_small_images_keep_their_size_through_a_stem_of_7x7():
    """CIFAR's ResNet-18 for 10 classes has 11,173,962 parameters: 7,680 fewer in its stem than the original."""
    small, large = (start(built("resnet18", shape))[0] for shape in (SMALL, LARGE))
    assert sum(p.numel() for p in small.values()) == 11_173_962
    assert large["conv1.weight"].shape == (64, 3, 7, 7)
    assert small["conv1.weight"].shape == (64, 3, 3, 3)
    assert built("densenet121").stages[0].end == "denseblock1"


def test_grey_images_can_be_read():
    model = built("shufflenet_v2_x0_5", (1, 28, 28))
    assert model.forward(*start(model), images(2, (1, 28, 28))).output.shape == (2, 10)


def test_nothing_in_a_network_is_random():
    """Dropout and stochastic depth would draw from torch's global state."""
    model = built("efficientnet_b0")
    params, buffers = start(model)
    before = torch.get_rng_state()
    first, second = (model.forward(params, buffers, images(), train=True).output for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


def test_building_asks_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    start(built("shufflenet_v2_x0_5"))


def test_first_weights_of_transformers_are_their_constants_and_narrow_normals():
    tiny, swin = (start(built(name))[0] for name in ("convnext_tiny", "swin_t"))
    assert tiny["features.1.0.layer_scale"].unique().tolist() == [pytest.approx(1e-6)]
    table = swin["features.7.0.attn.relative_position_bias_table"]
    assert table.std() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("resnet18", (16, 0, "relu", SMALL), "leave width and depth at 0 .* instead of 16, 0 and relu"),
        ("resnet18", (0, 0, "tanh", SMALL), "activation of its own"),
        ("resnet18", (0, 0, "relu", (64,)), r"`torchvision/resnet18` reads images .* shape \(64,\)"),
        ("alexnet", (0, 0, "relu", SMALL), r"`torchvision/alexnet` cannot read images of shape \(3, 32, 32\)"),
        ("vit_b_16", (0, 0, "relu", (1, 28, 28)), r"cannot read images of shape \(1, 28, 28\)"),
    ],
)
def test_what_cannot_be_built_is_said(name, arguments, said):
    with pytest.raises(UserError, match=said):
        load(f"torchvision/{name}").build(*arguments, 10)


def test_names_stay_the_files_and_classifiers_leave_regression_out():
    assert "spectral_mlp" in MODELS.names()
    assert "spectral_mlp" not in classifiers()
    assert {"cnn", "lenet5", "mlp", "mobilenetv2", "plain", "resnet", "vgg", "wrn"} <= set(classifiers())
    assert load("resnet") is MODELS.load("resnet")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("resnett", "resnet"), ("torchvision/resnet81", "torchvision/resnet18"), ("mobilnetv2", "mobilenetv2")],
)
def test_an_unknown_name_is_said_with_the_nearest(name, nearest):
    for reject in (check, load):
        with pytest.raises(UserError, match=rf"no classifier `{name}`; there are `cnn`.* Did you mean `{nearest}`\?"):
            reject(name)


def test_every_name_at_hand_is_good():
    for name in [*classifiers(), *(f"torchvision/{each}" for each in _torchvision.names())]:
        check(name)
    for name in ("torchvision/fcn_resnet50", "spectral_mlp"):
        with pytest.raises(UserError, match=f"no classifier `{name}`"):
            check(name)


def test_names_of_files_are_checked_without_torch():
    code = "import sys; from tsd.models import check; check('resnet'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
