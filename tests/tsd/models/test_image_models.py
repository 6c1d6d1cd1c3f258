"""Networks of the distillation tables against published sizes, their papers' formulas and torchvision's blocks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from tsd.data._operators import datasets
from tsd.engine.fit import fit
from tsd.engine.rng import Streams
from tsd.engine.stack import side_by_side
from tsd.errors import UserError
from tsd.models import MODELS
from tsd.studies._base import GradientStudy, Start

COLOUR = (3, 32, 32)
NAMES = ("mobilenetv2", "plain", "resnet", "vgg", "wrn")


def built(name, width=0, depth=0, classes=10, shape=COLOUR, *, activation="relu"):
    return MODELS.load(name).build(width, depth, activation, shape, classes)


def start(model, seed=0):
    return model.init(lambda purpose: Streams({"init": seed}).generator("init", purpose))


def count(model):
    return sum(p.numel() for p in model.module.parameters())


def images(n=4, shape=COLOUR, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, *shape), dtype=np.float32))


def torchvision_models():
    datasets()  # makes torchvision importable beside any torch
    import torchvision.models

    return torchvision.models


def residual_size(stem, widths, blocks, classes, *, shortcut_norm):
    """Parameters of a residual network: two 3×3 convolutions a block, a 1×1 shortcut where the width changes, and two a
    channel for norms: on the stem and behind every 3×3 convolution. Pre-activated networks have theirs in front of each
    3×3 convolution and one at the end, which are as many."""
    total, inputs = 27 * stem + 2 * stem, stem
    for width in widths:
        for _ in range(blocks):
            total += 9 * inputs * width + 9 * width * width + 2 * 2 * width
            total += inputs * width + 2 * width * shortcut_norm if inputs != width else 0
            inputs = width
    return total + inputs * classes + classes


@pytest.mark.parametrize(
    ("depth", "classes", "published"),
    [(20, 10, 272_474), (56, 10, 855_770), (110, 10, 1_730_714), (8, 10, 78_042), (20, 100, 278_324)],
)
def test_resnets_have_their_published_sizes(depth, classes, published):
    """0.27, 0.85 and 1.7 million: arXiv:1512.03385, table 6."""
    by_formula = residual_size(16, (16, 32, 64), (depth - 2) // 6, classes, shortcut_norm=True)
    assert count(built("resnet", 0, depth, classes)) == by_formula == published


@pytest.mark.parametrize(("depth", "published"), [(8, 1_233_540), (32, 7_433_860)])
def test_resnets_of_width_64_are_the_4x_networks(depth, published):
    by_formula = residual_size(32, (64, 128, 256), (depth - 2) // 6, 100, shortcut_norm=True)
    assert count(built("resnet", 64, depth, 100)) == by_formula == published


@pytest.mark.parametrize(
    ("depth", "k", "classes", "published"),
    [(16, 2, 100, 703_284), (40, 2, 100, 2_255_156), (40, 1, 100, 569_780), (16, 1, 10, 175_066)],
)
def test_wide_resnets_have_their_published_sizes(depth, k, classes, published):
    """WRN-16-2 0.70, WRN-40-2 2.26 and WRN-40-1 0.57 million: arXiv:1910.10699, appendix. The shortcut has no norm."""
    by_formula = residual_size(16, (16 * k, 32 * k, 64 * k), (depth - 4) // 6, classes, shortcut_norm=False)
    assert count(built("wrn", k, depth, classes)) == by_formula == published


@pytest.mark.parametrize(
    ("depth", "channels", "published"),
    [
        (8, (64, 128, 256, 512, 512), 3_965_028),
        (13, (64, 64, 128, 128, 256, 256, 512, 512, 512, 512), 9_462_180),
    ],
)
def test_vggs_have_their_published_sizes(depth, channels, published):
    sizes = [9 * a * b + b + 2 * b for a, b in zip((3, *channels), channels, strict=False)]
    assert count(built("vgg", 0, depth, 100)) == sum(sizes) + 512 * 100 + 100 == published


def test_mobilenetv2_has_the_size_of_the_original():
    original = torchvision_models().mobilenet_v2(weights=None, num_classes=10)
    assert count(built("mobilenetv2")) == sum(p.numel() for p in original.parameters()) == 2_236_682


@pytest.mark.parametrize(
    ("depth", "classes", "channels", "hidden", "side"),
    [
        (2, 10, (16, 16), (), 8),
        (4, 10, (16, 16, 32, 32), (), 8),
        (6, 10, (16, 16, 32, 32, 64, 64), (), 4),
        (8, 10, (16, 16, 32, 32, 64, 64, 128, 128), (64,), 2),
        (10, 10, (32, 32, 64, 64, 128, 128, 256, 256, 256, 256), (128,), 2),
        (2, 100, (32, 32), (), 8),
        (4, 100, (32, 32, 64, 64), (), 8),
        (6, 100, (32, 32, 64, 64, 128, 128), (), 8),
        (8, 100, (32, 32, 64, 64, 128, 128, 256, 256), (64,), 2),
        (10, 100, (32, 32, 64, 64, 128, 128, 256, 256, 256, 256), (512,), 2),
    ],
)
def test_plain_networks_are_those_of_the_assistant_paper(depth, classes, channels, hidden, side):
    params, _ = start(built("plain", 0, depth, classes))
    assert tuple(params[f"conv{n}.weight"].shape[0] for n in range(1, depth + 1)) == channels
    affine = (channels[-1] * side**2, *hidden, classes)
    convolutions = sum(9 * a * b + b + 2 * b for a, b in zip((3, *channels), channels, strict=False))
    assert sum(p.numel() for p in params.values()) == convolutions + sum(a * b + b for a, b in pairwise(affine))


def test_width_scales_every_layer_of_a_plain_network():
    params, _ = start(built("plain", 8, 10, 100))
    assert [params[f"conv{n}.weight"].shape[0] for n in (1, 3, 5, 10)] == [8, 16, 32, 64]
    assert params["hidden.weight"].shape[0] == 128


def loaded(module, params):
    """`module` in evaluation mode with the values of `params`, in order."""
    names = [name for name, _ in module.named_parameters()]
    module.eval()
    return lambda x: functional_call(module, dict(zip(names, params.values(), strict=True)), (x,))


def test_mobilenetv2_is_the_original_with_a_smaller_stem_stride():
    """torchvision's network, with the two strides of the small-image stem set to 1 and the same weights in order."""
    original = torchvision_models().mobilenet_v2(weights=None, num_classes=10, dropout=0.0)
    original.features[0][0].stride = (1, 1)
    original.features[2].conv[1][0].stride = (1, 1)
    model = built("mobilenetv2")
    params, buffers = start(model)
    x = images(shape=(3, 16, 16))
    torch.testing.assert_close(model.forward(params, buffers, x).output, loaded(original, params)(x))


