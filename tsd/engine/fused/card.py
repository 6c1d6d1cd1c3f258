"""K steps of plain gradient descent of two-layer students on a GPU: one Triton program a network, one launch for all.

A step is two products of matrices. The way forward goes through the batch once, in blocks of rows, and leaves the
gradients of the hidden signals behind; the way back adds them up over the batch, one slice of the weights after
another. Weights and signals of a network are of a size that the caches of its multiprocessor hold. Products are of full
float32, not of its 19-bit stand-in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from tsd.engine.fused import rational
from tsd.engine.fused.descent import Samples, Students

TANH_BOUND, ERF_BOUND = tl.constexpr(rational.TANH_BOUND), tl.constexpr(rational.ERF_BOUND)
TANH_P, TANH_Q = tl.constexpr(rational.TANH_P), tl.constexpr(rational.TANH_Q)
ERF_P, ERF_Q = tl.constexpr(rational.ERF_P), tl.constexpr(rational.ERF_Q)
HEIGHT = tl.constexpr((2 / torch.pi) ** 0.5)


@dataclass(frozen=True)
class Tiles:
    """Sizes of what a program holds at a time; powers of two, 16 or more.

    Args:
        units: hidden units, all of them and some that have no weight.
        rows: of a batch, on the way forward.
        inputs: slice of the weights, on the way back.
        depth: numbers that are summed at a time.
        warps: of 32 threads each.
        stages: loads that are under way at a time; more of them take more registers.
    """

    units: int
    rows: int
    inputs: int
    depth: int
    warps: int
    stages: int


def tiles(units: int) -> Tiles:
    """Those for networks of so many hidden units: with 10 to 100 of them nothing spills, and two programs or more fit a
    multiprocessor of compute capability 9.0."""
    padded = max(16, triton.next_power_of_2(units))
    side = max(16, min(64, 4096 // padded))
    return Tiles(padded, rows=side, inputs=side, depth=16, warps=4, stages=2 if padded < 64 else 1)


@triton.jit
def polynomial(coefficients: tl.constexpr, degree: tl.constexpr, x):  # type: ignore[no-untyped-def]
    value = tl.full(x.shape, coefficients[degree], tl.float32)
    for k in tl.static_range(degree):
        value = value * x + coefficients[degree - 1 - k]
    return value


@triton.jit
def clamp(x, bound: tl.constexpr):  # type: ignore[no-untyped-def]
    """x, or ±bound where it lies beyond; NaN stays."""
    below = tl.where(x > bound, bound, x)
    return tl.where(below < -bound, -bound, below)


@triton.jit
def activate(name: tl.constexpr, z):  # type: ignore[no-untyped-def]
    """f(z) and f′(z)."""
    if name == "tanh":
        x = clamp(z, TANH_BOUND)
        value = clamp(x * polynomial(TANH_P, 4, x * x) / polynomial(TANH_Q, 4, x * x), 1.0)
        slope = 1.0 - value * value
    elif name == "erf":
        x = clamp(z, ERF_BOUND)
        value = clamp(x * polynomial(ERF_P, 5, x * x) / polynomial(ERF_Q, 5, x * x), 1.0)
        slope = HEIGHT * tl.exp(-0.5 * z * z)
    elif name == "relu":
        value = tl.where(z <= 0, 0.0, z)
        slope = tl.where(z > 0, 1.0, 0.0)
    else:
        value = z
        slope = tl.full(z.shape, 1.0, tl.float32)
    return value, slope


@triton.jit
def block(source, inputs, row, there, at):  # type: ignore[no-untyped-def]
    """Entries `at` of these rows, zero where there is none."""
    known = there[:, None] & (at < inputs)[None, :]
    return tl.load(source + row[:, None] * inputs + at[None, :], known, 0.0)


@triton.jit
def forward(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    x, y, rows, count, scale, w, top, bias, height, gradients, units, inputs,
    inner: tl.constexpr, outer: tl.constexpr, UNITS: tl.constexpr, ROWS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """The sum of the squared errors of a batch, and what is to be taken from output weights and both biases; the
    hidden signals' gradients go to `gradients` (row, unit)."""
    unit = tl.arange(0, UNITS)
    loss, dheight = 0.0, 0.0
    dtop, dbias = tl.zeros([UNITS], tl.float32), tl.zeros([UNITS], tl.float32)
    for start in range(0, count, ROWS):
        place = start + tl.arange(0, ROWS)
        there = place < count
        row = tl.load(rows + place, there, 0)
        signal = tl.zeros([ROWS, UNITS], tl.float32)
        for k in range(0, inputs, DEPTH):
            at = k + tl.arange(0, DEPTH)
            weight = tl.trans(block(w, inputs, unit, unit < units, at))
            signal = tl.dot(block(x, inputs, row, there, at), weight, signal, input_precision="ieee")
        hidden, slope = activate(inner, signal + bias[None, :])
        output, steep = activate(outer, tl.sum(hidden * top[None, :], 1) + height)
        error = tl.where(there, output - tl.load(y + row, there, 0.0), 0.0)
        loss += tl.sum(error * error)
        error = error * scale * steep
        dheight += tl.sum(error)
        dtop += tl.sum(hidden * error[:, None], 0)
        slope = slope * top[None, :] * error[:, None]
        dbias += tl.sum(slope, 0)
        tl.store(gradients + place[:, None] * UNITS + unit[None, :], slope)
    return loss, dtop, dbias, dheight


