"""Wide residual networks WRN-d-k: three stages of pre-activated blocks, 16k, 32k and 64k channels wide, depth 6n + 4.

Zagoruyko, Komodakis 2016, arXiv:1605.07146. A block is norm – activation – conv 3×3, twice, beside a shortcut; where it
changes the number of channels, the shortcut is a 1×1 convolution of the activated input. That first norm and activation
are counted here to the stage before, which they complete, so a stage ends behind an activation as it does elsewhere and
its pre-activation is what activation-boundary distillation reads (arXiv:1811.03233). For 100 classes WRN-16-2 has
703,284 parameters and WRN-40-2 has 2,255,156. No dropout.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from tsd.models._base import Stage
from tsd.models._images import GlobalPool, Residual, check_depth, check_images, conv
from tsd.models._initial import he
from tsd.models._module import ModuleModel, Pointwise, from_module

WIDTH, DEPTH, STEM = 2, 16, 16


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> ModuleModel:
    """The network for images of any size, drawn by He's rule.

    Args:
        width: the k of WRN-d-k; 0 means 2.
        depth: the d, 6n + 4; 0 means 16.
        activation: relu, tanh or erf.
        input_shape: (channel, height, width).
        classes: number of outputs.
    Feature points: `conv`; of every stage `stage1.sumN` after its last block, number N, `stage1.norm` before and
    `stage1` after the activation that ends it; `embedding` after global pooling.
    Raises:
        UserError: the inputs are no images, or the depth is not 6n + 4.
    """
    width, depth = width or WIDTH, depth or DEPTH
    check_images("wrn", input_shape)
    check_depth("wrn", depth, range(10, 1205, 6), "6n + 4: 10, 16, 22, 28, 34, 40 …")
    blocks = (depth - 4) // 6
    sums = [f"stage{i}.sum{blocks}" for i in (1, 2, 3)]
    stages = [Stage(f"stage{i}.norm", f"stage{i}", f"stage{i}") for i in (1, 2, 3)]
    network = partial(_network, width, blocks, activation, input_shape[0], classes)
    return from_module(network, ("conv", *sums), stages, "embedding", initial=he)


def _network(width: int, blocks: int, activation: str, channels: int, classes: int) -> nn.Module:
    first = STEM * width
    # A first stage as wide as the stem begins with an ordinary block, which has its own norm and activation.
    start = _activated(STEM, activation) if first != STEM else OrderedDict()
    return nn.Sequential(
        OrderedDict(
            conv=conv(channels, STEM),
            **start,
            stage1=_stage(STEM, first, 1, blocks, activation),
            stage2=_stage(first, 2 * first, 2, blocks, activation),
            stage3=_stage(2 * first, 4 * first, 2, blocks, activation),
            embedding=GlobalPool(),
            head=nn.Linear(4 * first, classes),
        )
    )


def _stage(inputs: int, outputs: int, stride: int, blocks: int, activation: str) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for n in range(1, blocks + 1):
        layers[f"sum{n}"] = _block(inputs, outputs, stride, activation)
        inputs, stride = outputs, 1
    return nn.Sequential(layers | _activated(outputs, activation))


def _block(inputs: int, outputs: int, stride: int, activation: str) -> nn.Module:
    """Of an activated input where the width changes, else of one that it activates itself."""
    body = OrderedDict(
        conv1=conv(inputs, outputs, stride=stride), **_activated(outputs, activation), conv2=conv(outputs, outputs)
    )
    if inputs != outputs:
        return Residual(nn.Sequential(body), conv(inputs, outputs, 1, stride))
    start = OrderedDict(norm0=nn.BatchNorm2d(inputs), act0=Pointwise(activation))
    return Residual(nn.Sequential(start | body))


def _activated(channels: int, activation: str) -> OrderedDict[str, nn.Module]:
    return OrderedDict(norm=nn.BatchNorm2d(channels), act=Pointwise(activation))
