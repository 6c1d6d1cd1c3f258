"""Sign networks drawn at random, their inputs, and how alike two of them are. Spins are packed, 64 patterns a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


def draw_wiring(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Which different units of the layer below a unit reads, in order, of shape (layer, unit, input)."""
    depth, width, fan_in = shape
    return np.sort(generator.random((depth, width, width)).argsort(-1)[..., :fan_in], axis=-1)


def draw_weights(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Uniform on the spheres Σ_j J_j² = c, of shape (layer, unit, input)."""
    weights = generator.normal(size=shape)
    return weights * np.sqrt(shape[-1] / (weights**2).sum(-1, keepdims=True))


def draw_inputs(patterns: int, features: np.ndarray | None, width: int, generator: np.random.Generator) -> np.ndarray:
    """Packed inputs of shape (unit, word): independent signs, or x = sgn(F z) with Gaussian z of few dimensions.

    Args:
        features: F of shape (unit, dimension); None for independent signs.
    """
    if features is None:
        return pack((generator.random((patterns, width)) < 0.5).T)
    return pack((generator.normal(size=(patterns, features.shape[1])) @ features.T).T > 0)


def pack(up: np.ndarray) -> np.ndarray:
    """Truth values of shape (unit, pattern) as words of 64, shape (unit, word); what is left of the last word is 0."""
    padded = np.zeros((len(up), -(-up.shape[1] // 64) * 64), dtype=bool)
    padded[:, : up.shape[1]] = up
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


def unpack(words: np.ndarray, patterns: int) -> np.ndarray:
    """Signs ±1 of shape (…, pattern), float32, from words of shape (…, word)."""
    return 2 * np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little", count=patterns).astype(np.float32) - 1


class Likeness(NamedTuple):
    """How two networks of one wiring compare, symmetries divided out.

    Args:
        overlaps: root mean square over units of the spins' overlap, of shape (layer,).
        bonds: root mean square over units of the weights' overlap, of shape (layer,).
        output_bond: mean over the output units of the weights' overlap with its sign.
        error: share of output bits in which they differ.
    """

    overlaps: np.ndarray
    bonds: np.ndarray
    output_bond: float
    error: float


def compare(first: np.ndarray, second: np.ndarray, weights: Sequence[np.ndarray], wiring: np.ndarray) -> Likeness:
    """How alike two networks are on the same inputs.

    The sign of a hidden unit means nothing, since its bonds can take it over. In a sparse network its place is fixed by
    the wiring; where every unit reads the whole layer below, hidden units are matched so that their overlaps sum up
    to most, regardless of sign.

    Args:
        first, second: spins ±1 of all layers, of shape (layer + 1, unit, pattern).
        weights: of the first and of the second, of shape (layer, unit, input).
        wiring: of both, of the same shape.
    """
    depth, width, inputs = wiring.shape
    places, signs = np.arange(width), np.ones(width)
    overlaps, bonds = [], []
    for layer in range(depth):
        hidden, below = layer < depth - 1, places
        places = _matched(first[layer + 1], second[layer + 1]) if hidden and inputs == width else np.arange(width)
        found = (first[layer + 1] * second[layer + 1][places]).mean(1, dtype=np.float64)
        other = weights[1][layer][places]
        other = (other[:, below] if inputs == width else other) * signs[wiring[layer]]
        signs = np.where(found < 0, -1.0, 1.0) if hidden else np.ones(width)
        bond = signs * (weights[0][layer] * other).mean(1)
        overlaps.append(found)
        bonds.append(bond)
    wrong = float(np.mean(first[-1] != second[-1]))
    return Likeness(_root_mean_square(overlaps), _root_mean_square(bonds), float(bond.mean()), wrong)


def _root_mean_square(values: Sequence[np.ndarray]) -> np.ndarray:
    """Over the units, of shape (layer,)."""
    return np.sqrt(np.mean(np.square(values), axis=1))


def _matched(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The partner of each unit of the first, such that the absolute overlaps sum up to most."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(-np.abs(first @ second.T))[1]
