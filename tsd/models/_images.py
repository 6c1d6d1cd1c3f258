"""What families that read images share: what they can read, and the pieces of residual networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tsd.errors import UserError


def check_images(family: str, input_shape: tuple[int, ...], depth: int = 0, halvings: int = 0) -> None:
    """Whether a family can read inputs of this shape.

    Args:
        depth: of the network, for the message.
        halvings: how often the network halves its images, rounding down.
    Raises:
        UserError: the inputs are no images (channel, height, width), or too small.
    """
    if len(input_shape) != 3:
        raise UserError(
            f"The model `{family}` reads images of shape (channel, height, width); this data set has inputs of shape "
            f"{input_shape}. Use the model `mlp` or another data set."
        )
    possible = min(input_shape[1:]).bit_length() - 1
    if halvings > possible:
        raise UserError(
            f"The model `{family}` of depth {depth} halves its images {halvings} times; this data set has inputs of "
            f"shape {input_shape}, which can be halved {possible} times. Use a smaller depth, the model `mlp` or "
            "another data set."
        )


def check_depth(family: str, depth: int, known: Sequence[int], rule: str) -> None:
    """Whether a family has this depth; `rule` says which it has. Raises UserError, with the nearest one."""
    if depth not in known:
        nearest = min(known, key=lambda each: abs(each - depth))
        raise UserError(
            f"The model `{family}` has no depth {depth}: its depths are {rule}. The nearest is {nearest}; 0 takes the "
            "family's own."
        )


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the image's size, divided by the stride."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


class Residual(nn.Module):
    """body(x) + shortcut(x)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The sum, before any activation."""
        return self.body(x) + self.shortcut(x)


class GlobalPool(nn.Module):
    """Mean over height and width: (batch, channel, height, width) → (batch, channel)."""

    def forward(self, x: Tensor) -> Tensor:
        """One number a channel."""
        return x.mean((2, 3))
