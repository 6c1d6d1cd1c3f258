"""Replica-symmetric theory of dense Hopfield networks in the teacher–student setting: saddle points and thresholds.

Everything is a Gaussian average E over x ~ N(0, 1), with noise c = αβ² and signal c* = αββ* (inverse temperatures β of
the student, β* of the teacher; load α). On the Nishimori line β = β* both are equal, so is q* to q, and one number
a = c p q^{p−1}, the variance and the mean of the local field, tells all.

Thériault, Tantari 2024, arXiv:2401.04191, eqs. 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, factorial, inf, log
from typing import NamedTuple

import numpy as np

from tsd.errors import UserError

STARTS = {"pattern": (1.0, 1.0, 0.0), "example": (0.0, 1.0, 1.0), "glass": (0.0, 1.0, 0.0)}
"""Where the iteration begins: overlaps (q*, q, m) of the student with the pattern, another student, an example."""

ITERATIONS = 50_000
TOLERANCE = 1e-12
PRESENT = 1e-3
"""An overlap below this counts as none."""
EQUAL = 1e-9
"""Free entropies that differ by less are those of one state, found from two starts."""

# Trapezoids on an even grid converge exponentially for these integrands, at low temperature too, where tanh is a step.
_X = np.linspace(-9.0, 9.0, 901)
_WEIGHT = np.exp(-(_X**2) / 2)
_WEIGHT /= _WEIGHT.sum()


class Threshold(NamedTuple):
    """Where something changes, and the overlap there."""

    value: float
    overlap: float


class Transition(NamedTuple):
    """`spinodal`: the ordered state exists from here on. `thermodynamic`: from here on it dominates."""

    spinodal: Threshold
    thermodynamic: Threshold


@dataclass(frozen=True)
class SaddlePoint:
    """A fixed point of the replica-symmetric equations.

    Args:
        overlap: q*, of the student with the teacher's pattern.
        student_overlap: q, of two students of the same examples.
        example_overlap: m, of the student with one example.
        free_entropy: log of the partition function per site; of several states the largest dominates.
        phase: gR or lR (the pattern is retrieved, globally or only locally stable), eR (an example is), SG (spin
            glass: students agree with each other alone) or P (paramagnet).
        converged: whether the iteration came to rest.
    """

    overlap: float
    student_overlap: float
    example_overlap: float
    free_entropy: float
    phase: str = "P"
    converged: bool = True


def saddle_point(
    p: int,
    load: float,
    temperature: float,
    start: str = "pattern",
    *,
    teacher_order: int | None = None,
    teacher_temperature: float | None = None,
    noise: float | None = None,
    signal: float | None = None,
) -> SaddlePoint:
    """The state that a student of order p ends in, by iteration of eqs. 4 of arXiv:2401.04191.

    Args:
        p: order of the student's interaction, at least 2.
        load: α = M p!/N^{p−1} for M examples of N sites.
        temperature: of the student, > 0.
        start: pattern, example or glass: the state that the iteration begins in.
        teacher_order: p*, without it p; p must be a multiple of it.
        teacher_temperature: T* of the teacher in units of N^{(p − p*)/p}, see `signal_temperature`. Without it the one
            at which the signal equals the noise, for p* = p the student's own: the Nishimori line.
        noise: c, instead of αβ².
        signal: c*, instead of αββ*.
    Returns:
        The fixed point; its phase is that of the state reached, and global stability is told from all three starts.
    Raises:
        UserError: no such start, a number out of range, or a teacher whose order does not divide p.
    """
    _check(p, load, temperature, start)
    tau = teacher_temperature or matched_temperature(p, teacher_order or p, temperature)
    c = load / temperature**2 if noise is None else noise
    c_star = load / (temperature * signal_temperature(p, teacher_order or p, tau)) if signal is None else signal
    couplings = _Couplings(p, 1 / temperature, c, c_star)
    states = {name: _iterate(couplings, _Overlaps(*first)) for name, first in STARTS.items()}
    highest = max(state.free_entropy for state in states.values())
    return replace(states[start], phase=_phase(states[start], highest))


def signal_temperature(p: int, teacher_order: int, teacher_temperature: float) -> float:
    """The temperature at which a teacher of order p would correlate p-tuples as much as this one of order p* does.

    Its examples correlate a p-tuple by way of the partitions of the tuple into n = p/p* tuples of its own; there are
    p!/(p*!ⁿ n!), each of weight (β* p*!/N^{p*−1})ⁿ. With T* = τ N^{(p − p*)/p} their sum is p!/N^{p−1} times τ⁻ⁿ/n!.

    Args:
        teacher_temperature: τ, which is T* itself where p* = p.
    Raises:
        UserError: p is not a multiple of `teacher_order`.
    """
    parts = _parts(p, teacher_order)
    return factorial(parts) * teacher_temperature**parts


def matched_temperature(p: int, teacher_order: int, temperature: float) -> float:
    """τ at which `signal_temperature` is `temperature`: for p = 4, p* = 2 it is √(T/2), and T* = √(NT/2).

    Raises:
        UserError: p is not a multiple of `teacher_order`.
    """
    parts = _parts(p, teacher_order)
    return (temperature / factorial(parts)) ** (1 / parts)


def _parts(p: int, teacher_order: int) -> int:
    if teacher_order < 1 or p % teacher_order:
        raise UserError(
            f"teacher_order is {teacher_order} and the students' order {p}: how strongly such a teacher's examples "
            f"correlate tuples of {p} is known here where {p} is a multiple of teacher_order. Change one of the two, "
            "or give the teacher's temperature (teacher_temperature in a sweep, signal in a call of saddle_point)."
        )
    return p // teacher_order


def transition(p: int) -> Transition:
    """Values of αβ² = load/temperature² on the Nishimori line at which retrieval of the pattern appears and wins.

    With G(a) = E tanh(√a x + a) every saddle point has q = G(a) and αβ² = a/(p G(a)^{p−1}): the spinodal is the least
    of these, and the thermodynamic threshold is where the free entropy equals that of the paramagnet. At p = 2 both
    are 1/2, and the overlap grows from 0.
    """
    _check(p)
    if p == 2:
        return Transition(Threshold(0.5, 0.0), Threshold(0.5, 0.0))

    def ratio(a: float) -> float:
        return a / (p * _pull(a) ** (p - 1))

    def gain(a: float) -> float:
        """Free entropy above the paramagnet's."""
        q = _pull(a)
        return a * q / (2 * p) - a * q / 2 - a / 2 + _mean_log_cosh(np.sqrt(a) * _X + a)

    return _along(p, ratio, gain, _pull)


