"""VGG networks for small images: five stages of 3×3 convolutions with batch norm, then one affine layer.

Simonyan, Zisserman 2015, arXiv:1409.1556, configurations A, B, D and E (VGG-11, 13, 16, 19), and VGG-8 with one
convolution a stage, as distillation tables have them (arXiv:1910.10699): global pooling in place of the two wide affine
layers. A stage ends by halving the image while that is larger than 4 pixels. For 100 classes VGG-8 has 3,965,028
parameters and VGG-13 has 9,462,180.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from tsd.models._base import Stage
from tsd.models._images import GlobalPool, check_depth, check_images
from tsd.models._initial import he
from tsd.models._module import ModuleModel, Pointwise, from_module

CONVOLUTIONS = {8: (1, 1, 1, 1, 1), 11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Depth: convolutions of each stage. The depths of the originals count their three affine layers."""
CHANNELS = (1, 2, 4, 8, 8)
"""Of each stage, in widths."""
WIDTH, DEPTH, SMALLEST = 64, 8, 4


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> ModuleModel:
    """The network for images of any size, drawn by He's rule.

    Args:
        width: channels of the first stage; 0 means 64.
        depth: 8, 11, 13, 16 or 19; 0 means 8.
        activation: relu, tanh or erf.
        input_shape: (channel, height, width).
        classes: number of outputs.
    Feature points: of every stage `stage1.normN` and `stage1.actN` before and after its last activation, number N, and
    `stage1` after pooling; `embedding` after global pooling.
    Raises:
        UserError: the inputs are no images, or VGG has no such depth.
    """
    width, depth = width or WIDTH, depth or DEPTH
    check_images("vgg", input_shape)
    check_depth("vgg", depth, list(CONVOLUTIONS), ", ".join(map(str, CONVOLUTIONS)))
    counts = enumerate(CONVOLUTIONS[depth], start=1)
    stages = [Stage(f"stage{i}.norm{n}", f"stage{i}.act{n}", f"stage{i}") for i, n in counts]
    network = partial(_network, width, depth, activation, input_shape, classes)
    return from_module(network, (), stages, "embedding", initial=he)


def _network(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, side = input_shape[0], min(input_shape[1:])
    for i, (count, widths) in enumerate(zip(CONVOLUTIONS[depth], CHANNELS, strict=True), start=1):
        pooled = side > SMALLEST
        layers[f"stage{i}"] = _stage(channels, widths * width, count, activation, pooled=pooled)
        channels, side = widths * width, side // 2 if pooled else side
    return nn.Sequential(layers | {"embedding": GlobalPool(), "head": nn.Linear(channels, classes)})


def _stage(inputs: int, outputs: int, count: int, activation: str, *, pooled: bool) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for n in range(1, count + 1):
        layers |= {
            f"conv{n}": nn.Conv2d(inputs, outputs, 3, padding=1),
            f"norm{n}": nn.BatchNorm2d(outputs),
            f"act{n}": Pointwise(activation),
        }
        inputs = outputs
    return nn.Sequential(layers | ({"pool": nn.MaxPool2d(2)} if pooled else {}))
