"""How a mean falls or grows with a positive quantity: laws fitted to means with errors, and which of them to believe.

    power         a x^(−b)
    power + floor a x^(−b) + c
    exponential   a exp(−x / b) + c

Weighted least squares; of the laws the one of least AICc (Hurvich and Tsai 1989, Biometrika 76, 297) is chosen, which
asks of each further parameter that it be worth its cost with so few points. Intervals are Student's, over what each
seed by itself would move the parameters: they hold also where points share their seeds, as along a curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.statistics.intervals import LEVEL, Interval
from analysis.statistics.repeats import Array, Repeats

POOR = 1e-3
"""A law is told to miss its points where χ² would be as large by chance more rarely than this."""


@dataclass(frozen=True)
class Form:
    """A family of laws.

    Args:
        name: what it is called.
        symbols: names of its parameters.
        columns: what the linear parameters a, c multiply, at x for a value of b.
        trials: values of b, in units of a typical x from `low` to `high`, from which the best starts a fit.
    """

    name: str
    symbols: tuple[str, ...]
    columns: Callable[[Array, float], list[Array]]
    trials: Callable[[float, float], Array]

    def curve(self, x: Array, parameters: Sequence[float] | Array) -> Array:
        """y at x."""
        a, b, *c = parameters
        return np.asarray(sum(k * column for k, column in zip((a, *c), self.columns(x, b), strict=True)))


def _exponents(low: float, high: float) -> Array:
    steps = np.geomspace(0.03, 8, 20)
    return np.concatenate([-steps, steps])


def _ranges(low: float, high: float) -> Array:
    return np.geomspace(low, 10 * high, 40)


FORMS = (
    Form("power", ("a", "b"), lambda x, b: [x**-b], _exponents),
    Form("power + floor", ("a", "b", "c"), lambda x, b: [x**-b, np.ones_like(x)], _exponents),
    Form("exponential", ("a", "b", "c"), lambda x, b: [np.exp(-x / b), np.ones_like(x)], _ranges),
)


@dataclass(frozen=True)
class Fit:
    """One law fitted to points.

    Args:
        form: its family.
        parameters: by symbol, with intervals; NaN bounds where the points do not bound one.
        chi2: sum of squared residuals in units of the points' errors.
        freedom: points that are left over by the parameters.
        aicc: χ² with what its parameters cost; infinite where there are too few points to say.
    """

    form: Form
    parameters: Mapping[str, Interval]
    chi2: float
    freedom: int
    aicc: float

    def __call__(self, x: Array) -> Array:
        """The law at x."""
        return self.form.curve(x, [interval.mean for interval in self.parameters.values()])

    def misses(self) -> bool:
        """Whether points lie farther from it than their errors allow."""
        from scipy.special import chdtrc

        return bool(self.freedom > 0 and chdtrc(self.freedom, self.chi2) < POOR)


