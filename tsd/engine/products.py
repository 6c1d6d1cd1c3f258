"""Products of a stack with its inputs. Where all its trials have the same ones, many narrow products become a wide one.

A wide product adds up in the order of the narrow ones only where BLAS takes kernels of one kind for both, which depends
on the shape and on the machine. So it is tried once for each shape, on random numbers, and taken where every bit
agrees: a trial has the same bits beside trials that share its inputs and beside trials that do not.

Weights and gradients are (trial, out, in), inputs (trial, sample, in), signals and their slopes (trial, out, sample).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def signals(weight: Tensor, inputs: Tensor) -> Tensor:
    """What the weights make of the inputs."""
    if _shared(inputs) and _agree(weight.shape, inputs.shape[1], weight.dtype, weight.device):
        return _wide_signals(weight, inputs[0])
    return torch.bmm(weight, inputs.mT)


def gradients(slopes: Tensor, inputs: Tensor) -> Tensor:
    """Gradients of the weights whose signals have these slopes."""
    trials, out, samples = slopes.shape
    if _shared(inputs) and _agree((trials, out, inputs.shape[2]), samples, slopes.dtype, slopes.device):
        return _wide_gradients(slopes, inputs[0])
    return torch.bmm(slopes, inputs)


def descend(weight: Tensor, slopes: Tensor, inputs: Tensor) -> None:
    """weight ← weight − gradients(slopes, inputs) in one pass over the weights, in place."""
    if (
        _shared(inputs)
        and weight.is_contiguous()
        and _agree(weight.shape, inputs.shape[1], weight.dtype, weight.device)
    ):
        _wide_descend(weight, slopes, inputs[0])
    else:
        weight.baddbmm_(slopes, inputs, alpha=-1)


def _shared(inputs: Tensor) -> bool:
    """Whether all trials have the same inputs: one matrix, seen by each."""
    return inputs.stride(0) == 0 and len(inputs) > 1


def _wide_signals(weight: Tensor, inputs: Tensor) -> Tensor:
    trials, out, features = weight.shape
    return torch.mm(weight.reshape(-1, features), inputs.mT).view(trials, out, -1)


def _wide_gradients(slopes: Tensor, inputs: Tensor) -> Tensor:
    trials, out, samples = slopes.shape
    return torch.mm(slopes.reshape(-1, samples), inputs).view(trials, out, -1)


def _wide_descend(weight: Tensor, slopes: Tensor, inputs: Tensor) -> None:
    weight.view(-1, weight.shape[2]).addmm_(slopes.reshape(-1, slopes.shape[2]), inputs, alpha=-1)


@cache
def _agree(shape: tuple[int, int, int], samples: int, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether wide and narrow products of weights of this shape with so many samples agree in every bit here."""
    (trials, out, features), source = shape, torch.Generator().manual_seed(0)
    sizes = shape, (trials, out, samples), (samples, features)
    weight, slopes, one = (torch.randn(size, generator=source, dtype=dtype).to(device) for size in sizes)
    many, wide, narrow = one.repeat(trials, 1, 1), weight.clone(), weight.clone()
    _wide_descend(wide, slopes, one)
    narrow.baddbmm_(slopes, many, alpha=-1)
    return (
        torch.equal(wide, narrow)
        and torch.equal(_wide_signals(weight, one), torch.bmm(weight, many.mT))
        and torch.equal(_wide_gradients(slopes, one), torch.bmm(slopes, many))
    )
