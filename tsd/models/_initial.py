"""How first weights are drawn: (layer, name of its parameter, shape, generator) → values."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt

import numpy as np
from torch import nn

Initial = Callable[[nn.Module, str, tuple[int, ...], np.random.Generator], np.ndarray]


def torchs(layer: nn.Module, name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """torch's defaults: U(±1/√fan_in) for weights and biases of affine layers, 1 and 0 for those of norms.

    Raises:
        TypeError: how to draw a parameter of this kind of layer is not known.
    """
    if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
        bound = layer.weight[0].numel() ** -0.5
        return generator.uniform(-bound, bound, shape).astype(np.float32)
    if isinstance(layer, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
        return np.full(shape, 1.0 if name == "weight" else 0.0, dtype=np.float32)
    raise TypeError(f"how to draw `{name}` of a {type(layer).__name__} is not known; add its rule to {__name__}")


def he(layer: nn.Module, name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Convolutions N(0, 2/n) with n = kernel area · outputs that read one input, and biases 0; the rest as torch's.

    He, Zhang, Ren, Sun 2015, arXiv:1502.01852, eq. 14: gradients keep their size from layer to layer.
    """
    if not isinstance(layer, nn.modules.conv._ConvNd):
        return torchs(layer, name, shape, generator)
    if name == "bias":
        return np.zeros(shape, dtype=np.float32)
    readers = prod(layer.kernel_size) * layer.out_channels // layer.groups
    return generator.standard_normal(shape, dtype=np.float32) * np.float32(sqrt(2 / readers))
