"""What Gaussian fields say of a sign network: N ≫ c ≫ 1, weights of unit variance, signs and permutations set right.

The fields of a teacher's and a student's unit are then jointly normal, and their correlation is the overlap of the
bonds times that of the spins below. Two normal variables of correlation ρ have equal signs with probability
1 − arccos(ρ)/π, so their signs overlap by (2/π) arcsin ρ.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import acos, asin, pi, sqrt


def layer_overlap(bond_overlap: float, overlap_below: float) -> float:
    """q_l = (2/π) arcsin(r_l q_{l−1}): spins of a layer, from its bonds and the spins below, −1 … 1."""
    return 2 / pi * asin(_correlation(bond_overlap, overlap_below))


def overlap_profile(bond_overlaps: Sequence[float]) -> list[float]:
    """q_1 … q_L from r_1 … r_L: `layer_overlap` layer by layer, from equal inputs q_0 = 1."""
    return list(accumulate(bond_overlaps, lambda below, bond: layer_overlap(bond, below), initial=1.0))[1:]


def bit_error(bond_overlap: float, overlap_below: float) -> float:
    """ε = arccos(r_L q_{L−1})/π: share of wrong output bits on fresh inputs; 1/2 is chance."""
    return acos(_correlation(bond_overlap, overlap_below)) / pi


def _correlation(bond_overlap: float, overlap_below: float) -> float:
    """Of the fields; what rounding carries beyond ±1 is cut."""
    return max(-1.0, min(1.0, bond_overlap * overlap_below))


def untrained_overlap(width: int, fan_in: int, depth: int) -> list[float]:
    """q_1 … q_L of two networks that share their wiring and nothing else, root mean square over weights and wirings.

    Fields of two random units overlap by a random number: its variance is the mean square overlap of the spins below
    over all pairs of inputs, (4/π²) of which the signs keep. Let d be that of a unit with its counterpart and o that of
    two different ones. A unit and its counterpart see c equal pairs among their c², two others c²/N on average:

        d′ = (4/π²) (d/c + (1 − 1/c) o),   o′ = (4/π²) (d/N + (1 − 1/N) o),   d = 1 and o = 0 for the inputs.

    The share o, which dominates in deep layers, is of order 1/N: in wide networks q falls by (2/π)/√c a layer.
    """
    same, other, found = 1.0, 0.0, []
    for _ in range(depth):
        same, other = (4 / pi**2 * (same / k + (1 - 1 / k) * other) for k in (fan_in, width))
        found.append(sqrt(same))
    return found
