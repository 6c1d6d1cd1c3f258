"""The law of finite-size scaling that brings the curves of all sizes closest to one curve.

Near a continuous transition a quantity A of a system of size L at control ϱ has the form
    A(L, ϱ) = L^h f(L^(1/ν) (ϱ − ϱc)),
so that L^(−h) A against x = L^(1/ν) (ϱ − ϱc) is one curve f. How far points lie from it, in units of their errors, is
the quality S of Houdayer and Hartmann (2004, Phys. Rev. B 70, 014418), which refines the measure of Bhattacharjee and
Seno (2001, J. Phys. A 34, 6375): the master curve at a point is a weighted straight line through the neighbours that
enclose it in every other size. S is about 1 where the collapse is as good as the errors allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError

Array = NDArray[np.float64]
NEARBY = {"xatol": 1e-3, "fatol": 1e-3, "maxfev": 120}
"""How well a fit is refined that starts where another ended."""
HEIGHTS = (-1.0, -0.5, -0.2, 0.0, 0.5)
"""Exponents of the height from which a fit starts."""
LEAST_OVERLAP = 0.5
"""Share of the points that must lie among those of another size for a collapse to count as one."""


@dataclass(frozen=True)
class Points:
    """Means of one size L: control ϱ (ascending), mean and its standard error, each of shape (points,)."""

    size: float
    control: Array
    mean: Array
    error: Array


@dataclass(frozen=True)
class Law:
    """Critical point ϱc, exponent 1/ν of the control and exponent h of the height."""

    critical: float
    inverse_nu: float
    height: float = 0.0

    def scaled(self, points: Points) -> tuple[Array, Array, Array]:
        """x, y and the errors of y on the master curve."""
        factor = points.size**-self.height
        x = points.size**self.inverse_nu * (points.control - self.critical)
        return x, points.mean * factor, points.error * factor


def quality(points: Sequence[Points], law: Law) -> float:
    """S of a law; infinite where too few points overlap to tell."""
    found, overlap = residuals(points, law)
    return float(np.mean(found)) if overlap >= LEAST_OVERLAP else float("inf")


def fit(points: Sequence[Points], height: float | None, start: Law | None = None) -> tuple[Law, float]:
    """The law of least S, from `start` or from a grid of starts.

    Raises AnalysisError where too few points overlap at every start of the grid. Where they do at `start`, it stays.
    """
    from scipy.optimize import minimize

    # Of the best starts three are refined: S has several minima, and a grid finds the right valley.
    controls = np.concatenate([s.control for s in points])
    low, span = float(controls.min()), float(np.ptp(controls))

    def law_of(p: Array) -> Law:
        return Law(low + span * p[0], float(np.exp(p[1])), p[2] if height is None else height)

    def cost(p: Array) -> float:
        return quality(points, law_of(p)) if -0.5 <= p[0] <= 1.5 and abs(p[1]) < 4 else float("inf")

    free = 3 if height is None else 2
    starts = _starts(free) if start is None else [_parameters(start, low, span)[:free]]
    best = sorted(starts, key=cost)[:3]
    options: Any = {"xatol": 1e-4, "fatol": 1e-5, "maxfev": 400} if start is None else NEARBY
    steps = np.diag([0.05, 0.2, 0.1][:free])
    found = [
        minimize(cost, p, method="Nelder-Mead", options=options | {"initial_simplex": np.vstack([p, p + steps])})
        for p in best
        if np.isfinite(cost(p))
    ]
    if not found and start:
        return start, float("inf")
    if not found:
        raise AnalysisError(
            "The curves of the sizes do not overlap, whatever the exponents.\n"
            "Measure the sizes at more points of the control near the transition."
        )
    winner = min(found, key=lambda result: result.fun)
    return law_of(winner.x), float(winner.fun)


def _starts(free: int) -> list[Array]:
    grid = [
        (c, np.log(a), h) for c in np.linspace(0.05, 0.95, 13) for a in (0.1, 0.3, 0.6, 1, 1.6, 2.5) for h in HEIGHTS
    ]
    return [np.array(p[:free]) for p in grid if free == 3 or p[2] == 0]


def _parameters(law: Law, low: float, span: float) -> Array:
    return np.array([(law.critical - low) / span, np.log(law.inverse_nu), law.height])


def residuals(points: Sequence[Points], law: Law) -> tuple[Array, float]:
    """Squared distances from the master curve in units of both errors, and the share of points that have any."""
    scaled = [law.scaled(p) for p in points]
    x, y, dy = (np.concatenate([s[i] for s in scaled]) for i in range(3))
    owner = np.repeat(np.arange(len(scaled)), [len(s[0]) for s in scaled])
    sums = np.zeros((5, len(x)))
    for i, (xs, ys, dys) in enumerate(scaled):
        right = np.searchsorted(xs, x)
        right[x == xs[0]] = 1
        inside = (right > 0) & (right < len(xs)) & (owner != i)
        for at in (right[inside] - 1, right[inside]):
            w = dys[at] ** -2
            sums[:, inside] += np.stack([w, w * xs[at], w * ys[at], w * xs[at] ** 2, w * xs[at] * ys[at]])
    seen = sums[0] > 0
    x, y, dy = x[seen], y[seen], dy[seen]
    k, kx, ky, kxx, kxy = sums[:, seen]
    delta = k * kxx - kx**2
    master = ((kxx * ky - kx * kxy) + x * (k * kxy - kx * ky)) / delta
    variance = (kxx - 2 * x * kx + x**2 * k) / delta
    return (y - master) ** 2 / (dy**2 + variance), float(seen.mean())
