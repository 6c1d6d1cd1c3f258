"""Compiled Monte Carlo over the weights of a sign network, 64 patterns a machine word.

A perceptron of c ≤ 12 inputs becomes a binary decision diagram: nodes that choose by one input between two earlier
nodes, of which 0 is the constant −1 and 1 the constant +1. Patterns pass a node in three word operations, and cofactors
that agree share a node, which leaves 6 nodes for c = 5 and 120 for c = 12 on average. Perceptrons of more inputs add
their weights up. Both take the same sums in the same order, so a spin is the same bit either way.

Arrays are handed down whole, with layer and unit as numbers: in compiled code every view of an array costs an atomic
count of references, which would take most of the time.
"""

# ruff: noqa: PLR0917 — for that reason

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import uint64

from tsd.studies._compiled import compiled

Array = np.ndarray
Index = int | uint64

MOST_INPUTS_OF_A_DIAGRAM = 12
ONE = uint64(1)


class Network(NamedTuple):
    """L layers of N sign units with c inputs each.

    Args:
        weights: J of shape (layer, unit, input).
        wiring: units of the layer below that are its inputs, of the same shape.
        readers: units of the layer above that it is an input of, of shape (layer, unit, N + 1), closed by N.
        diagrams: nodes (input, node if it is −1, node if +1) of shape (layer, unit, node, 3), and the output's node as
            entry (0, 0); no nodes where c is too large.
    """

    weights: Array
    wiring: Array
    readers: Array
    diagrams: Array


def network(weights: Array, wiring: Array) -> Network:
    """A network of its own from weights J and wiring, both of shape (layer, unit, input)."""
    layers, width, inputs = weights.shape
    readers = np.full((layers, width, width + 1), width, dtype=uint64)
    for layer, unit in np.ndindex(layers - 1, width):
        read_by = np.flatnonzero((wiring[layer + 1] == unit).any(1))
        readers[layer, unit, : len(read_by)] = read_by
    diagrams = np.zeros((layers, width, most_nodes(inputs), 3), dtype=uint64)
    made = Network(np.array(weights, dtype=np.float64), wiring.astype(uint64), readers, diagrams)
    if most_nodes(inputs):
        _compile_all(made.weights, made.wiring, made.diagrams)
    return made


def most_nodes(inputs: int) -> int:
    """Nodes that suffice for every perceptron of so many inputs, both constants included; 0 where there are too many.

    Cofactors with j inputs left number 2^{c−j} at most, and differ in a threshold that lies in one of 2^j + 1 places.
    """
    if inputs > MOST_INPUTS_OF_A_DIAGRAM:
        return 0
    return 2 + sum(min(2 ** (inputs - left), 2**left + 1) for left in range(1, inputs + 1))


def spins_of(network: Network, inputs: Array) -> Array:
    """Packed spins of all layers, of shape (layer + 1, unit, word), for packed inputs of shape (unit, word)."""
    spins = np.zeros((len(network.weights) + 1, *inputs.shape), dtype=uint64)
    spins[0] = inputs
    _propagate(network.weights, network.wiring, network.diagrams, spins)
    return spins


