"""Augmentation of images as the CIFAR tables have it: reflect, pad by 4 pixels, crop, mirror left and right.

    x = augment(x, "crop_flip", streams.generator("data", "augment", step))

Every image of a batch has its own draw; the draws depend on the batch's size and the image's shape alone, so a batch
augmented for a teacher and a student is one and the same tensor. He, Zhang, Ren, Sun 2016, arXiv:1512.03385, §4.2, with
the reflection of Zagoruyko and Komodakis 2016, arXiv:1605.07146, §3, in place of zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.lazy import torch

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

AUGMENTATIONS = ("none", "flip", "crop", "crop_flip")
PAD = 4
"""Pixels on every side."""


def check_augmentation(kind: str, input_shape: tuple[int, ...]) -> None:
    """Whether inputs of this shape can be augmented so.

    Args:
        input_shape: of one input.
    Raises:
        UserError: they are no images, or too small to be reflected; there is no such kind.
    """
    if kind not in AUGMENTATIONS:
        raise UserError(
            f"There is no augmentation `{kind}`; there are {', '.join(f'`{each}`' for each in AUGMENTATIONS)}."
        )
    if kind == "none":
        return
    if len(input_shape) != 3:
        raise UserError(
            f"The augmentation `{kind}` is for images of shape (channel, height, width); this data set has inputs of "
            f"shape {input_shape}. Use `none` or another data set."
        )
    if kind != "flip" and min(input_shape[1:]) <= PAD:
        raise UserError(
            f"The augmentation `{kind}` reflects {PAD} pixels at every side and needs larger images than that; "
            f"this data set has inputs of shape {input_shape}. Use `flip` or `none`."
        )


def augment(x: Tensor, kind: str, generator: np.random.Generator) -> Tensor:
    """A batch of images, each changed at random on its own; `x` itself stays as it is.

    Args:
        x: shape (batch, channel, height, width).
        kind: flip (mirrored left to right with probability ½), crop (padded by 4 reflected pixels at every side and
            cut back to its size at one of 9 × 9 places), crop_flip (both, in this order), or none.
        generator: what is drawn from it depends on the batch size alone, so equal generators give equal batches.
    Raises:
        UserError: see `check_augmentation`.
    """
    check_augmentation(kind, tuple(x.shape[1:]))
    if kind in ("crop", "crop_flip"):
        x = crop(x, torch.from_numpy(generator.integers(0, 2 * PAD + 1, (len(x), 2))))
    if kind in ("flip", "crop_flip"):
        x = flip(x, torch.from_numpy(generator.random(len(x)) < 0.5))
    return x


def flip(x: Tensor, mirrored: Tensor) -> Tensor:
    """Images (batch, channel, height, width), those `mirrored` (batch,) with left and right exchanged."""
    return torch.where(mirrored.to(x.device)[:, None, None, None], x.flip(3), x)


def crop(x: Tensor, offsets: Tensor) -> Tensor:
    """Images (batch, channel, height, width), each cut from its reflected self at its (row, column) of `offsets`
    (batch, 2), 0 … 8; (4, 4) is the image itself."""
    rows, columns = (
        _reflected(offsets[:, axis, None] + torch.arange(side) - PAD, side) for axis, side in enumerate(x.shape[2:])
    )
    pixels = (rows[:, :, None] * x.shape[3] + columns[:, None, :]).flatten(1).to(x.device)
    return x.flatten(2).gather(2, pixels[:, None].expand(-1, x.shape[1], -1)).reshape(x.shape)


def _reflected(index: Tensor, side: int) -> Tensor:
    """Positions outside 0 … side − 1 as those that a mirror at the outermost pixel shows."""
    index = index.abs()
    return torch.where(index < side, index, 2 * (side - 1) - index)
