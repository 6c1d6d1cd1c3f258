"""Fully connected networks of any depth: affine layers with one activation between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from tsd.models._base import Draw, Layer, Params, Stage, View
from tsd.models._chain import run_chain

WIDTH, DEPTH = 256, 2


@dataclass(frozen=True)
class MLP:
    """A multi-layer perceptron.

    Args:
        widths: nodes of every layer, input to output; an output of width 1 is a regression of shape (batch,).
        activation: relu, tanh, erf or identity, between the layers.
        bias: whether the layers have biases.
    """

    widths: tuple[int, ...]
    activation: str = "relu"
    bias: bool = True

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights of shape (out, in) and biases, both uniform on ±1/√(fan in), as torch draws them."""
        params = {}
        for name, shape in self._shapes().items():
            bound = shape[-1] ** -0.5
            size = shape if name.endswith("weight") else shape[:1]
            params[name] = torch.from_numpy(draw(name).uniform(-bound, bound, size)).float()
        return params, {}

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """One network on one batch; features of the hidden layers: `affine1`, `affine2`, … before and `hidden1`,
        `hidden2`, … after their activations."""
        return run_chain(self.layers(params), self.activation, x)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One a hidden layer."""
        hidden = range(1, len(self.widths) - 1)
        return tuple(Stage(f"affine{number}", f"hidden{number}", f"hidden{number}") for number in hidden)

    @property
    def embedding(self) -> str:
        """The last hidden layer."""
        return f"hidden{len(self.widths) - 2}"

    def tail(self, params: Params, buffers: Params, x: Tensor, *, after: int, train: bool = False) -> View:
        """The layers behind hidden layer number `after` (0 is the first), from its activations `x` (batch, width)."""
        return run_chain(self._chain(params, after + 1), self.activation, x, first=after + 2)

    def tail_names(self, after: int) -> tuple[str, ...]:
        """Parameters of the layers behind hidden layer number `after`."""
        behind = self._names()[after + 1 :]
        return tuple(name for name in self._shapes() if name.split(".")[0] in behind)

    def layers(self, params: Params) -> list[Layer]:
        """The chain, input to output."""
        return self._chain(params, 0)

    def _chain(self, params: Params, start: int) -> list[Layer]:
        return [Layer(params[f"{at}.weight"].mT, params.get(f"{at}.bias")) for at in self._names()[start:]]

    def pullback(self, params: Params, gradients: Sequence[Layer]) -> dict[str, Tensor]:
        """Gradients of the layers → gradients of the parameters."""
        named = {}
        for at, layer in zip(self._names(), gradients, strict=True):
            named[f"{at}.weight"] = layer.weight.mT
            if layer.bias is not None:
                named[f"{at}.bias"] = layer.bias
        return named

    def _names(self) -> list[str]:
        return [f"layer{number}" for number in range(1, len(self.widths))]

    def _shapes(self) -> dict[str, tuple[int, int]]:
        """(out, in) of the layer that each parameter belongs to."""
        kinds = ("weight", "bias") if self.bias else ("weight",)
        sizes = zip(self._names(), pairwise(self.widths), strict=True)
        return {f"{at}.{kind}": (fan_out, fan_in) for at, (fan_in, fan_out) in sizes for kind in kinds}


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> MLP:
    """The network for inputs of `input_shape`, which it reads as one long vector.

    Args:
        width: nodes of every hidden layer; 0 means 256.
        depth: number of hidden layers; 0 means 2.
        activation: relu, tanh or erf.
        input_shape: shape of one sample.
        classes: number of outputs.
    """
    return MLP((prod(input_shape), *[width or WIDTH] * (depth or DEPTH), classes), activation)
