"""Examples drawn exactly from a dense Hopfield teacher, and students that learn its pattern by Glauber dynamics.

The gauge is the pattern's: ξ* = 1 on all sites, and an example's overlap with it is its magnetisation. All that a
student sees of an example is the whole number k of sites on which they agree. Sums over p-tuples of distinct sites are
elementary symmetric polynomials of ±1, whole numbers too, so fields are exact whatever the order of summation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import comb, factorial, lgamma, prod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tsd.studies._base import Kept


@dataclass
class Students:
    """Students on their way.

    Args:
        spins: ±1 of shape (student, site).
        overlaps: overlap of each with the pattern, shape (student,), at the start and after every sweep.
        agreement: mean overlap of two of them after every sweep.
    """

    spins: np.ndarray
    overlaps: list[np.ndarray]
    agreement: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, spins: np.ndarray) -> Students:
        """Before their first sweep."""
        return cls(spins, [spins.mean(1)])

    def swept(self, spins: np.ndarray) -> None:
        """One more sweep has brought them to these spins."""
        self.spins = spins
        self.overlaps.append(spins.mean(1))
        self.agreement.append(pair_overlap(spins))

    def kept(self) -> Kept:
        """All of it."""
        records = {"overlaps": np.array(self.overlaps), "agreement": np.array(self.agreement)}
        return {"spins": self.spins, **records}, {}

    @classmethod
    def restored(cls, kept: Kept) -> Students:
        """Those that were kept."""
        arrays, _ = kept
        return cls(arrays["spins"], list(arrays["overlaps"]), arrays["agreement"].tolist())


def elementary(order: int, size: int) -> np.ndarray:
    """e_j of `size` signs of which k are +1, of shape (order + 1, size + 1) by j and k.

    j e_j = S e_{j−1} − (N − j + 2) e_{j−2} with S = 2k − N. e_p sums the products over all p-tuples of distinct signs.
    """
    total = 2.0 * np.arange(size + 1) - size
    values = [np.ones(size + 1), total]
    for j in range(2, order + 1):
        values.append((total * values[-1] - (size - j + 2) * values[-2]) / j)
    return np.stack(values[: order + 1])


def law(order: int, size: int, temperature: float, state: str = "equilibrium") -> np.ndarray:
    """Exact probabilities, of shape (size + 1,), that an example agrees with the pattern on k sites.

    Args:
        order: p* of the teacher, whose examples have the weight exp(β* p*!/N^{p*−1} e_{p*}).
        temperature: of the teacher, > 0.
        state: equilibrium; or paramagnetic, which keeps |magnetisation| ≤ 1/2: near-copies of the pattern are cut off.
    """
    agree = np.arange(size + 1)
    entropy = [-lgamma(k + 1) - lgamma(size - k + 1) for k in agree]
    weight = entropy + factorial(order) / size ** (order - 1) / temperature * elementary(order, size)[order]
    if state == "paramagnetic":
        weight[2 * np.abs(2 * agree - size) > size] = -np.inf
    probabilities = np.exp(weight - weight.max())
    return probabilities / probabilities.sum()


def correlation(p: int, size: int, order: int, temperature: float, state: str = "equilibrium") -> float:
    """Mean product of an example's signs over a p-tuple of sites, in the pattern's gauge, exact at this size.

    For p = p* and large N it is β* p!/N^{p−1}; the ratio is β*_eff/β*, which exceeds 1 by a term of order 1/N.
    """
    return float(law(order, size, temperature, state) @ elementary(p, size)[p]) / comb(size, p)


def leading_correlation(p: int, size: int, order: int, temperature: float) -> float | None:
    """`correlation` to leading order in the size, where it is known: p* = 2, whose paramagnet has Gaussian
    magnetisations, above its critical temperature 2; and other p* of which p is a multiple, by the partitions of the
    tuple that `signal_temperature` counts."""
    if order > 2 and p % order == 0:
        parts = p // order
        return factorial(p) / factorial(parts) / (temperature * size ** (order - 1)) ** parts
    if order == 2 and temperature > 2:
        pairings = prod(range(p - 1, 0, -2)) if p % 2 == 0 else 0
        return pairings * (2 / ((temperature - 2) * size)) ** (p / 2)
    return None


def noise_gain(p: int, size: int, order: int, temperature: float, state: str = "equilibrium") -> float:
    """Variance that the examples give a site's cavity field, students at the pattern, over that of independent signs.

    Magnetised examples are rare and pull hard. For teachers of order p* ≥ 3 the gain is 1 in the limit and exceeds it
    by a term of order 1/N; pairs (p* = 2) leave magnetisations wider than those of independent signs at every size.
    """
    squares = elementary(p - 1, size - 1)[p - 1] ** 2
    share = np.arange(size + 1) / size
    cavity = share * np.append(0, squares) + (1 - share) * np.append(squares, 0)
    return float(law(order, size, temperature, state) @ cavity) / comb(size - 1, p - 1)


def draw_examples(probabilities: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Examples ±1 of shape (site, example), int8: k by `probabilities`, all arrangements of k equally likely."""
    size = len(probabilities) - 1
    left = generator.choice(size + 1, size=count, p=probabilities)
    examples = np.empty((size, count), dtype=np.int8)
    for site in range(size):
        plus = generator.random(count) * (size - site) < left
        examples[site] = 2 * plus.astype(np.int8) - 1
        left -= plus
    return examples


