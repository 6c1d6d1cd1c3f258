"""Hand-written gradients for chains of affine layers: two batched products a layer, no graph, no tape.

Signals are kept feature-major, (trial, feature, sample): with few hidden nodes BLAS is up to twice as fast on them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from tsd.engine import products
from tsd.models._base import Layer
from tsd.models._chain import Activation, points

OUTPUT = "output"
"""What the end of a chain is called beside its feature points."""

Signals = list[tuple[Tensor, Tensor]]
"""Of hidden layers: their signal before and after the activation, (trial, feature, sample)."""


def forward(
    layers: Sequence[Layer], activation: Activation, x: Tensor, read: Collection[str] = ()
) -> tuple[dict[str, Tensor], Signals]:
    """One pass of a stack on inputs (trial, sample, feature).

    Args:
        read: names of feature points whose values are read; those before an activation are lost else.
    Returns:
        By name: features (trial, sample, feature) and the output, so or, with one class, (trial, sample); and the
        signals of the hidden layers.
    """
    inputs, signals, shown = x, [], {}
    for number, layer in enumerate(layers, start=1):
        before = products.signals(layer.weight.mT, inputs)
        if layer.bias is not None:
            before.add_(layer.bias.unsqueeze(2))
        if number == len(layers):
            break
        point, behind = points(number)
        after = (activation.value if point in read else activation.apply)(before)
        signals.append((before, after))
        shown[point], shown[behind] = before.mT, after.mT
        inputs = after.mT
    shown[OUTPUT] = before.squeeze(1) if before.shape[1] == 1 else before.mT
    return shown, signals


def backward(
    layers: Sequence[Layer], activation: Activation, x: Tensor, signals: Signals, slopes: Mapping[str, Tensor]
) -> list[Layer]:
    """Gradients of the layers from `slopes`, the gradients of what is read of all that `forward` shows; a layer that is
    not trained comes back as it is, and one behind all that is read with gradients of 0."""
    found: list[Layer] = []
    for layer, inputs, delta in _back(layers, activation, x, signals, slopes):
        bias = None if layer.bias is None else delta.sum(2)
        found.insert(0, Layer(products.gradients(delta, inputs).mT, bias) if layer.trained else layer)
    return [*found, *map(_still, layers[len(found) :])]


def descend(
    layers: Sequence[Layer], activation: Activation, x: Tensor, signals: Signals, slopes: Mapping[str, Tensor]
) -> None:
    """Moves every layer in place against its gradient; `slopes` are those of `backward` times the step size. It is what
    `backward` and a step along its gradients come to, without gradients in memory."""
    for layer, inputs, delta in _back(layers, activation, x, signals, slopes):
        products.descend(layer.weight.mT, delta, inputs)
        if layer.bias is not None:
            layer.bias.sub_(delta.sum(2))


def _back(
    layers: Sequence[Layer], activation: Activation, x: Tensor, signals: Signals, slopes: Mapping[str, Tensor]
) -> Iterator[tuple[Layer, Tensor, Tensor]]:
    """From the last layer that is read to the first: the layer, its inputs (trial, sample, in), and the gradient of
    its signal. The next gradient is taken before a layer is handed out, so it may be changed by whoever gets it."""
    inputs = [x, *(after.mT for _, after in signals)]

    def slope(number: int, flow: Tensor | None) -> Tensor:
        """Of the signal of layer `number`, where `flow` comes back from the layer behind it."""
        if number == len(layers):
            own = slopes[OUTPUT]
            return own.unsqueeze(1) if own.ndim == 2 else own.mT
        point, behind = points(number)
        after = _sum(flow, slopes.get(behind))
        before = None if after is None else activation.pullback(after, *signals[number - 1])
        return cast(Tensor, _sum(before, slopes.get(point)))

    places = {OUTPUT: len(layers)} | {point: number for number in range(1, len(layers)) for point in points(number)}
    last = max((places[name] for name in slopes), default=0)
    delta = slope(last, None) if last else x
    for number in range(last, 0, -1):
        here, layer = delta, layers[number - 1]
        if number > 1:
            delta = slope(number - 1, torch.bmm(layer.weight, here))
        yield layer, inputs[number - 1], here


def _sum(flow: Tensor | None, own: Tensor | None) -> Tensor | None:
    """The gradient that flows back and that of what is read, (trial, sample, feature): their sum, which may be
    overwritten."""
    if own is None:
        return flow
    return own.mT.clone(memory_format=torch.contiguous_format) if flow is None else flow.add_(own.mT)


def _still(layer: Layer) -> Layer:
    """The gradient of a layer that nothing depends on."""
    bias = None if layer.bias is None else torch.zeros_like(layer.bias)
    return Layer(torch.zeros_like(layer.weight), bias) if layer.trained else layer
