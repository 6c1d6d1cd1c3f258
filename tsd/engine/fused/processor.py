"""K steps of plain gradient descent of two-layer students on a processor, one network after another.

A network's weights stay in the cache for all K steps, and each batch passes through it once, in blocks of rows: a block
is gathered, sent forward, and its gradient is added up while it is still there. Hidden units are the lanes of the way
forward, inputs those of the way back, so neither transposes the data; the weights are held both ways round.

A network is computed alone and every sum has one order, so its bits do not depend on its company. Rows and lanes that
fill up a block or a vector have no weight in the loss: they add zero to every gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
from llvmlite.binding import get_host_cpu_features
from numba import njit

from tsd.engine.fused import functions, lanes, rational
from tsd.engine.fused.functions import ZERO, activate
from tsd.engine.fused.lanes import fma, load, load_some, prefetch, product, splat, store, total, transpose
from tsd.studies._compiled import compiled

LANES, BLOCK = 16, 32
"""Numbers a vector, and rows a block."""

WIDE = bool(get_host_cpu_features().get("avx512f"))
"""Whether the core has 32 registers of sixteen numbers; 16 of eight numbers are assumed elsewhere."""

FORWARD = (0, 16, 8, 8, 4) if WIDE else (0, 4, 2, 2, 1)
"""Rows of a tile of so many vectors: as many sums as the registers hold, so that the core waits for none of them. The
order of every sum is the same whatever the tiles."""

PAIRS, ACROSS = (6, 2) if WIDE else (3, 1)
"""Most pairs of hidden units, and vectors, of a tile on the way back."""

signals = product([(FORWARD[v], v) for v in (1, 2, 3, 4)])
gradients = product([(2 * pairs, v) for pairs in range(1, PAIRS + 1) for v in range(1, ACROSS + 1)])


@njit
def room(count: int) -> np.ndarray:
    """Zeros from the start of a cache line on: a vector across two lines takes twice as long."""
    whole = np.zeros(count + LANES, np.float32)
    skip = -(whole.ctypes.data // 4) % LANES
    return whole[skip : skip + count]


@njit
def gather(block, width, x, inputs, rows, own, start, end, first):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """block[row · width :] ← the samples rows[own, start : end] of a network whose own begin at `first`, with zeros
    behind them; those of the next block are asked for, so that they are near when their turn comes."""
    whole = inputs // LANES * LANES
    for n in range(end - start):
        source, target = (first + rows[own, start + n]) * inputs, n * width
        for k in range(0, whole, LANES):
            store(block, target + k, load(x, source + k))
        if whole < inputs:
            store(block, target + whole, load_some(x, source + whole, inputs - whole))
    for i in range((end - start) * width, BLOCK * width):
        block[i] = 0
    for n in range(end, min(end + BLOCK, rows.shape[1])):
        source = (first + rows[own, n]) * inputs
        for k in range(0, inputs, LANES):
            prefetch(x, source + k)


@njit
def forward(block, begin, width, inputs, across, b, hidden):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """hidden (row, unit) ← block[begin :] (row, input) · across (input, unit) + b."""
    units = len(b)
    for j in range(0, units, LANES):
        bias = load(b, j)
        for n in range(BLOCK):
            store(hidden, n * units + j, bias)
    j = 0
    while j < units:
        vectors = min(4, (units - j) // LANES)
        rows = FORWARD[vectors]
        for n in range(0, BLOCK, rows):
            at = n * units + j
            signals(rows, vectors, block, begin + n * width, width, 1, across, j, units, hidden, at, units, inputs)
        j += vectors * LANES


@njit
def answer(hidden: np.ndarray, v: np.ndarray, c: float, output: np.ndarray) -> None:
    """output (row,) ← hidden · v + c."""
    for n in range(BLOCK):
        value = splat(ZERO)
        for j in range(0, len(v), LANES):
            value = fma(load(hidden, n * len(v) + j), load(v, j), value)
        output[n] = total(value) + c


@njit
def compare(output, slopes, y, count, scale, sums):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """output ← scale (output − y) · slopes, zero behind `count` rows; adds (output − y)² to sums[:16] and the rest to
    sums[16:]."""
    for n in range(count, BLOCK):
        output[n] = y[n] = 0
    for n in range(0, BLOCK, LANES):
        error = load(output, n) - load(y, n)
        store(sums, 0, fma(error, error, load(sums, 0)))
        gradient = error * splat(scale) * load(slopes, n)
        store(sums, LANES, load(sums, LANES) + gradient)
        store(output, n, gradient)


@njit
def pull(error, hidden, slopes, v, dv, db):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """slopes ← error · v · slopes, the gradient of the signals; adds up those of v and of the hidden biases."""
    for j in range(0, len(v), LANES):
        weight, slope, bias = load(v, j), load(dv, j), load(db, j)
        for n in range(BLOCK):
            each, at = splat(error[n]), n * len(v) + j
            slope = fma(each, load(hidden, at), slope)
            gradient = each * weight * load(slopes, at)
            bias = bias + gradient
            store(slopes, at, gradient)
        store(dv, j, slope)
        store(db, j, bias)


@njit
def backward(slopes, lanes, units, block, begin, width, dw):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """dw (unit, input) += slopesᵀ (unit, row) · block[begin :] (row, input)."""
    pairs = (units + 1) // 2
    tiles = (pairs + PAIRS - 1) // PAIRS
    for number in range(tiles):
        low, high = 2 * (pairs * number // tiles), 2 * (pairs * (number + 1) // tiles)
        for k in range(0, width, ACROSS * LANES):
            vectors = min(ACROSS, (width - k) // LANES)
            into = low * width + k
            gradients(high - low, vectors, slopes, low, 1, lanes, block, begin + k, width, dw, into, width, BLOCK)


@njit
def turn(w, across, lanes, width):  # type: ignore[no-untyped-def]
    """across (input, unit) ← w (unit, input)."""
    for j in range(0, lanes, LANES):
        for k in range(0, width, LANES):
            transpose(w, j * width + k, width, across, k * lanes + j, lanes)


@njit
def clear(array: np.ndarray) -> None:
    for i in range(len(array)):
        array[i] = 0


@njit
def lay_down(small: np.ndarray, into: np.ndarray, width: int) -> None:
    """into[row · width :] ← the rows of a matrix, and zeros for the rest, where a NaN may have been left."""
    clear(into)
    for i in range(small.shape[0]):
        for k in range(small.shape[1]):
            into[i * width + k] = small[i, k]


@njit
def take_up(whole: np.ndarray, into: np.ndarray, width: int) -> None:
    """The way back."""
    for i in range(into.shape[0]):
        for k in range(into.shape[1]):
            into[i, k] = whole[i * width + k]


@njit
def take_from(array: np.ndarray, change: np.ndarray) -> None:
    """array ← array − change; change ← 0."""
    for i in range(0, len(array), LANES):
        store(array, i, load(array, i) - load(change, i))
    clear(change)


def _kernel(sources: int) -> Callable[..., None]:
    """The compiled kernel. numba keeps it for the file that it stands in and for what it closes over: the other files
    that it is made of have to be among that."""

    @compiled
    def kernel(x, in_order, y, rows, edges, first, inner, outer, rates, weights, v, b, c, losses):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        units, inputs = weights.shape[1:] if sources else (0, 0)
        lanes, width = -(-units // LANES) * LANES, -(-inputs // LANES) * LANES
        block, hidden, slopes = x if in_order else room(BLOCK * width), room(BLOCK * lanes), room(BLOCK * lanes)
        label, output, steep, sums = room(BLOCK), room(BLOCK), room(BLOCK), room(2 * LANES)
        w, across, dw = room(lanes * width), room(lanes * width), room(lanes * width)
        top, dtop, bias, dbias = room(lanes), room(lanes), room(lanes), room(lanes)
        for t in range(len(weights)):
            own = t if len(rows) > 1 else 0
            lay_down(weights[t], w, width)
            lay_down(v[t : t + 1], top, lanes)
            lay_down(b[t : t + 1], bias, lanes)
            turn(w, across, lanes, width)
            for s in range(len(edges) - 1):
                low, high = edges[s], edges[s + 1]
                scale = np.float32(rates[t, s] * 2 / (high - low))
                for start in range(low, high, BLOCK):
                    end = min(start + BLOCK, high)
                    begin = start * width if in_order else 0
                    if not in_order:
                        gather(block, width, x, inputs, rows, own, start, end, first[0, t])
                    for n in range(end - start):
                        label[n] = y[first[1, t] + rows[own, start + n]]
                    forward(block, begin, width, inputs, across, bias, hidden)
                    activate(inner, hidden, slopes)
                    answer(hidden, top, c[t, 0] if c.shape[1] else ZERO, output)
                    activate(outer, output, steep)
                    compare(output, steep, label, end - start, scale, sums)
                    pull(output, hidden, slopes, top, dtop, dbias)
                    backward(slopes, lanes, units, block, begin, width, dw)
                losses[s, t] = total(load(sums, 0)) / np.float32(high - low)
                if c.shape[1]:
                    c[t, 0] -= total(load(sums, LANES))
                take_from(w, dw)
                turn(w, across, lanes, width)
                take_from(top, dtop)
                if b.shape[1]:
                    take_from(bias, dbias)
                clear(sums)
            take_up(w, weights[t], width)
            take_up(top, v[t : t + 1], lanes)
            take_up(bias, b[t : t + 1], lanes)

    return kernel


descend = _kernel(crc32(b"".join(Path(str(each.__file__)).read_bytes() for each in (functions, lanes, rational))))
"""K updates of every network.

Args:
    x: inputs, flat: sample after sample, or, `in_order`, the batches one after another as `rows` asks for them, every
        row filled up with zeros to whole vectors, and 32 rows more.
    y: labels.
    rows: samples in the order of the updates, (1 or trial, sample).
    edges: where in them the batch of each update begins and the last one ends, (K + 1,).
    first: where in x and in y the samples of each network begin, (2, trial).
    inner, outer: activations of the hidden units and of the output, by their numbers in `descent.KINDS`.
    rates: step size of each network at each update, (trial, K).
    weights, v, b, c: weights (trial, unit, input) and (trial, unit), biases (trial, unit) and (trial, 1), of width 0
        where there are none; they move in place.
    losses: of each network before each update, (K, trial); written.
"""
