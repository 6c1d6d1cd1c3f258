"""Whole stretches of plain gradient descent of two-layer students, one call for K updates of every network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

SIZE = 16
"""Numbers of a vector: rows of inputs are filled up to whole ones."""

BEHIND = 32
"""Rows that a block may read behind the last one."""

AT_ONCE_BYTES = 1_000_000
"""What is gathered at once of inputs that all networks share: half of what is near a core."""


KINDS = {"tanh": 0, "erf": 1, "relu": 2, "identity": 3}
"""The activations that the kernels know, by the number that the compiled one knows them by."""


@dataclass(frozen=True)
class Students:
    """Networks x → g(v · f(W x + b) + c), side by side. Tensors are contiguous float32; descent moves them in place.

    Args:
        w, v: weights, (trial, unit, input) and (trial, unit).
        b, c: biases, (trial, unit) and (trial, 1); None where there are none.
        inner, outer: the activations f and g, names of `tsd.models._chain.ACTIVATIONS`.
    """

    w: Tensor
    v: Tensor
    b: Tensor | None
    c: Tensor | None
    inner: str
    outer: str = "identity"


@dataclass(frozen=True)
class Samples:
    """What they learn from, and in which order.

    Args:
        x, y: inputs (sample, input) and labels (sample,) of all networks.
        first: where in x and in y those of each network begin, (2, trial).
        rows: sample numbers from there on, one batch after another, (trial, number), or (1, number) where all agree.
        sizes: samples of each batch, one for every update.
    """

    x: Tensor
    y: Tensor
    first: Tensor
    rows: Tensor
    sizes: tuple[int, ...]


def descend(students: Students, samples: Samples, rates: Tensor) -> Tensor:
    """Updates p ← p − η ∂L/∂p of every network with L = mean (output − y)² over its batch.

    Args:
        rates: η of each network at each update, (trial, update).
    Returns:
        L of each network before each update, (update, trial).
    """
    if students.w.device.type == "cpu":
        return _on_processor(students, samples, rates)
    from tsd.engine.fused import card

    return card.descend(students, samples, rates)


def _on_processor(students: Students, samples: Samples, rates: Tensor) -> Tensor:
    sizes, losses = samples.sizes, students.w.new_empty(rates.shape[1], len(rates))
    in_order = len(students.w) > 1 and len(samples.rows) == 1 and not samples.first[0].any()
    most = max(1, AT_ONCE_BYTES // (4 * max(sizes) * samples.x.shape[1])) if in_order else len(sizes)
    source = pad(samples.x, (0, -samples.x.shape[1] % SIZE)) if in_order else samples.x
    for low in range(0, len(sizes), most):
        begin, some = sum(sizes[:low]), sizes[low : low + most]
        rows = samples.rows[:, begin : begin + sum(some)].contiguous()
        x = _in_order(source, rows[0]) if in_order else samples.x
        part = replace(samples, x=x, rows=rows, sizes=some)
        _run(students, part, in_order, rates[:, low : low + most], losses[low : low + most])
    return losses


def _run(students: Students, samples: Samples, in_order: bool, rates: Tensor, losses: Tensor) -> None:
    from tsd.engine.fused.processor import descend as kernel

    trials, edges = len(students.w), torch.tensor([0, *samples.sizes]).cumsum(0)
    none = students.w.new_empty(trials, 0)
    biases = [none if bias is None else bias for bias in (students.b, students.c)]
    x, y, rates = samples.x.reshape(-1), samples.y.contiguous(), rates.contiguous()
    kinds = KINDS[students.inner], KINDS[students.outer]
    of_data = (each.numpy() for each in (y, samples.rows, edges, samples.first))
    moved = (each.numpy() for each in (rates, students.w, students.v, *biases, losses))
    kernel(x.numpy(), in_order, *of_data, *kinds, *moved)


def _in_order(x: Tensor, rows: Tensor) -> Tensor:
    """These rows of x one after another from the start of a cache line on, and some of zeros behind them."""
    width = x.shape[1]
    space = x.new_empty((len(rows) + BEHIND) * width + SIZE)
    start = -(space.data_ptr() // 4) % SIZE
    laid = space[start : start + (len(rows) + BEHIND) * width].view(-1, width)
    torch.index_select(x, 0, rows, out=laid[: len(rows)])
    laid[len(rows) :] = 0
    return laid
