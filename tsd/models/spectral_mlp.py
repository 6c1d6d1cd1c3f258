"""A two-hidden-layer network whose first layer is written in eigenvalues and eigenvectors.

    y = Σ_k f( Σ_i w²_ki f( Σ_j w¹_ij x_j ) ),    w¹_ij = (λ_in,j − λ_out,i) φ_ij with λ_in = 0, so w¹_ij = −λ_i φ_ij

Giambagli, Buffoni, Chicchi, Fanelli 2023, arXiv:2310.12612, §2. No biases; the last sum has fixed weights one. A direct
layer is the same with λ frozen at 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tsd.models._base import Draw, Layer, Params, View
from tsd.models._chain import run_chain

EIGENVECTORS, EIGENVALUES, SECOND = "layer1.eigenvectors", "layer1.eigenvalues", "layer2.weight"


@dataclass(frozen=True)
class SpectralMLP:
    """The architecture.

    Args:
        input_dim, width, second_width: nodes of the input and of the two hidden layers.
        activation: relu, tanh or erf, after both hidden layers.
        layer: spectral trains λ and φ of the first layer; direct has no λ to train.
    """

    input_dim: int
    width: int
    second_width: int
    activation: str = "relu"
    layer: str = "spectral"

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """φ (width, input_dim) and w² (second_width, width) Glorot-uniform, λ (width,) one. Spectral and direct layers
        start from the same φ."""
        params = {
            EIGENVECTORS: _glorot(draw, EIGENVECTORS, self.width, self.input_dim),
            SECOND: _glorot(draw, SECOND, self.second_width, self.width),
        }
        if self.layer == "spectral":
            params[EIGENVALUES] = torch.ones(self.width)
        return params, {}

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """One network on inputs (batch, input_dim); features `hidden1` and `hidden2`."""
        return run_chain(self.layers(params), self.activation, x)

    def layers(self, params: Params) -> list[Layer]:
        """The chain in direct space; the last layer sums and is not trained."""
        kernel = params[EIGENVECTORS] * -self._eigenvalues(params)
        ones = kernel.new_ones(*kernel.shape[:-2], self.second_width, 1)
        return [Layer(kernel.mT, None), Layer(params[SECOND].mT, None), Layer(ones, None, trained=False)]

    def pullback(self, params: Params, gradients: Sequence[Layer]) -> dict[str, Tensor]:
        """∂L/∂φ_ij = −λ_i ∂L/∂w_ij and ∂L/∂λ_i = −Σ_j φ_ij ∂L/∂w_ij."""
        kernel = gradients[0].weight.mT
        named = {EIGENVECTORS: kernel * -self._eigenvalues(params), SECOND: gradients[1].weight.mT}
        if EIGENVALUES in params:
            named[EIGENVALUES] = (kernel * params[EIGENVECTORS]).sum(-1).neg_()
        return named

    def _eigenvalues(self, params: Params) -> Tensor:
        """λ as a column beside φ."""
        if EIGENVALUES in params:
            return params[EIGENVALUES].unsqueeze(-1)
        return params[EIGENVECTORS].new_ones(1, 1)


def _glorot(draw: Draw, name: str, fan_out: int, fan_in: int) -> Tensor:
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return torch.from_numpy(draw(name).uniform(-bound, bound, (fan_out, fan_in))).float()
