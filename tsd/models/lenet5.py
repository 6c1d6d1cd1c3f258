"""LeNet-5: three 5×5 convolutions of 6, 16 and 120 channels with pooling between them, then 84 hidden units.

LeCun, Bottou, Bengio, Haffner 1998, with ReLU and max-pooling in place of the original tanh and averaging, as
few-sample distillation uses it. Width scales every layer alike: 3 gives the half-width student with 3, 8, 60 and 42.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from tsd.errors import UserError
from tsd.models._base import Stage
from tsd.models._module import ModuleModel, Pointwise, from_module

WIDTH = 6
STAGES = (Stage("conv1", "act1", "pool1"), Stage("conv2", "act2", "pool2"), Stage("conv3", "act3", "act3"))
POINTS = ("conv1", "act1", "pool1", "conv2", "act2", "pool2", "conv3", "act3", "hidden", "embedding")


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> ModuleModel:
    """The network for images of 32×32 pixels, or of 28×28, which it pads by 2 with zeros.

    Args:
        width: channels of the first layer; 0 means 6.
        depth: must be 0: LeNet-5 has its own.
        activation: relu, tanh or erf.
        input_shape: (channel, height, width).
        classes: number of outputs.
    Feature points: `conv1` … `conv3` and `act1` … `act3`, `pool1` and `pool2`; `hidden` before and `embedding` after
    its activation.
    Raises:
        UserError: the inputs are no images of these sizes, or a depth is asked for.
    """
    if depth:
        raise UserError(f"The model `lenet5` has a depth of its own; leave its depth at 0 instead of {depth}.")
    if len(input_shape) != 3 or input_shape[1:] not in ((28, 28), (32, 32)):
        raise UserError(
            "The model `lenet5` reads images of 28×28 or 32×32 pixels, shape (channel, height, width); this data set "
            f"has inputs of shape {input_shape}. Use the model `mlp` or `cnn`, or another data set."
        )
    padding = (32 - input_shape[1]) // 2
    network = partial(_network, width or WIDTH, activation, input_shape[0], padding, classes)
    return from_module(network, POINTS, STAGES, "embedding")


def _network(width: int, activation: str, channels: int, padding: int, classes: int) -> nn.Module:
    second, third, hidden = round(width * 16 / 6), 20 * width, 14 * width
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, width, 5, padding=padding),
            act1=Pointwise(activation),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(width, second, 5),
            act2=Pointwise(activation),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(second, third, 5),
            act3=Pointwise(activation),
            flat=nn.Flatten(),
            hidden=nn.Linear(third, hidden),
            embedding=Pointwise(activation),
            head=nn.Linear(hidden, classes),
        )
    )
