"""The two networks of a class-conditional GAN: small convolutions for images, affine layers for vectors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from tsd.errors import UserError
from tsd.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tsd.models._base import Model

SLOPE = 0.2
"""Of the critic's activation below zero."""


def codes(count: int, latent: int, draws: np.random.Generator) -> Tensor:
    """What inputs are generated from, shape (count, 1 + latent): a number in (0, 1) that stands for the class, spread
    so that every class comes as often as any other, and normal noise."""
    place = (draws.permutation(count) + 0.5) / count
    noise = draws.standard_normal((count, latent))
    return torch.from_numpy(np.concatenate([place[:, None], noise], 1)).float()


def classes_of(code: Tensor, classes: int) -> Tensor:
    """The class that each code stands for, shape (count,)."""
    return (code[:, 0] * classes).long()


def generator(shape: tuple[int, ...], classes: int, latent: int, width: int) -> Model:
    """`codes` to inputs of `shape`.

    It ends with tanh, mapped onto the range of every channel: its buffers `range.low` and `range.high`, shape (channel,
    1, 1) or (feature,).

    Raises:
        UserError: images whose height or width is no multiple of 4.
    """
    from tsd.models._module import from_module

    def build() -> nn.Module:
        nn, (spread, ranged) = torch.nn, _layers()
        layers: OrderedDict[str, nn.Module] = OrderedDict(code=spread(classes))
        if len(shape) == 1:
            layers |= {"affine1": nn.Linear(classes + latent, 4 * width), "act1": nn.ReLU()}
            layers |= {"affine2": nn.Linear(4 * width, 4 * width), "act2": nn.ReLU()}
            layers["affine3"] = nn.Linear(4 * width, shape[0])
        else:
            small = (2 * width, *_quarter(shape))
            layers |= {"affine": nn.Linear(classes + latent, prod(small)), "act1": nn.ReLU()}
            layers |= {"map": nn.Unflatten(1, small), "up1": nn.ConvTranspose2d(2 * width, width, 4, 2, 1)}
            layers |= {"act2": nn.ReLU(), "up2": nn.ConvTranspose2d(width, shape[0], 4, 2, 1)}
        layers["range"] = ranged((shape[0], *[1] * (len(shape) - 1)))
        return nn.Sequential(layers)

    return from_module(build)


def critic(shape: tuple[int, ...], classes: int, width: int) -> Model:
    """Inputs of `shape` to the log-odds of being a real member of each class, shape (batch, class)."""
    from tsd.models._module import from_module

    def build() -> nn.Module:
        nn = torch.nn
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if len(shape) == 1:
            layers |= {"affine1": nn.Linear(shape[0], 4 * width), "act1": nn.LeakyReLU(SLOPE)}
            layers |= {"affine2": nn.Linear(4 * width, 4 * width), "act2": nn.LeakyReLU(SLOPE)}
            features = 4 * width
        else:
            layers |= {"down1": nn.Conv2d(shape[0], width, 4, 2, 1), "act1": nn.LeakyReLU(SLOPE)}
            layers |= {"down2": nn.Conv2d(width, 2 * width, 4, 2, 1), "act2": nn.LeakyReLU(SLOPE)}
            layers["flat"] = nn.Flatten()
            features = 2 * width * prod(_quarter(shape))
        layers["head"] = nn.Linear(features, classes)
        return nn.Sequential(layers)

    return from_module(build)


def _quarter(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of an image that was halved twice."""
    high, wide = shape[1:]
    if high % 4 or wide % 4:
        raise UserError(
            f"The GAN of the method gan doubles its images twice, so their height and width must be multiples of 4; "
            f"this data set has inputs of shape {shape}. Pad them, or use another method."
        )
    return high // 4, wide // 4


def _layers() -> tuple[Callable[[int], nn.Module], Callable[[tuple[int, ...]], nn.Module]]:
    """First and last layer of a generator. Their classes are made here: torch waits until a network is built."""

    class Code(torch.nn.Module):
        """Codes as (one-hot class, noise)."""

        def __init__(self, classes: int) -> None:
            super().__init__()
            self.classes = classes

        def forward(self, code: Tensor) -> Tensor:
            """Shape (batch, 1 + latent) to (batch, classes + latent)."""
            known = torch.arange(self.classes, device=code.device)
            return torch.cat([(classes_of(code, self.classes).unsqueeze(1) == known).to(code), code[:, 1:]], 1)

    class Range(torch.nn.Module):
        """tanh, mapped from (−1, 1) onto (low, high)."""

        low: Tensor
        high: Tensor

        def __init__(self, shape: tuple[int, ...]) -> None:
            super().__init__()
            self.register_buffer("low", -torch.ones(shape))
            self.register_buffer("high", torch.ones(shape))

        def forward(self, x: Tensor) -> Tensor:
            """Between low and high, element by element."""
            return self.low + (self.high - self.low) * (torch.tanh(x) + 1) / 2

    return Code, Range