@triton.jit
def backward(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    x, rows, count, w, gradients, units, inputs, UNITS: tl.constexpr, INPUTS: tl.constexpr, DEPTH: tl.constexpr
):  # fmt: skip
    """Takes from the hidden weights what `gradients` and the inputs of the batch say."""
    unit = tl.arange(0, UNITS)
    for k in range(0, inputs, INPUTS):
        at = k + tl.arange(0, INPUTS)
        change = tl.zeros([UNITS, INPUTS], tl.float32)
        for start in range(0, count, DEPTH):
            place = start + tl.arange(0, DEPTH)
            there = place < count
            sample = block(x, inputs, tl.load(rows + place, there, 0), there, at)
            slope = tl.trans(block(gradients, UNITS, place, there, unit))
            change = tl.dot(slope, sample, change, input_precision="ieee")
        held = (unit < units)[:, None] & (at < inputs)[None, :]
        target = w + unit[:, None] * inputs + at[None, :]
        tl.store(target, tl.load(target, held, 0.0) - change, held)


@triton.jit
def kernel(  # type: ignore[no-untyped-def]  # noqa: PLR0917
    x, y, rows, edges, first, rates, w, v, b, c, gradients, losses,
    steps, units, inputs, order_stride, room,
    inner: tl.constexpr, outer: tl.constexpr, biased: tl.constexpr, raised: tl.constexpr,
    UNITS: tl.constexpr, ROWS: tl.constexpr, INPUTS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """All updates of one network. The barriers stand between writing and reading, by other threads, of the gradients
    and of the weights."""
    trial, trials = tl.program_id(0), tl.num_programs(0)
    x += tl.load(first + trial) * inputs
    y += tl.load(first + trials + trial)
    rows += trial * order_stride
    w += trial.to(tl.int64) * units * inputs
    gradients += trial.to(tl.int64) * room * UNITS
    unit = tl.arange(0, UNITS)
    top = tl.load(v + trial * units + unit, unit < units, 0.0)
    bias = tl.load(b + trial * units + unit, unit < units, 0.0) if biased else tl.zeros([UNITS], tl.float32)
    height = tl.load(c + trial) if raised else 0.0
    for step in range(steps):
        low = tl.load(edges + step)
        count = (tl.load(edges + step + 1) - low).to(tl.int32)
        scale = 2.0 * tl.load(rates + trial * steps + step) / count
        loss, dtop, dbias, dheight = forward(
            x, y, rows + low, count, scale, w, top, bias, height, gradients, units, inputs,
            inner, outer, UNITS, ROWS, DEPTH,
        )  # fmt: skip
        tl.store(losses + step * trials + trial, loss / count)
        tl.debug_barrier()
        backward(x, rows + low, count, w, gradients, units, inputs, UNITS, INPUTS, DEPTH)
        tl.debug_barrier()
        top = tl.where(unit < units, top - dtop, 0.0)
        if biased:
            bias = tl.where(unit < units, bias - dbias, 0.0)
        if raised:
            height -= dheight
    tl.store(v + trial * units + unit, top, unit < units)
    if biased:
        tl.store(b + trial * units + unit, bias, unit < units)
    if raised:
        tl.store(c + trial, height)


def descend(students: Students, samples: Samples, rates: Tensor) -> Tensor:
    """As `tsd.engine.fused.descent.descend`, where the students lie on a GPU."""
    (trials, units, inputs), device = students.w.shape, students.w.device
    size = tiles(units)
    room = -(-max(samples.sizes) // size.rows) * size.rows
    edges = torch.tensor([0, *samples.sizes], device=device).cumsum(0)
    losses = students.w.new_empty(len(samples.sizes), trials)
    gradients = students.w.new_empty(trials, room, size.units)
    order_stride = samples.rows.shape[1] if len(samples.rows) > 1 else 0
    biases = [losses if bias is None else bias for bias in (students.b, students.c)]
    kernel[(trials,)](
        samples.x, samples.y, samples.rows, edges, samples.first, rates.contiguous(), students.w, students.v, *biases,
        gradients, losses, len(samples.sizes), units, inputs, order_stride, room,
        students.inner, students.outer, students.b is not None, students.c is not None,
        size.units, size.rows, size.inputs, size.depth, num_warps=size.warps, num_stages=size.stages,
    )  # fmt: skip
    return losses