@compiled
def metropolis(
    network: Network, spins: Array, target: Array, counted: Array, units: Array, kicks: Array, allowance: Array
) -> int:
    """Propose new weights for one unit after the other; `network` and `spins` change where that is accepted.

    A proposal adds a kick to the unit's weights and scales them back to Σ_j J_j² = c. Only units that a changed spin
    can reach are evaluated again. It is accepted if the number of wrong output bits rises by at most the allowance.

    Args:
        network: the student.
        spins: its spins on the training patterns, of shape (layer + 1, unit, word).
        target: output spins to reproduce, of shape (unit, word).
        counted: which bits stand for a pattern, of shape (word,).
        units: the unit that each proposal changes, layer·N + unit, of shape (proposal,).
        kicks: of shape (proposal, input).
        allowance: of shape (proposal,); 0 is greedy, T times an exponential draw of mean 1 is Metropolis at T.
    Returns:
        Change in the number of wrong output bits.
    """
    weights, wiring, readers, diagrams = network
    layers, width, inputs = weights.shape
    nodes, words = diagrams.shape[2], spins.shape[2]
    sums, cofactors, rows = _workspace(inputs, nodes, words)
    old_weights, old_diagram = np.empty((1, 1, inputs)), np.empty((1, 1, nodes, 3), dtype=np.uint64)
    old_spins, moved = np.empty((layers * width, 1, words), dtype=np.uint64), np.empty((layers * width, 2), np.uint64)
    reached, here = np.zeros(width, dtype=np.bool_), uint64(0)
    total = 0
    for step in range(len(units)):
        layer, unit = uint64(units[step] // width), uint64(units[step] % width)
        _copy_unit(weights, diagrams, layer, unit, old_weights, old_diagram, here, here)
        _kick(weights, layer, unit, kicks, step)
        if nodes:
            _compile(weights, wiring, diagrams, layer, unit, sums, cofactors)
        reached[unit] = True
        change, moves = _ripple(
            weights, wiring, readers, diagrams, spins, target, counted, layer, sums, rows, reached, moved, old_spins
        )
        if change <= allowance[step]:
            total += change
        else:
            _copy_unit(old_weights, old_diagram, here, here, weights, diagrams, layer, unit)
            for m in range(moves):
                _copy_spins(old_spins, m, here, spins, moved[m, 0], moved[m, 1])
    return total


@compiled
def _ripple(
    weights: Array,
    wiring: Array,
    readers: Array,
    diagrams: Array,
    spins: Array,
    target: Array,
    counted: Array,
    layer: Index,
    sums: Array,
    rows: Array,
    reached: Array,
    moved: Array,
    old_spins: Array,
) -> tuple[int, Index]:
    """Evaluate the units `reached` of a layer, then layer by layer whatever reads a spin that moved.

    Returns:
        Change in the number of wrong output bits; number of moves. Each leaves its layer and unit in `moved` and the
        spins of before in `old_spins`.
    """
    layers, width = weights.shape[:2]
    change, moves = 0, uint64(0)
    for l in range(layer, uint64(layers)):
        first = moves
        for i in range(uint64(width)):
            if not reached[i]:
                continue
            reached[i] = False
            if diagrams.shape[2]:
                row = _follow(diagrams, spins, l, i, rows)
            else:
                row = _add_up(weights, wiring, spins, l, i, sums, rows)
            if _differ(rows, row, spins, l + ONE, i):
                if l == layers - 1:
                    change += _more_errors(rows, row, spins, l + ONE, i, target, counted)
                _copy_spins(spins, l + ONE, i, old_spins, moves, uint64(0))
                _copy_row(rows, row, spins, l + ONE, i)
                moved[moves, 0], moved[moves, 1] = l + ONE, i
                moves += ONE
        _reach(readers, l, moved, first, moves, reached)
        if first == moves:
            break
    return change, moves


@compiled
def _workspace(inputs: int, nodes: int, words: int) -> tuple[Array, Array, Array]:
    """Sums and cofactors of a compilation, and a row of words for every node; that of node 1 is all ones."""
    corners = 2**inputs if nodes else 64
    rows = np.zeros((max(nodes, 2), words), dtype=np.uint64)
    for w in range(words):
        rows[1, w] = ~uint64(0)
    return np.empty(corners), np.empty(corners, dtype=np.uint64), rows


@compiled
def _kick(weights: Array, layer: Index, unit: Index, kicks: Array, step: int) -> None:
    inputs, norm = weights.shape[2], 0.0
    for j in range(inputs):
        weights[layer, unit, j] += kicks[step, j]
        norm += weights[layer, unit, j] * weights[layer, unit, j]
    scale = np.sqrt(inputs / norm)
    for j in range(inputs):
        weights[layer, unit, j] *= scale


@compiled
def _compile(
    weights: Array, wiring: Array, diagrams: Array, layer: Index, unit: Index, sums: Array, cofactors: Array
) -> None:
    """Bring one unit's diagram up to date: tabulate sgn(Σ_j J_j S_j) over all 2^c inputs, then fold the table input by
    input, the last one first. Halves that agree need no node."""
    inputs, corners = weights.shape[2], 1
    sums[0] = 0.0
    for j in range(inputs):
        for k in range(corners):
            sums[k + corners] = sums[k] + weights[layer, unit, j]
            sums[k] -= weights[layer, unit, j]
        corners *= 2
    for k in range(corners):
        cofactors[k] = sums[k] >= 0
    size = uint64(2)
    for j in range(inputs - 1, -1, -1):
        corners //= 2
        first = size
        for k in range(corners):
            low, high = cofactors[k], cofactors[k + corners]
            if low != high:
                node = first
                while node < size and (diagrams[layer, unit, node, 1] != low or diagrams[layer, unit, node, 2] != high):
                    node += ONE
                if node == size:
                    diagrams[layer, unit, node, 0] = wiring[layer, unit, j]
                    diagrams[layer, unit, node, 1] = low
                    diagrams[layer, unit, node, 2] = high
                    size += ONE
                cofactors[k] = node
    diagrams[layer, unit, 0, 0] = size - ONE


@compiled
def _compile_all(weights: Array, wiring: Array, diagrams: Array) -> None:
    sums, cofactors, _ = _workspace(weights.shape[2], diagrams.shape[2], 1)
    for layer in range(uint64(weights.shape[0])):
        for unit in range(uint64(weights.shape[1])):
            _compile(weights, wiring, diagrams, layer, unit, sums, cofactors)


@compiled
def _follow(diagrams: Array, spins: Array, layer: Index, unit: Index, rows: Array) -> Index:
    """Evaluate one unit by its diagram. Returns the row that holds its spins on all patterns."""
    output = diagrams[layer, unit, 0, 0]
    for node in range(uint64(2), output + ONE):
        x, low, high = diagrams[layer, unit, node, 0], diagrams[layer, unit, node, 1], diagrams[layer, unit, node, 2]
        for w in range(rows.shape[1]):
            rows[node, w] = rows[low, w] ^ (spins[layer, x, w] & (rows[low, w] ^ rows[high, w]))
    return output


@compiled
def _add_up(
    weights: Array, wiring: Array, spins: Array, layer: Index, unit: Index, fields: Array, rows: Array
) -> Index:
    """Evaluate one unit by its fields, 64 patterns at a time. Returns the row that holds its spins."""
    for w in range(rows.shape[1]):
        for bit in range(64):
            fields[bit] = 0.0
        for j in range(weights.shape[2]):
            word, weight = spins[layer, wiring[layer, unit, j], w], weights[layer, unit, j]
            for bit in range(64):
                fields[bit] += weight if (word >> uint64(bit)) & ONE else -weight
        word = uint64(0)
        for bit in range(64):
            word |= uint64(fields[bit] >= 0) << uint64(bit)
        rows[0, w] = word
    return uint64(0)


@compiled
def _propagate(weights: Array, wiring: Array, diagrams: Array, spins: Array) -> None:
    nodes = diagrams.shape[2]
    sums, _, rows = _workspace(weights.shape[2], nodes, spins.shape[2])
    for layer in range(uint64(weights.shape[0])):
        for unit in range(uint64(weights.shape[1])):
            if nodes:
                row = _follow(diagrams, spins, layer, unit, rows)
            else:
                row = _add_up(weights, wiring, spins, layer, unit, sums, rows)
            _copy_row(rows, row, spins, layer + ONE, unit)


@compiled
def _reach(readers: Array, layer: Index, moved: Array, first: Index, last: Index, reached: Array) -> None:
    """Mark every unit that reads one of the moves `first` … `last` − 1 of a layer."""
    width = uint64(readers.shape[1])
    for m in range(first, last):
        k = uint64(0)
        while readers[layer, moved[m, 1], k] < width:
            reached[readers[layer, moved[m, 1], k]] = True
            k += ONE


@compiled
def _differ(rows: Array, row: Index, spins: Array, layer: Index, unit: Index) -> bool:
    found = uint64(0)
    for w in range(rows.shape[1]):
        found |= rows[row, w] ^ spins[layer, unit, w]
    return found != 0


@compiled
def _more_errors(
    rows: Array, row: Index, spins: Array, layer: Index, unit: Index, target: Array, counted: Array
) -> int:
    """By how many the wrong bits rise where the row replaces the spins of an output unit."""
    total = 0
    for w in range(rows.shape[1]):
        new, old = rows[row, w] ^ target[unit, w], spins[layer, unit, w] ^ target[unit, w]
        total += _ones(new & counted[w]) - _ones(old & counted[w])
    return total


@compiled
def _ones(word: uint64) -> int:
    """Number of ones, which the compiler knows as one instruction."""
    word -= (word >> ONE) & uint64(0x5555555555555555)
    word = (word & uint64(0x3333333333333333)) + ((word >> uint64(2)) & uint64(0x3333333333333333))
    word = (word + (word >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return int((word * uint64(0x0101010101010101)) >> uint64(56))


@compiled
def _copy_unit(
    weights: Array,
    diagrams: Array,
    layer: Index,
    unit: Index,
    to_weights: Array,
    to_diagrams: Array,
    at: Index,
    as_unit: Index,
) -> None:
    for j in range(weights.shape[2]):
        to_weights[at, as_unit, j] = weights[layer, unit, j]
    if diagrams.shape[2]:
        for node in range(diagrams[layer, unit, 0, 0] + ONE):
            for k in range(3):
                to_diagrams[at, as_unit, node, k] = diagrams[layer, unit, node, k]


@compiled
def _copy_spins(spins: Array, layer: Index, unit: Index, to: Array, at: Index, as_unit: Index) -> None:
    for w in range(spins.shape[2]):
        to[at, as_unit, w] = spins[layer, unit, w]


@compiled
def _copy_row(rows: Array, row: Index, to: Array, layer: Index, unit: Index) -> None:
    for w in range(rows.shape[1]):
        to[layer, unit, w] = rows[row, w]
