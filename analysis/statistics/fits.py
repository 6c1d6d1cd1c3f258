"""How a mean falls or grows with a positive quantity: laws fitted to means with errors, and which of them to believe.

    power         a x^(−b)
    power + floor a x^(−b) + c
    exponential   a exp(−x / b) + c

Weighted least squares; of the laws the one of least AICc (Hurvich and Tsai 1989, Biometrika 76, 297) is chosen, which
asks of each further parameter that it be worth its cost with so few points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data.cells import Cells
from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL, Interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Form:
    """A family of laws.

    Args:
        name: what it is called.
        symbols: names of its parameters.
        columns: what the linear parameters a, c multiply, at x for a value of b.
    """

    name: str
    symbols: tuple[str, ...]
    columns: Callable[[Array, float], list[Array]]

    def curve(self, x: Array, parameters: Sequence[float] | Array) -> Array:
        """y at x."""
        a, b, *c = parameters
        return np.asarray(sum(k * column for k, column in zip((a, *c), self.columns(x, b), strict=True)))


FORMS = (
    Form("power", ("a", "b"), lambda x, b: [x**-b]),
    Form("power + floor", ("a", "b", "c"), lambda x, b: [x**-b, np.ones_like(x)]),
    Form("exponential", ("a", "b", "c"), lambda x, b: [np.exp(-x / b), np.ones_like(x)]),
)


@dataclass(frozen=True)
class Fit:
    """One law fitted to points.

    Args:
        form: its family.
        parameters: by symbol, with intervals; NaN bounds where the points do not bound one.
        chi2: sum of squared residuals in units of the points' errors.
        aicc: χ² with what its parameters cost; infinite where there are too few points to say.
    """

    form: Form
    parameters: Mapping[str, Interval]
    chi2: float
    aicc: float

    def __call__(self, x: Array) -> Array:
        """The law at x."""
        return self.form.curve(x, [interval.mean for interval in self.parameters.values()])


def fit_all(x: Array, mean: Array, error: Array) -> list[Fit]:
    """Every law that the points allow, the most credible first.

    Args:
        x: positive, shape (points,).
        mean, error: of the points, with standard errors that are positive.
    Raises:
        AnalysisError: there are fewer than four points, which tell no law from another.
    """
    if len(x) < 4:
        raise AnalysisError(f"A law needs at least four points with two seeds each; here are {len(x)}.")
    return sorted((_fit(form, x, mean, error) for form in FORMS), key=lambda fit: fit.aicc)


def weights(fits: Sequence[Fit]) -> list[float]:
    """Akaike weights: how credible each law is among these."""
    least = min(fit.aicc for fit in fits)
    relative = np.exp([-(fit.aicc - least) / 2 for fit in fits])
    return [float(w) for w in relative / relative.sum()]


def _fit(form: Form, x: Array, mean: Array, error: Array) -> Fit:
    from scipy.optimize import least_squares

    scale = float(np.exp(np.mean(np.log(x))))

    def residual(p: Array) -> Array:
        return np.asarray((form.curve(x / scale, p) - mean) / error)

    with np.errstate(over="ignore", invalid="ignore"):  # a step too far overflows, and a shorter one is taken
        tried: list[Any] = [least_squares(residual, p, x_scale="jac") for p in _starts(form, x / scale, mean, error)]
    found = min(tried, key=lambda result: result.cost)
    chi2, n, k = 2 * float(found.cost), len(x), len(found.x)
    aicc = chi2 + 2 * k + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else float("inf")
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * max(1.0, chi2 / (n - k) if n > k else 1.0)
    return Fit(form, _parameters(form, found.x, covariance, scale, n - k), chi2, aicc)


def _starts(form: Form, x: Array, mean: Array, error: Array) -> list[list[float]]:
    """For some values of b, the linear parameters that suit it best."""
    starts = []
    for b in (0.1, 0.3, 1.0, 3.0):
        columns = np.column_stack(form.columns(x, b)) / error[:, None]
        linear = np.linalg.lstsq(columns, mean / error, rcond=None)[0]
        starts.append([float(linear[0]), b, *map(float, linear[1:])])
    return starts


def _parameters(form: Form, p: Array, covariance: Array, scale: float, freedom: int) -> dict[str, Interval]:
    """In the units of x: it was fitted in units of `scale`, in which a and b are nearly independent."""
    from scipy.special import stdtrit

    values, errors = p.copy(), np.sqrt(np.diag(covariance))
    if form.name == "exponential":
        values[1], errors[1] = p[1] * scale, errors[1] * scale
    else:
        values[0] = p[0] * scale ** p[1]
        slope = np.array([scale ** p[1], values[0] * np.log(scale), *np.zeros(len(p) - 2)])
        errors[0] = np.sqrt(slope @ covariance @ slope)
    t = float(stdtrit(freedom, (1 + LEVEL) / 2)) if freedom > 0 else float("nan")
    return {
        symbol: Interval(float(v), float(v - t * e), float(v + t * e))
        for symbol, v, e in zip(form.symbols, values, errors, strict=True)
    }


@dataclass(frozen=True)
class Scaling:
    """Laws of one group of points.

    Args:
        group: the value of `by`; None where there is one group.
        x, mean, error: the points.
        fits: every law, the most credible first.
    """

    group: Any
    x: Array
    mean: Array
    error: Array
    fits: list[Fit]


def scalings(cells: Cells, x: str, by: str | None) -> list[Scaling]:
    """Laws of every group of `cells` over x. Raises AnalysisError where x is not positive or points are too few."""
    found = []
    for value in cells.values(by) if by else [None]:
        frame = cells.frame if by is None else cells.frame[cells.frame[by] == value]
        seen = frame[(frame["_n"] > 1) & (frame[x] > 0)].sort_values(x)
        error = (seen["_sd"] / np.sqrt(seen["_free"])).to_numpy()
        places, mean = seen[x].to_numpy(dtype=float), seen["_mean"].to_numpy()
        if not (error > 0).any() and len(error):
            raise AnalysisError(
                f"The seeds of `{cells.value}` agree everywhere, so there is no error to weigh points by."
            )
        # Seeds that agree by chance must not rule the fit.
        floor = 0.1 * float(np.median(error[error > 0])) if len(error) else 0.0
        error = np.maximum(error, floor)
        found.append(Scaling(value, places, mean, error, fit_all(places, mean, error)))
    return found


def table(found: Sequence[Scaling], by: str | None) -> pd.DataFrame:
    """Every parameter of every law as a row."""
    rows = []
    for scaling in found:
        for fit, weight in zip(scaling.fits, weights(scaling.fits), strict=True):
            about = {by: scaling.group} if by else {}
            about |= {"law": fit.form.name, "aicc": fit.aicc, "weight": weight, "chi2": fit.chi2}
            for symbol, i in fit.parameters.items():
                rows.append(about | {"parameter": symbol, "estimate": i.mean, "low": i.low, "high": i.high})
    return pd.DataFrame(rows)
