"""The plain convolutional networks of teacher-assistant distillation: 2, 4, 6, 8 or 10 convolutions, pooling between.

Mirzadeh et al. 2020, arXiv:1902.03393, as their released code lists them: conv 3×3 – batch norm – activation,
max-pooling by 2, and for the two deepest a hidden affine layer. There is one list for 10 classes and one for 100.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from math import prod

from torch import nn

from tsd.models._base import Stage
from tsd.models._images import check_depth, check_images
from tsd.models._module import ModuleModel, Pointwise, from_module

FEW = {
    2: "16 P 16 P",
    4: "16 16 P 32 32 P",
    6: "16 16 P 32 32 P 64 64 P",
    8: "16 16 P 32 32 P 64 64 P 128 128 P F64",
    10: "32 32 P 64 64 P 128 128 P 256 256 256 256 P F128",
}
"""Networks for at most 10 classes: channels of a convolution, P for pooling, F for an affine layer."""
MANY = {
    2: "32 P 32 P",
    4: "32 32 P 64 64 P",
    6: "32 32 P 64 64 P 128 128",
    8: "32 32 P 64 64 P 128 128 P 256 256 P F64",
    10: "32 32 P 64 64 P 128 128 P 256 256 256 256 P F512",
}
"""Networks for more than 10 classes."""
DEPTH = 2


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> ModuleModel:
    """The network for inputs of `input_shape`.

    Args:
        width: channels of the first convolution, with all other layers in proportion; 0 means the paper's, 16 or 32.
        depth: number of convolutions: 2, 4, 6, 8 or 10; 0 means 2.
        activation: relu, tanh or erf.
        input_shape: (channel, height, width).
        classes: number of outputs.
    Feature points: `conv1`, `norm1`, `act1` of every convolution, `pool1` …; `hidden`, before its activation, where
    there is a hidden affine layer; `embedding`, what the last layer reads.
    Raises:
        UserError: the inputs are no images or too small for the pooling, or there is no network of this depth.
    """
    depth = depth or DEPTH
    check_depth("plain", depth, list(FEW), ", ".join(map(str, FEW)))
    words = (FEW if classes <= 10 else MANY)[depth].split()
    check_images("plain", input_shape, depth, words.count("P"))
    scale = width / int(words[0]) if width else 1.0
    network = partial(_network, words, scale, activation, input_shape, classes)
    return from_module(network, _points(words), _stages(words), "embedding")


def _network(
    words: Sequence[str], scale: float, activation: str, input_shape: tuple[int, ...], classes: int
) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, *sides = input_shape
    convolutions = pools = 0
    for word in words:
        if word == "P":
            pools += 1
            sides = [side // 2 for side in sides]
            layers[f"pool{pools}"] = nn.MaxPool2d(2)
        elif word.isdigit():
            convolutions += 1
            layers |= _convolution(convolutions, channels, round(int(word) * scale), activation)
            channels = round(int(word) * scale)
    return nn.Sequential(layers | _ending(words[-1], channels * prod(sides), scale, activation, classes))


def _convolution(number: int, inputs: int, outputs: int, activation: str) -> dict[str, nn.Module]:
    return {
        f"conv{number}": nn.Conv2d(inputs, outputs, 3, padding=1),
        f"norm{number}": nn.BatchNorm2d(outputs),
        f"act{number}": Pointwise(activation),
    }


def _ending(word: str, inputs: int, scale: float, activation: str, classes: int) -> dict[str, nn.Module]:
    if not word.startswith("F"):
        return {"embedding": nn.Flatten(), "head": nn.Linear(inputs, classes)}
    width = round(int(word[1:]) * scale)
    return {
        "flat": nn.Flatten(),
        "hidden": nn.Linear(inputs, width),
        "embedding": Pointwise(activation),
        "head": nn.Linear(width, classes),
    }


def _points(words: Sequence[str]) -> list[str]:
    convolutions = sum(word.isdigit() for word in words)
    points = [f"{kind}{n}" for n in range(1, convolutions + 1) for kind in ("conv", "norm", "act")]
    return [*points, "hidden"] if words[-1].startswith("F") else points


def _stages(words: Sequence[str]) -> list[Stage]:
    """One a pooling, and one for convolutions that no pooling follows."""
    stages, convolutions = [], 0
    groups = " ".join(words).split("P")
    for number, group in enumerate(groups, start=1):
        count = sum(word.isdigit() for word in group.split())
        convolutions += count
        end = f"pool{number}" if number < len(groups) else f"act{convolutions}"
        if count:
            stages.append(Stage(f"norm{convolutions}", f"act{convolutions}", end))
    return stages
