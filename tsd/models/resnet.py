"""Residual networks for small images: three stages of n blocks of two 3×3 convolutions, depth 6n + 2.

He, Zhang, Ren, Sun 2016, arXiv:1512.03385, §4.2. Stages of 16, 32 and 64 channels; the second and third halve the
image. Where a block changes the number of channels its shortcut is a 1×1 convolution with batch norm (option B of the
paper, which distillation tables use; its own CIFAR networks pad with zeros, option A, and have 2,752 parameters fewer).
ResNet-20 has 272,474 parameters for 10 classes, ResNet-56 855,770, ResNet-110 1,730,714. With width 64 these are the
networks written ResNet-8x4 and ResNet-32x4 in arXiv:1910.10699, whose stem has 32 channels.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from tsd.models._base import Stage
from tsd.models._images import GlobalPool, Residual, check_depth, check_images, conv
from tsd.models._initial import he
from tsd.models._module import ModuleModel, Pointwise, from_module

WIDTH, DEPTH, WIDEST_STEM = 16, 20, 32


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> ModuleModel:
    """The network for images of any size, drawn by He's rule.

    Args:
        width: channels of the first stage; 0 means 16. The stem has as many, at most 32.
        depth: 6n + 2; 0 means 20.
        activation: relu, tanh or erf.
        input_shape: (channel, height, width).
        classes: number of outputs.
    Feature points: `norm` and `act` of the stem; of every stage `stage1.sumN` before and `stage1` after the activation
    of its last block, number N; `embedding` after global pooling.
    Raises:
        UserError: the inputs are no images, or the depth is not 6n + 2.
    """
    width, depth = width or WIDTH, depth or DEPTH
    check_images("resnet", input_shape)
    check_depth("resnet", depth, range(8, 1203, 6), "6n + 2: 8, 14, 20, 26, 32, 44, 56, 110 …")
    blocks = (depth - 2) // 6
    stages = [Stage(f"stage{i}.sum{blocks}", f"stage{i}", f"stage{i}") for i in (1, 2, 3)]
    network = partial(_network, width, blocks, activation, input_shape[0], classes)
    return from_module(network, ("norm", "act"), stages, "embedding", initial=he)


def _network(width: int, blocks: int, activation: str, channels: int, classes: int) -> nn.Module:
    stem = min(width, WIDEST_STEM)
    return nn.Sequential(
        OrderedDict(
            conv=conv(channels, stem),
            norm=nn.BatchNorm2d(stem),
            act=Pointwise(activation),
            stage1=_stage(stem, width, 1, blocks, activation),
            stage2=_stage(width, 2 * width, 2, blocks, activation),
            stage3=_stage(2 * width, 4 * width, 2, blocks, activation),
            embedding=GlobalPool(),
            head=nn.Linear(4 * width, classes),
        )
    )


def _stage(inputs: int, outputs: int, stride: int, blocks: int, activation: str) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for n in range(1, blocks + 1):
        layers[f"sum{n}"] = _block(inputs, outputs, stride, activation)
        layers[f"act{n}"] = Pointwise(activation)
        inputs, stride = outputs, 1
    return nn.Sequential(layers)


def _block(inputs: int, outputs: int, stride: int, activation: str) -> nn.Module:
    body = OrderedDict(
        conv1=conv(inputs, outputs, stride=stride),
        norm1=nn.BatchNorm2d(outputs),
        act1=Pointwise(activation),
        conv2=conv(outputs, outputs),
        norm2=nn.BatchNorm2d(outputs),
    )
    if inputs == outputs and stride == 1:
        return Residual(nn.Sequential(body))
    shortcut = OrderedDict(conv=conv(inputs, outputs, 1, stride), norm=nn.BatchNorm2d(outputs))
    return Residual(nn.Sequential(body), nn.Sequential(shortcut))
