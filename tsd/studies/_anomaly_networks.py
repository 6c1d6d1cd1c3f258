"""The networks of `anomaly`: a conditional normalising flow on feature maps, and a convolutional student.

Every network gets the position of a pixel beside its features. Couplings come from FrEIA.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from FrEIA.modules import GLOWCouplingBlock
from torch import Tensor, nn
from torch.func import functional_call

from tsd.models._base import Draw, Model, Params, View
from tsd.models._module import from_module
from tsd.studies._anomaly_formulas import SLOPE, positional_encoding

Shape = tuple[int, int, int]
"""(channel, height, width) of a feature map."""


@dataclass(frozen=True)
class FlowSize:
    """A flow's extent: coupling blocks, channels inside their networks, bound of a log-scale, channels of position."""

    blocks: int
    hidden: int
    clamp: float
    position: int


class _Subnet(nn.Sequential):
    """conv – ReLU – conv, times a learned γ that starts at 0, so that a fresh coupling does nothing."""

    def __init__(self, channels: int, hidden: int, out: int, kernel: int) -> None:
        convolutions = [nn.Conv2d(a, b, kernel, padding=kernel // 2) for a, b in pairwise((channels, hidden, out))]
        super().__init__(convolutions[0], nn.ReLU(), convolutions[1])
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * super().forward(x)


class _Flow(nn.Module):
    """Affine couplings, each behind a fixed permutation of the channels; the last one looks 5 pixels wide."""

    def __init__(self, shape: Shape, size: FlowSize) -> None:
        super().__init__()
        self.position: Tensor
        self.register_buffer("position", positional_encoding(size.position, *shape[1:]))
        order = torch.arange(shape[0])
        for i in range(size.blocks):
            self.register_buffer(f"order{i}", order.clone())
        self.couplings = nn.ModuleList(
            _coupling(shape, size, kernel=5 if i == size.blocks - 1 else 3) for i in range(size.blocks)
        )

    def forward(self, x: Tensor, *, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """The other side of the flow and log|det J| of every pixel in the direction taken."""
        position = [self.position.expand(len(x), -1, -1, -1)]
        log_det = x.new_zeros(()).expand(len(x), *x.shape[2:])
        steps = list(enumerate(self.couplings))
        for i, coupling in reversed(steps) if inverse else steps:
            order = getattr(self, f"order{i}")
            if not inverse:
                x = x.index_select(1, order)
            (x,), change = coupling([x], position, rev=inverse)
            log_det = log_det + change
            if inverse:
                x = x.index_select(1, order.argsort())
        return x, log_det


def _coupling(shape: Shape, size: FlowSize, kernel: int) -> GLOWCouplingBlock:
    coupling = GLOWCouplingBlock(
        [shape],
        [(size.position, *shape[1:])],
        subnet_constructor=lambda channels, out: _Subnet(channels, size.hidden, out, kernel),
        clamp=size.clamp,
        clamp_activation=lambda s: SLOPE * torch.atan(s / size.clamp),
    )
    coupling.ndims = 1  # FrEIA then adds log-scales up over the channels alone: log|det J| stays a map
    return coupling


@dataclass(frozen=True, eq=False)
class FlowModel:
    """A flow as an architecture without weights; `log_det` is shown as a feature."""

    module: _Flow

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Convolutions within torch's default bounds, γ = 0; a permutation for every block."""
        params = {
            name: torch.zeros(1) if name.endswith("gamma") else _uniform(self.module, name, draw)
            for name, _ in self.module.named_parameters()
        }
        buffers = {
            name: torch.from_numpy(draw(name).permutation(len(value))) if name.startswith("order") else value.clone()
            for name, value in self.module.named_buffers()
        }
        return params, buffers

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """x → z."""
        z, log_det = functional_call(self.module, ({**params}, {**buffers}), (x,), strict=True)
        return View(z, {"log_det": log_det}, buffers)

    def inverse(self, params: Params, buffers: Params, z: Tensor) -> Tensor:
        """z → x."""
        x, _ = functional_call(self.module, ({**params}, {**buffers}), (z,), {"inverse": True}, strict=True)
        return x


def _uniform(module: nn.Module, name: str, draw: Draw) -> Tensor:
    """U(±1/√fan_in), for the weight and the bias of a convolution alike."""
    owner, _, last = name.rpartition(".")
    layer: Any = module.get_submodule(owner)
    bound = layer.weight[0].numel() ** -0.5
    return torch.from_numpy(draw(name).uniform(-bound, bound, getattr(layer, last).shape)).float()


class _Student(nn.Module):
    """conv – leaky ReLU, residual blocks of two conv – batch norm – leaky ReLU, conv. It has no inverse."""

    def __init__(self, shape: Shape, width: int, blocks: int, position: int) -> None:
        super().__init__()
        self.position: Tensor
        self.register_buffer("position", positional_encoding(position, *shape[1:]))
        self.first = nn.Conv2d(shape[0] + position, width, 3, padding=1)
        self.activation = nn.LeakyReLU()
        self.blocks = nn.ModuleList(_residual(width) for _ in range(blocks))
        self.last = nn.Conv2d(width, shape[0], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.position.expand(len(x), -1, -1, -1)], 1)
        x = self.activation(self.first(x))
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def _residual(width: int) -> nn.Sequential:
    layers = [(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU()) for _ in range(2)]
    return nn.Sequential(*(layer for triple in layers for layer in triple))


def flow(shape: Shape, size: FlowSize) -> FlowModel:
    """A flow on feature maps of `shape`. Global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        return FlowModel(_Flow(shape, size))


def convolutional(shape: Shape, width: int, blocks: int, position: int) -> Model:
    """The asymmetric student of feature maps of `shape`: what it gives has their shape."""
    return from_module(lambda: _Student(shape, width, blocks, position))
