"""A classifier whose hidden layers are written in eigenvalues and eigenvectors, so that it can be pruned to its core.

w_ij = −λ_i φ_ij in every hidden layer, no biases there; a plain affine layer reads the classes off the last one.
Giambagli, Buffoni, Chicchi, Fanelli 2023, arXiv:2310.12612, §2. Kernels are those of `spectral_mlp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from tsd.models._base import Draw, Layer, Params, Stage, View
from tsd.models._chain import run_chain
from tsd.models.spectral_mlp import glorot, kernel, kernel_pullback

WIDTH, DEPTH = 256, 1


@dataclass(frozen=True)
class SpectralClassifier:
    """The architecture.

    Args:
        widths: nodes of every layer, input to output.
        activation: relu, tanh or erf, after every hidden layer.
    """

    widths: tuple[int, ...]
    activation: str = "relu"

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """φ and the last layer's weights Glorot-uniform, λ one, biases zero."""
        params = {}
        for number, (fan_in, fan_out) in enumerate(pairwise(self.widths), start=1):
            last = number == self._last
            name = f"layer{number}.{'weight' if last else 'eigenvectors'}"
            params[name] = glorot(draw, name, fan_out, fan_in)
            if last:
                params[f"layer{number}.bias"] = torch.zeros(fan_out)
            else:
                params[f"layer{number}.eigenvalues"] = torch.ones(fan_out)
        return params, {}

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """One network on one batch; features `affine1`, `hidden1`, … before and after the activations."""
        return run_chain(self.layers(params), self.activation, x)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One a hidden layer."""
        return tuple(Stage(f"affine{n}", f"hidden{n}", f"hidden{n}") for n in range(1, self._last))

    @property
    def embedding(self) -> str:
        """The last hidden layer."""
        return f"hidden{self._last - 1}"

    def tail(self, params: Params, buffers: Params, x: Tensor, *, after: int, train: bool = False) -> View:
        """The layers behind hidden layer number `after` (0 is the first), from its activations `x` (batch, width)."""
        return run_chain(self._chain(params, after + 2), self.activation, x, first=after + 2)

    def tail_names(self, after: int) -> tuple[str, ...]:
        """Parameters of the layers behind hidden layer number `after`."""
        hidden = [f"layer{n}.{kind}" for n in range(after + 2, self._last) for kind in ("eigenvectors", "eigenvalues")]
        return (*hidden, f"layer{self._last}.weight", f"layer{self._last}.bias")

    def layers(self, params: Params) -> list[Layer]:
        """The chain in direct space."""
        return self._chain(params, 1)

    def pullback(self, params: Params, gradients: Sequence[Layer]) -> dict[str, Tensor]:
        """Gradients of the kernels → gradients of λ, φ, weights and biases."""
        named: dict[str, Tensor] = {}
        for number, gradient in enumerate(gradients, start=1):
            named |= kernel_pullback(params, number, gradient.weight.mT)
            if gradient.bias is not None:
                named[f"layer{number}.bias"] = gradient.bias
        return {name: named[name] for name in params if name in named}

    @property
    def _last(self) -> int:
        return len(self.widths) - 1

    def _chain(self, params: Params, first: int) -> list[Layer]:
        numbers = range(first, self._last + 1)
        return [Layer(kernel(params, number).mT, params.get(f"layer{number}.bias")) for number in numbers]


def build(width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> SpectralClassifier:
    """The network for inputs of `input_shape`, which it reads as one long vector.

    Args:
        width: nodes of every hidden layer; 0 means 256.
        depth: number of hidden layers; 0 means 1.
        activation: relu, tanh or erf.
        input_shape: shape of one sample.
        classes: number of outputs.
    """
    return SpectralClassifier((prod(input_shape), *[width or WIDTH] * (depth or DEPTH), classes), activation)