def test_a_resnet_is_a_chain_of_basic_blocks():
    """torchvision's BasicBlock as second implementation."""
    zoo = torchvision_models().resnet

    def block(inputs, outputs, stride):
        shortcut = nn.Sequential(zoo.conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs)) if stride > 1 else None
        return zoo.BasicBlock(inputs, outputs, stride, shortcut)

    blocks = [block(a, b, s) for a, b, s in ((4, 4, 1), (4, 4, 1), (4, 8, 2), (8, 8, 1), (8, 16, 2), (16, 16, 1))]
    stem = [zoo.conv3x3(3, 4), nn.BatchNorm2d(4), nn.ReLU()]
    chain = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    model = built("resnet", 4, 14)
    params, buffers = start(model)
    torch.testing.assert_close(model.forward(params, buffers, images()).output, loaded(chain, params)(images()))


@pytest.mark.parametrize("k", [1, 2])
def test_a_wide_resnet_is_its_papers_chain_of_pre_activated_blocks(k):
    """x ← shortcut + conv(act(norm(conv(act(norm(x)))))), the shortcut being x, or a 1×1 convolution of act(norm(x))
    where the width changes; running statistics are 0 and 1, so a norm divides by √(1 + 1e-5)."""
    model = built("wrn", k, 16)
    params, buffers = start(model)
    kernels = iter(value for name, value in params.items() if value.ndim == 4)
    conv = lambda x, stride=1: nn.functional.conv2d(x, kernel := next(kernels), None, stride, kernel.shape[2] // 2)  # noqa: E731
    active = lambda x: (x / (1 + 1e-5) ** 0.5).relu()  # noqa: E731
    x, width = conv(images()), 16
    for stage, stride in ((1, 1), (2, 2), (4, 2)):
        for number in range(2):
            changes = width != 16 * k * stage
            step, width = (stride if number == 0 else 1), 16 * k * stage
            entered = active(x)
            inner = conv(active(conv(entered, step)))
            x = inner + (conv(entered, step) if changes else x)
    pooled = active(x).mean((2, 3))
    expected = pooled @ params["head.weight"].T + params["head.bias"]
    torch.testing.assert_close(model.forward(params, buffers, images()).output, expected)


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet", "vgg", "wrn"])
def test_convolutions_are_drawn_by_hes_rule(name):
    """Variance 2/n with n the outputs that read one input: arXiv:1502.01852, eq. 14. Norms start at 1 and 0."""
    params, _ = start(built(name))
    kernels = {key: value for key, value in params.items() if value.ndim == 4 and value.numel() > 4_000}
    assert kernels
    for key, kernel in kernels.items():
        readers = kernel[0, 0].numel() * (1 if kernel.shape[1] == 1 and "depthwise" in key else kernel.shape[0])
        assert kernel.std().item() == pytest.approx((2 / readers) ** 0.5, rel=5 / kernel.numel() ** 0.5), key
        assert abs(kernel.mean()) < 5 * kernel.std() / kernel.numel() ** 0.5
    assert all(params[key].eq(1).all() for key in params if key.endswith("weight") and params[key].ndim == 1)
    assert all(params[key].eq(0).all() for key in params if key.endswith("bias") and not key.startswith("head"))


@pytest.mark.parametrize("name", NAMES)
def test_a_stack_has_the_gradients_of_each_network(name):
    """In float64, where nothing but the order of sums differs."""
    shape = (1, 8, 8)
    model = built(name, 2 if name != "wrn" else 1, 0, 10, shape)
    alone = [[{k: v.double() for k, v in group.items()} for group in start(model, seed)] for seed in (0, 1)]
    x, y = torch.stack([images(5, shape, seed).double() for seed in (0, 1)]), torch.arange(10).reshape(2, 5)

    def loss(params, buffers, x, y):
        return cross_entropy(model.forward(params, buffers, x, train=True).output, y)

    stacked = vmap(grad(loss))(*(side_by_side(group) for group in zip(*alone, strict=True)), x, y)
    for i, own in enumerate(alone):
        for key, value in grad(loss)(*own, x[i], y[i]).items():
            assert value.isfinite().all()
            torch.testing.assert_close(stacked[key][i], value, msg=key)


@pytest.mark.parametrize(("name", "depth"), [("plain", 2), ("resnet", 8), ("vgg", 8), ("wrn", 10)])
def test_training_goes_the_same_way_by_loop_and_by_vmap(name, depth):
    """Two steps of two networks in float64."""
    shape = (1, 8, 8)
    model = built(name, 1, depth, 10, shape)
    x = {"x": images(10, shape).double(), "y": torch.arange(10)}
    starts = [Start(model, *start(model, seed), x, {}) for seed in (0, 1)]
    ends = {}
    for way in ("loop", "vmap"):
        trial = GradientStudy(way=way, optimizer="sgd", lr=0.01, batch_size=5, steps=2, curve_points=0, dtype="float64")
        ends[way] = fit(
            starts, [trial] * 2, [Streams({})] * 2, lambda view, batch, _: cross_entropy(view.output, batch["y"])
        )
    for first, by_loop, by_vmap in zip(starts, ends["loop"], ends["vmap"], strict=True):
        assert (by_loop.way, by_vmap.way) == ("loop", "vmap")
        for group in ("params", "buffers"):
            one, many = getattr(by_loop.fitted, group), getattr(by_vmap.fitted, group)
            for key, value in one.items():
                torch.testing.assert_close(many[key], value, msg=key)
        head = by_loop.fitted.params["head.weight"]
        assert not torch.equal(head, first.params["head.weight"].double())


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 17, 30)])
@pytest.mark.parametrize("name", NAMES)
def test_small_and_grey_images_can_be_read(name, shape):
    model = built(name, 1, 0, 7, shape)
    assert model.forward(*start(model), images(3, shape), train=True).output.shape == (3, 7)


