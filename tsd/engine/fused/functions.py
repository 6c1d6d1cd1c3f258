"""Activations of sixteen numbers at once, and their slopes.

Values are off by less than five units in the last place of float32. All functions are 0 at 0: what fills up a vector
stays out of every sum.
"""

from __future__ import annotations

from math import factorial, log, pi, sqrt
from typing import Any

import numpy as np
from numba import njit

from tsd.engine.fused import rational
from tsd.engine.fused.lanes import choose, clamp, fma, load, nearest, power_of_two, splat, store


def _float32(*numbers: float) -> tuple[np.float32, ...]:
    return tuple(map(np.float32, numbers))


TANH_BOUND, ERF_BOUND = _float32(rational.TANH_BOUND, rational.ERF_BOUND)
TANH_P, TANH_Q = _float32(*rational.TANH_P), _float32(*rational.TANH_Q)
ERF_P, ERF_Q = _float32(*rational.ERF_P), _float32(*rational.ERF_Q)
EXP2 = _float32(*(log(2) ** k / factorial(k) for k in range(8)))
ZERO, ONE, HEIGHT, EXPONENT, LOWEST = _float32(0, 1, sqrt(2 / pi), -0.5 / log(2), 126)


@njit
def activate(kind: int, signals: np.ndarray, slopes: np.ndarray) -> None:
    """signals ← f(signals), slopes ← f′(signals); f by its number in `tsd.engine.fused.descent.KINDS`."""
    zero, one = splat(ZERO), splat(ONE)
    for i in range(0, len(signals), 16):
        z = load(signals, i)
        if kind == 0:
            value = tanh(z)
            slope = one - value * value
        elif kind == 1:
            value, slope = erf(z), erf_slope(z)
        elif kind == 2:
            value, slope = choose(z, z, zero), choose(z, one, zero)
        else:
            value, slope = z, one
        store(signals, i, value)
        store(slopes, i, slope)


@njit
def tanh(z: Any) -> Any:
    x = clamp(z, TANH_BOUND)
    return clamp(x * polynomial(TANH_P, x * x) / polynomial(TANH_Q, x * x), ONE)


@njit
def erf(z: Any) -> Any:
    """erf(z/√2)."""
    x = clamp(z, ERF_BOUND)
    return clamp(x * polynomial(ERF_P, x * x) / polynomial(ERF_Q, x * x), ONE)


@njit
def erf_slope(z: Any) -> Any:
    """√(2/π) exp(−z²/2), as a power of two: its whole part in the exponent, the rest by the series."""
    power = clamp(z * z * splat(EXPONENT), LOWEST)
    whole = nearest(power)
    return polynomial(EXP2, power - whole) * power_of_two(whole) * splat(HEIGHT)


@njit
def polynomial(coefficients: tuple[np.float32, ...], x: Any) -> Any:
    """Σ coefficients[k] x^k."""
    value = splat(coefficients[-1])
    for k in range(len(coefficients) - 2, -1, -1):
        value = fma(value, x, splat(coefficients[k]))
    return value