def ferromagnet(p: int) -> Transition:
    """Temperatures below which the teacher alone, energy −N m^p, can magnetise (spinodal) and does (thermodynamic).

    This is the limit α → 0; below it the teacher's examples are near-copies of its pattern. With b the local field over
    the temperature, m = tanh b and T = p m^{p−1}/b. At p = 2 both are 2.
    """
    _check(p)
    if p == 2:
        return Transition(Threshold(2.0, 0.0), Threshold(2.0, 0.0))

    def inverse(b: float) -> float:
        return b / (p * np.tanh(b) ** (p - 1))

    def gain(b: float) -> float:
        return (1 / p - 1) * b * np.tanh(b) + _mean_log_cosh(np.array([b]), weight=1.0)

    found = _along(p, inverse, gain, lambda b: float(np.tanh(b)))
    return Transition(*(Threshold(1 / value, overlap) for value, overlap in found))


def attack_threshold(p: int, pull: float) -> float:
    """Share ε_c of the sites that an adversary must take over: a start that agrees with the pattern on 1 − ε of its
    sites and with one example on ε feels the pattern by `pull`·(1 − ε)^{p−1} and the example by ε^{p−1}.

    Args:
        p: order of the student's interaction.
        pull: mean of a p-tuple's coupling over that which one example alone gives it; α for a teacher of order 2 at
            T* = 2 + √2 and p = 4.
    """
    strength = max(pull, 0.0) ** (1 / (p - 1))
    return strength / (1 + strength)


class _Couplings(NamedTuple):
    """Order p, inverse temperature β, noise c and signal c* of a student."""

    p: int
    beta: float
    noise: float
    signal: float


