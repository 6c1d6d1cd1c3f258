"""MobileNetV2 for small images: inverted residual blocks of depthwise convolutions in four resolutions.

Sandler, Howard, Zhu, Zhmoginov, Chen 2018, arXiv:1801.04381, table 2, with the stem and the second group at stride 1,
so that an image is halved three times. A block ends without an activation; the last pre-activation of a resolution is
that of the expansion with which the next one begins, so a stage here ends behind it (the last one behind the wide 1×1
convolution). At full width and for 10 classes it has 2,236,682 parameters, as many as the original.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from tsd.errors import UserError
from tsd.models._base import Stage
from tsd.models._images import GlobalPool, Residual, check_images, conv
from tsd.models._initial import he
from tsd.models._module import ModuleModel, Pointwise, from_module

WIDTH, LAST = 32, 1280
GROUPS = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each group of blocks."""
BLOCKS = (3, 3, 7, 4)
"""Blocks of each resolution, as the strides of the groups make them."""


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> ModuleModel:
    """The network for images of any size, drawn by He's rule.

    Args:
        width: channels of the stem, with all others in proportion, rounded; 0 means 32, the original. 16 is the half
            width of distillation tables. The last convolution has 1,280 channels, and more in wider networks.
        depth: must be 0: MobileNetV2 has its own.
        activation: relu, which is the original's min(max(x, 0), 6); tanh or erf.
        input_shape: (channel, height, width).
        classes: number of outputs.
    Feature points: of every stage `stage1.blockN` after its last block, number N, without an activation; `stage1.norm`
    before and `stage1` after the activation that ends it; `embedding` after global pooling.
    Raises:
        UserError: the inputs are no images, or a depth is asked for.
    """
    if depth:
        raise UserError(f"The model `mobilenetv2` has a depth of its own; leave its depth at 0 instead of {depth}.")
    check_images("mobilenetv2", input_shape)
    stages = [Stage(f"stage{i}.norm", f"stage{i}", f"stage{i}") for i in (1, 2, 3, 4)]
    blocks = [f"stage{i}.block{n}" for i, n in enumerate(BLOCKS, start=1)]
    network = partial(_network, (width or WIDTH) / WIDTH, activation, input_shape[0], classes)
    return from_module(network, blocks, stages, "embedding", initial=he)


def _network(scale: float, activation: str, channels: int, classes: int) -> nn.Module:
    stem = _scaled(WIDTH, scale)
    last = _scaled(LAST, max(scale, 1))
    return nn.Sequential(
        OrderedDict(
            conv=conv(channels, stem),
            norm=nn.BatchNorm2d(stem),
            act=_activation(activation),
            **_stages(stem, last, scale, activation),
            embedding=GlobalPool(),
            head=nn.Linear(last, classes),
        )
    )


def _stages(inputs: int, last: int, scale: float, activation: str) -> dict[str, nn.Module]:
    stages: list[OrderedDict[str, nn.Module]] = [OrderedDict()]
    for expansion, channels, count, first_stride in GROUPS:
        for stride in (first_stride, *[1] * (count - 1)):
            outputs, wide = _scaled(channels, scale), expansion * inputs
            block = _project(wide, outputs, stride, activation)
            if stride == 2:
                stages[-1] |= _expand(inputs, wide, activation)
                stages.append(OrderedDict())
            elif expansion > 1:
                whole = nn.Sequential(_expand(inputs, wide, activation) | {"project": block})
                block = Residual(whole) if inputs == outputs else whole
            stages[-1][f"block{len(stages[-1]) + 1}"] = block
            inputs = outputs
    stages[-1] |= _expand(inputs, last, activation)
    return {f"stage{i}": nn.Sequential(stage) for i, stage in enumerate(stages, start=1)}


def _expand(inputs: int, outputs: int, activation: str) -> OrderedDict[str, nn.Module]:
    return OrderedDict(conv=conv(inputs, outputs, 1), norm=nn.BatchNorm2d(outputs), act=_activation(activation))


def _project(wide: int, outputs: int, stride: int, activation: str) -> nn.Module:
    """One 3×3 convolution a channel, then a mix of the channels without activation."""
    return nn.Sequential(
        OrderedDict(
            depthwise=conv(wide, wide, stride=stride, groups=wide),
            norm1=nn.BatchNorm2d(wide),
            act=_activation(activation),
            mix=conv(wide, outputs, 1),
            norm2=nn.BatchNorm2d(outputs),
        )
    )


def _activation(name: str) -> nn.Module:
    return nn.ReLU6() if name == "relu" else Pointwise(name)


def _scaled(channels: int, scale: float) -> int:
    return max(1, round(channels * scale))
