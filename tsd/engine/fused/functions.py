"""Activations of sixteen numbers at once, and their slopes.

tanh and erf(x/√2) are x P(x²)/Q(x²) up to where they round to ±1. The coefficients are our own minimax fits of the
relative error, by least squares whose weights follow the error: 2·10⁻⁸ for both. What float32 then makes of them is off
by less than five units in the last place. All functions are 0 at 0: what fills up a vector stays out of every sum.
"""

from __future__ import annotations

from math import factorial, log, pi, sqrt
from typing import Any

import numpy as np
from numba import njit

from tsd.engine.fused.lanes import choose, clamp, fma, load, nearest, power_of_two, splat, store

KINDS = {"tanh": 0, "erf": 1, "relu": 2, "identity": 3}
"""Activations by the number that `activate` knows them by."""


def _float32(*numbers: float) -> tuple[np.float32, ...]:
    return tuple(map(np.float32, numbers))


TANH_BOUND, ERF_BOUND = _float32(9.02, 5.6)
TANH_P = _float32(0.999999979, 0.133797182, 0.003494034872, 2.05834864e-05, 1.331907882e-08)
TANH_Q = _float32(1, 0.4671303344, 0.02587107438, 0.0003283093351, 7.762022321e-07)
ERF_P = _float32(0.7978845437, 0.0678587336, 0.009354745308, 0.0003378656211, 1.257962388e-05, 4.459445266e-08)
ERF_Q = _float32(1, 0.2517146367, 0.02867775362, 0.001885512303, 7.334538036e-05, 1.179653981e-06)
EXP2 = _float32(*(log(2) ** k / factorial(k) for k in range(8)))
ZERO, ONE, HEIGHT, EXPONENT, LOWEST = _float32(0, 1, sqrt(2 / pi), -0.5 / log(2), 126)


@njit
def activate(kind: int, signals: np.ndarray, slopes: np.ndarray) -> None:
    """signals ← f(signals), slopes ← f′(signals)."""
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
