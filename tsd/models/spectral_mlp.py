"""A network whose first hidden layers are written in eigenvalues and eigenvectors.

    y = Σ_k f( Σ_i w²_ki f( Σ_j w¹_ij x_j ) ),    w_ij = (λ_in,j − λ_out,i) φ_ij with λ_in = 0, so w_ij = −λ_i φ_ij

Giambagli, Buffoni, Chicchi, Fanelli 2023, arXiv:2310.12612, §2. No biases; the last sum has fixed weights one. A direct
layer is the same with λ frozen at 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from tsd.models._base import Draw, Layer, Params, View
from tsd.models._chain import run_chain


@dataclass(frozen=True)
class SpectralMLP:
    """The architecture.

    Args:
        input_dim, width, second_width: nodes of the input, of the first hidden layer, and of every later one.
        activation: relu, tanh or erf, after every hidden layer.
        layer: spectral trains λ and φ; with anything else there is no λ to train.
        depth: hidden layers.
        spectral_layers: how many of them, from the input on, are of the kind `layer`; the others have plain weights.
    """

    input_dim: int
    width: int
    second_width: int
    activation: str = "relu"
    layer: str = "spectral"
    depth: int = 2
    spectral_layers: int = 1

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """φ and plain weights (out, in) Glorot-uniform, λ (out,) one. Spectral and direct layers start from the same
        φ."""
        widths = [self.input_dim, self.width, *[self.second_width] * (self.depth - 1)]
        params = {}
        for number, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
            kind = "eigenvectors" if number <= self.spectral_layers else "weight"
            name = f"layer{number}.{kind}"
            params[name] = glorot(draw, name, fan_out, fan_in)
            if kind == "eigenvectors" and self.layer == "spectral":
                params[f"layer{number}.eigenvalues"] = torch.ones(fan_out)
        return params, {}

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """One network on inputs (batch, input_dim); features `hidden1`, `hidden2`, …"""
        return run_chain(self.layers(params), self.activation, x)

    def layers(self, params: Params) -> list[Layer]:
        """The chain in direct space; the last layer sums and is not trained."""
        weights = [kernel(params, number) for number in range(1, self.depth + 1)]
        ones = weights[-1].new_ones(*weights[-1].shape[:-1], 1)
        return [*(Layer(weight.mT, None) for weight in weights), Layer(ones, None, trained=False)]

    def pullback(self, params: Params, gradients: Sequence[Layer]) -> dict[str, Tensor]:
        """Gradients of the kernels → gradients of λ, φ and plain weights."""
        named: dict[str, Tensor] = {}
        for number, gradient in enumerate(gradients[:-1], start=1):
            named |= kernel_pullback(params, number, gradient.weight.mT)
        return named


def kernel(params: Params, layer: int) -> Tensor:
    """The weights of hidden layer `layer` (from 1), shape (…, out, in): w_ij = −λ_i φ_ij, with λ = 1 where it has no
    eigenvalues, or the plain weights where it holds such."""
    at = f"layer{layer}"
    if f"{at}.weight" in params:
        return params[f"{at}.weight"]
    if f"{at}.eigenvalues" not in params:
        return -params[f"{at}.eigenvectors"]
    return params[f"{at}.eigenvectors"] * -params[f"{at}.eigenvalues"].unsqueeze(-1)


def kernel_pullback(params: Params, layer: int, gradient: Tensor) -> dict[str, Tensor]:
    """The gradients of what `kernel` reads, by name, from that of its weights: ∂L/∂φ_ij = −λ_i ∂L/∂w_ij and
    ∂L/∂λ_i = −Σ_j φ_ij ∂L/∂w_ij."""
    at = f"layer{layer}"
    if f"{at}.weight" in params:
        return {f"{at}.weight": gradient}
    if f"{at}.eigenvalues" not in params:
        return {f"{at}.eigenvectors": -gradient}
    return {
        f"{at}.eigenvectors": gradient * -params[f"{at}.eigenvalues"].unsqueeze(-1),
        f"{at}.eigenvalues": (gradient * params[f"{at}.eigenvectors"]).sum(-1).neg_(),
    }


def glorot(draw: Draw, name: str, fan_out: int, fan_in: int) -> Tensor:
    """Fresh weights of shape (out, in), uniform on ±√(6 / (in + out)); Glorot and Bengio 2010."""
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return torch.from_numpy(draw(name).uniform(-bound, bound, (fan_out, fan_in))).float()
