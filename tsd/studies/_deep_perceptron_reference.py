"""The moves of `_deep_perceptron_kernel.metropolis` in plain NumPy: what the compiled ones have to equal bit by bit.

`benchmarks/deep_perceptron.py` times one against the other.
"""

# ruff: noqa: PLR0917 — the arguments are those of the compiled function

from __future__ import annotations

import numpy as np


def metropolis(
    weights: np.ndarray,
    wiring: np.ndarray,
    spins: np.ndarray,
    target: np.ndarray,
    units: np.ndarray,
    kicks: np.ndarray,
    allowance: np.ndarray,
) -> int:
    """Propose new weights for one unit after the other; `weights` and `spins` change where that is accepted.

    Args:
        weights, wiring: of shape (layer, unit, input).
        spins: ±1.0 on the training patterns, of shape (layer + 1, unit, pattern).
        target: output spins to reproduce, of shape (unit, pattern).
        units: the unit that each proposal changes, layer·N + unit, of shape (proposal,).
        kicks: of shape (proposal, input).
        allowance: by how much the wrong bits may rise, of shape (proposal,).
    Returns:
        Change in the number of wrong output bits.
    """
    width, inputs = weights.shape[1:]
    total = 0
    for (layer, unit), kick, allowed in zip(zip(*divmod(units, width), strict=True), kicks, allowance, strict=True):
        old = weights[layer, unit].copy()
        kicked = old + kick
        weights[layer, unit] = kicked * np.sqrt(inputs / np.cumsum(kicked * kicked)[-1])
        moved, change = _ripple(weights, wiring, spins, target, layer, np.array([unit]))
        if change <= allowed:
            total += change
        else:
            weights[layer, unit] = old
            for l, places, before in moved:
                spins[l, places] = before
    return total


def _ripple(
    weights: np.ndarray, wiring: np.ndarray, spins: np.ndarray, target: np.ndarray, layer: int, reached: np.ndarray
) -> tuple[list[tuple[int, np.ndarray, np.ndarray]], int]:
    """Evaluate the units `reached` of a layer, then whatever reads a spin that moved.

    Returns:
        Moves (layer, units, their spins of before); change in the number of wrong output bits.
    """
    moved, change = [], 0
    for l in range(layer, len(weights)):
        new = evaluate(weights[l, reached], spins[l][wiring[l, reached]])
        differ = (new != spins[l + 1, reached]).any(1)
        places, new = reached[differ], new[differ]
        before = spins[l + 1, places].copy()
        if l == len(weights) - 1:
            change = int((new != target[places]).sum()) - int((before != target[places]).sum())
        spins[l + 1, places] = new
        moved.append((l + 1, places, before))
        if not len(places) or l == len(weights) - 1:
            break
        reached = np.flatnonzero(np.isin(wiring[l + 1], places).any(1))
    return moved, change


def evaluate(weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Spins ±1.0 of shape (unit, pattern) from weights (unit, input) and inputs (unit, input, pattern); sgn 0 is +1.

    Fields are summed input by input, the first one first.
    """
    fields = np.zeros((len(weights), inputs.shape[2]))
    for j in range(weights.shape[1]):
        fields += weights[:, j, None] * inputs[:, j]
    return np.where(fields >= 0, 1.0, -1.0)