def noise_unit(order: int, size: int, temperature: float) -> float:
    """What a whole-number field must exceed, in units of a standard logistic number, for heat-bath dynamics."""
    return temperature / 2 * size ** (order - 1) / factorial(order)


def glauber(
    examples: np.ndarray, start: np.ndarray, order: int, temperature: float, sweeps: Iterable[np.random.Generator]
) -> Iterator[np.ndarray]:
    """Students in heat-bath dynamics at inverse temperature β with the energy −(p!/N^{p−1}) Σ_μ Σ_tuples Π σ^μ_i ξ_i.

    A sweep visits all sites in random order, one after the other; all students visit the same one. With the products
    x = σ^μ_i ξ_i a site's cavity field needs e_{p−1} without it, e_{p−1} − x e_{p−2} + e_{p−3} − …, in which x² = 1
    parts even from odd. A site costs O(M) for the field, and O(M) again for the students that flip.

    Args:
        examples: ±1 of shape (site, example).
        start: ±1 of shape (student, site).
        order: p of the students.
        temperature: 0 sends a spin along its field and leaves it where the field is 0.
        sweeps: a generator for each sweep.
    Yields:
        After every sweep the students' spins, of shape (student, site): the array that the next sweep changes.
    """
    size = len(examples)
    polynomials = elementary(order, size)
    others, itself = polynomials[order - 1 :: -2].sum(0), polynomials[order - 2 :: -2].sum(0)
    spins = start.astype(np.int8)
    agree = (size + (spins.astype(np.float32) @ examples.astype(np.float32)).astype(np.intp)) // 2
    pull, push = others[agree], itself[agree].sum(1)
    unit = noise_unit(order, size, temperature)
    for generator in sweeps:
        visits = generator.permutation(size)
        thresholds = unit * generator.logistic(size=(size, len(spins)))
        for site, threshold in zip(visits, thresholds, strict=True):
            excess = pull @ examples[site].astype(np.float64) - spins[:, site] * push - threshold
            for student in np.flatnonzero(excess * spins[:, site] < 0):
                agree[student] -= examples[site] * spins[student, site]
                np.take(others, agree[student], out=pull[student], mode="clip")
                push[student] = itself[agree[student]].sum()
                spins[student, site] *= -1
        yield spins


def pair_overlap(spins: np.ndarray) -> float:
    """Mean overlap of two different students."""
    students, size = spins.shape
    together = (spins.sum(0, dtype=int) ** 2).sum() - students * size
    return float(together / (students * (students - 1) * size))
