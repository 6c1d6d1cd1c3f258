"""Students of order p = 3, compiled: examples become couplings once, and a visit no longer asks every example.

    J_ijk = Σ_μ σ^μ_i σ^μ_j σ^μ_k = M − 2 · (number of examples in which an odd number of the three is −1),

64 examples in a machine word. With L_ij = Σ_k J_ijk ξ_k the cavity field of a site is h_i = ½ Σ_j L_ij ξ_j: a visit
costs O(N) instead of O(M), M ~ N², and a flip, which is rare where students retrieve, O(N²). All are whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tsd.studies._compiled import compiled

MOST_BYTES = 2**28
"""Couplings that need more memory are not made: of more than 406 sites."""
WORD = 64


def worth_it(order: int, size: int, count: int) -> bool:
    """Whether couplings of so many examples fit and soon pay: a visit without them asks `count` examples."""
    return order == 3 and 4 * size**3 <= MOST_BYTES and count >= 4 * size


def couplings(examples: np.ndarray) -> np.ndarray:
    """J of shape (site, site, site), int32, 0 where sites coincide, from examples ±1 of shape (site, example)."""
    size, count = examples.shape
    padded = np.zeros((size, -(-count // WORD) * WORD), dtype=np.uint8)
    padded[:, :count] = examples < 0
    J = np.zeros((size, size, size), dtype=np.int32)
    _fill(np.packbits(padded, axis=1).view(np.uint64), count, J)
    return J


def glauber(
    J: np.ndarray, start: np.ndarray, unit: float, sweeps: Iterable[np.random.Generator]
) -> Iterator[np.ndarray]:
    """The dynamics of `_dense_hopfield_dynamics.glauber`, spin for spin, from couplings instead of examples.

    Args:
        start: ±1 of shape (student, site).
        unit: `noise_unit` of order 3.
    """
    size, spins = len(J), start.astype(np.int8)
    L = np.stack([(J @ row.astype(np.int32)) for row in spins])
    for generator in sweeps:
        visits = generator.permutation(size)
        _sweep(J, L, spins, visits, unit * generator.logistic(size=(size, len(spins))))
        yield spins


@compiled
def _ones(word: np.uint64) -> np.uint64:
    """How many bits are set, by sums of neighbours."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled
def _fill(bits: np.ndarray, count: int, J: np.ndarray) -> None:
    size, words = bits.shape
    pair = np.empty(words, dtype=np.uint64)
    for i in range(size):
        for j in range(i):
            for word in range(words):
                pair[word] = bits[i, word] ^ bits[j, word]
            for k in range(j):
                odd = np.uint64(0)
                for word in range(words):
                    odd += _ones(pair[word] ^ bits[k, word])
                value = np.int32(count - 2 * np.int64(odd))
                J[i, j, k] = J[i, k, j] = J[j, i, k] = J[j, k, i] = J[k, i, j] = J[k, j, i] = value


@compiled
def _sweep(J: np.ndarray, L: np.ndarray, spins: np.ndarray, visits: np.ndarray, thresholds: np.ndarray) -> None:
    students, size = spins.shape
    for visit in range(size):
        site = visits[visit]
        for student in range(students):
            spin, twice = spins[student, site], np.int64(0)
            for other in range(size):
                twice += L[student, site, other] * spins[student, other]
            if (twice // 2 - thresholds[visit, student]) * spin < 0:
                spins[student, site] = -spin
                change = np.int32(-2 * spin)
                for i in range(size):
                    for j in range(size):
                        L[student, i, j] += change * J[site, i, j]
