"""A small convolutional network: blocks of conv 3×3 – batch norm – activation – pool, then two affine layers.

Every block halves the image and has twice the channels of the one before; the hidden affine layer doubles once more.
With width 16 and 28×28 grey images it has 105,962 parameters, with width 4 it has 6,818.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from tsd.models._base import Stage
from tsd.models._images import check_images
from tsd.models._module import ModuleModel, Pointwise, from_module

WIDTH, DEPTH = 16, 2


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> ModuleModel:
    """The network for inputs of `input_shape`.

    Args:
        width: channels of the first block; 0 means 16.
        depth: number of blocks; 0 means 2.
        activation: relu, tanh or erf.
        input_shape: (channel, height, width).
        classes: number of outputs.
    Feature points: `conv1`, `norm1`, `act1`, `pool1`, … of every block; `hidden` before and `embedding` after its
    activation.
    Raises:
        UserError: the inputs are no images, or too small to be halved `depth` times.
    """
    width, depth = width or WIDTH, depth or DEPTH
    check_images("cnn", input_shape, depth, depth)
    stages = [Stage(f"norm{i}", f"act{i}", f"pool{i}") for i in range(1, depth + 1)]
    network = partial(_network, width, depth, activation, input_shape, classes)
    return from_module(network, _points(depth), stages, "embedding")


def _network(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, height, breadth = input_shape
    for i in range(1, depth + 1):
        out = width * 2 ** (i - 1)
        layers |= {
            f"conv{i}": nn.Conv2d(channels, out, 3, padding=1),
            f"norm{i}": nn.BatchNorm2d(out),
            f"act{i}": Pointwise(activation),
            f"pool{i}": nn.MaxPool2d(2),
        }
        channels, height, breadth = out, height // 2, breadth // 2
    layers |= {
        "flat": nn.Flatten(),
        "hidden": nn.Linear(channels * height * breadth, 2 * channels),
        "embedding": Pointwise(activation),
        "head": nn.Linear(2 * channels, classes),
    }
    return nn.Sequential(layers)


def _points(depth: int) -> tuple[str, ...]:
    blocks = (f"{kind}{i}" for i in range(1, depth + 1) for kind in ("conv", "norm", "act", "pool"))
    return (*blocks, "hidden", "embedding")
