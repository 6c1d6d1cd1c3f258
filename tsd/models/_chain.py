"""A chain of affine layers with one activation between them: its value, and the slope of each activation.

The slopes are what hand-written gradients need; autograd never sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

from tsd.models._base import Features, Layer, View


@dataclass(frozen=True)
class Activation:
    """A pointwise function f.

    Args:
        value: z → f(z).
        apply: the same for a tensor that is given away: it may be overwritten.
        pullback: (gradient, z or what `apply` left of it, f(z)) → gradient · f′(z); overwrites the gradient.
    """

    value: Callable[[Tensor], Tensor]
    apply: Callable[[Tensor], Tensor]
    pullback: Callable[[Tensor, Tensor, Tensor], Tensor]


def _relu_pullback(g: Tensor, z: Tensor, f: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward.grad_input(g, f, 0, grad_input=g)


def _tanh_pullback(g: Tensor, z: Tensor, f: Tensor) -> Tensor:
    return torch.ops.aten.tanh_backward.grad_input(g, f, grad_input=g)


def _erf(z: Tensor) -> Tensor:
    return torch.erf(z * sqrt(0.5))


def _erf_pullback(g: Tensor, z: Tensor, f: Tensor) -> Tensor:
    return g.mul_((z * z).mul_(-0.5).exp_()).mul_(sqrt(2 / pi))


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(torch.relu, torch.relu_, _relu_pullback),
    "tanh": Activation(torch.tanh, torch.tanh_, _tanh_pullback),
    "erf": Activation(_erf, _erf, _erf_pullback),
    "identity": Activation(lambda z: z, lambda z: z, lambda g, z, f: g),
}
"""relu, tanh, identity and erf(z/√2), the one whose Gaussian averages have closed forms (Saad and Solla 1995)."""


def points(layer: int) -> tuple[str, str]:
    """Feature points of hidden layer number `layer` (from 1): before and after its activation."""
    return f"affine{layer}", f"hidden{layer}"


def run_chain(layers: Sequence[Layer], activation: str, x: Tensor, *, first: int = 1) -> View:
    """One network on inputs `x` of shape (batch, …).

    Args:
        first: number of the first layer of `layers`, where they are the rest of a chain.
    Features: `affine1`, `affine2`, … before and `hidden1`, `hidden2`, … after the activations of the hidden layers.
    """
    signal, features, last = x.flatten(1), Features(), first + len(layers) - 1
    for number, layer in enumerate(layers, start=first):
        signal = signal @ layer.weight
        if layer.bias is not None:
            signal = signal + layer.bias
        if number < last:
            before, after = points(number)
            features[before] = signal
            signal = features[after] = ACTIVATIONS[activation].value(signal)
    return View(signal.squeeze(1) if signal.shape[1] == 1 else signal, features, {})