class _Overlaps(NamedTuple):
    """Of a student with the pattern (q*), another student (q), an example (m)."""

    pattern: float
    student: float
    example: float


def _iterate(couplings: _Couplings, overlaps: _Overlaps) -> SaddlePoint:
    moved = inf
    for _ in range(ITERATIONS):
        plus, minus, flipped = (np.tanh(field) for field in _fields(couplings, overlaps))
        # By symmetry what is 0 stays 0; rounding would grow where that is unstable (p = 2).
        new = _Overlaps(
            float(_WEIGHT @ (plus + minus)) / 2 if overlaps.pattern else 0.0,
            float(_WEIGHT @ (plus**2 + minus**2)) / 2,
            float(_WEIGHT @ (plus + flipped)) / 2 if overlaps.example else 0.0,
        )
        moved = max(abs(after - before) for after, before in zip(new, overlaps, strict=True))
        overlaps = new
        if moved < TOLERANCE:
            break
    return SaddlePoint(*overlaps, _free_entropy(couplings, overlaps), converged=moved < TOLERANCE)


def _fields(couplings: _Couplings, overlaps: _Overlaps) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Local fields on sites where the example agrees with the pattern and where it does not, seen along the pattern;
    and the latter seen along the example."""
    p, beta, c, c_star = couplings
    spread = np.sqrt(c * p * overlaps.student ** (p - 1)) * _X
    pattern, example = c_star * p * overlaps.pattern ** (p - 1), beta * p * overlaps.example ** (p - 1)
    return spread + pattern + example, spread + pattern - example, spread - pattern + example


def _free_entropy(couplings: _Couplings, overlaps: _Overlaps) -> float:
    (p, beta, c, c_star), (q_star, q, m) = couplings, overlaps
    plus, minus, _ = _fields(couplings, overlaps)
    energy = (1 - p) * (c_star * q_star**p - c * q**p / 2 + beta * m**p) + c * (1 - p * q ** (p - 1)) / 2
    return energy + log(2) + (_mean_log_cosh(plus) + _mean_log_cosh(minus)) / 2


def _phase(state: SaddlePoint, highest: float) -> str:
    if state.example_overlap > PRESENT and state.example_overlap > state.overlap:
        return "eR"
    if state.overlap > PRESENT:
        return "gR" if state.free_entropy >= highest - EQUAL else "lR"
    return "SG" if state.student_overlap > PRESENT else "P"


def _pull(a: float) -> float:
    """G(a) = E tanh(√a x + a), the overlap at a field of mean and variance a."""
    return float(_WEIGHT @ np.tanh(np.sqrt(a) * _X + a))


def _mean_log_cosh(field: np.ndarray, weight: np.ndarray | float = _WEIGHT) -> float:
    return float(np.sum(weight * (np.logaddexp(field, -field) - log(2))))


def _along(
    p: int, ratio: Callable[[float], float], gain: Callable[[float], float], overlap: Callable[[float], float]
) -> Transition:
    """The thresholds on a branch of states that the local field a parametrises: least `ratio`, and root of `gain`,
    which is at most 2 p ln 2."""
    from scipy.optimize import brentq, minimize_scalar

    lowest = minimize_scalar(
        lambda s: log(ratio(exp(s))), bounds=(-3.0, 6.0), method="bounded", options={"xatol": 1e-9}
    )
    spinodal = exp(lowest.x)
    thermodynamic = brentq(gain, spinodal, 2 * p)
    return Transition(*(Threshold(float(ratio(a)), float(overlap(a))) for a in (spinodal, thermodynamic)))


def _check(p: int, load: float = 0.0, temperature: float = 1.0, start: str = "pattern") -> None:
    wrong = []
    if p < 2:
        wrong.append(f"p is {p}; interactions have order 2 or more")
    if not load >= 0:
        wrong.append(f"load is {load}; it counts examples and is at least 0")
    if not temperature > 0:
        wrong.append(f"temperature is {temperature}; the equations hold above 0")
    if start not in STARTS:
        wrong.append(f"start is {start!r}; it is one of {', '.join(STARTS)}")
    if wrong:
        raise UserError(f"No saddle point of a dense Hopfield network can be sought: {'; '.join(wrong)}.")