def test_pools_of_a_vgg_stop_at_four_pixels():
    for side, sides in ((32, [16, 8, 4, 4, 4]), (64, [32, 16, 8, 4, 4]), (28, [14, 7, 3, 3, 3])):
        model = built("vgg", 1, 8, 10, (3, side, side))
        features = model.forward(*start(model), images(2, (3, side, side))).features
        assert [features[stage.end].shape[-1] for stage in model.stages] == sides


@pytest.mark.parametrize("activation", ["tanh", "erf"])
@pytest.mark.parametrize("name", NAMES)
def test_the_activation_is_the_one_asked_for(name, activation):
    model = built(name, 1, 0, 10, (1, 8, 8), activation=activation)
    features = model.forward(*start(model), images(3, (1, 8, 8)), train=True).features
    value = {"tanh": torch.tanh, "erf": lambda z: torch.erf(z / 2**0.5)}[activation]
    for stage in model.stages:
        torch.testing.assert_close(features[stage.after], value(features[stage.before]))


@pytest.mark.parametrize(
    ("name", "depth", "shape", "said"),
    [
        ("resnet", 21, COLOUR, r"`resnet` has no depth 21: .* 6n \+ 2.*nearest is 20"),
        ("wrn", 4, COLOUR, r"`wrn` has no depth 4: .* 6n \+ 4.*nearest is 10"),
        ("vgg", 12, COLOUR, r"`vgg` has no depth 12: .* 8, 11, 13, 16, 19.*nearest is 11"),
        ("plain", 3, COLOUR, r"`plain` has no depth 3: .* 2, 4, 6, 8, 10.*nearest is 2"),
        ("mobilenetv2", 2, COLOUR, "depth of its own"),
        ("plain", 8, (1, 8, 8), r"of depth 8 halves its images 4 times.*can be halved 3 times"),
        *((name, 0, (64,), r"reads images .* inputs of shape \(64,\)") for name in NAMES),
    ],
)
def test_what_cannot_be_built_is_said(name, depth, shape, said):
    with pytest.raises(UserError, match=said):
        built(name, 1, depth, 10, shape)
