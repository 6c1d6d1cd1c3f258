"""How a mean falls or grows with a positive quantity: laws fitted to means with errors, and which of them to believe.

    power         a x^(−b)
    power + floor a x^(−b) + c
    exponential   a exp(−x / b) + c

Weighted least squares; of the laws the one of least AICc (Hurvich and Tsai 1989, Biometrika 76, 297) is chosen, which
asks of each further parameter that it be worth its cost with so few points. Intervals are Student's, over how far each
seed by itself moves a parameter: they hold where points share their seeds too, as along a curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.cells import Cells, seed_means
from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL, Interval
from analysis.statistics.repeats import Array, Repeats, spread

RARE = 1e-3
"""A law is told to miss its points where chance alone would take them as far off more rarely than this."""
FEWEST = 4
"""Points: fewer tell no law from another."""


@dataclass(frozen=True)
class Form:
    """A family of laws.

    Args:
        name: what it is called.
        symbols: names of its parameters.
        columns: what the linear parameters a, c multiply, at x for a value of b.
        starts: values of b, for x between two bounds about 1, of which the best starts a fit.
        length: whether b has the unit of x, and is positive; else it is an exponent.
    """

    name: str
    symbols: tuple[str, ...]
    columns: Callable[[Array, float], list[Array]]
    starts: Callable[[float, float], Array]
    length: bool = False

    def curve(self, x: Array, parameters: Sequence[float] | Array) -> Array:
        """y at x."""
        a, b, *c = parameters
        return np.asarray(sum(k * column for k, column in zip((a, *c), self.columns(x, b), strict=True)))


def _exponents(low: float, high: float) -> Array:
    return np.multiply.outer([-1.0, 1.0], np.geomspace(0.03, 8, 20)).ravel()


def _lengths(low: float, high: float) -> Array:
    return np.geomspace(low, 10 * high, 40)


FORMS = (
    Form("power", ("a", "b"), lambda x, b: [x**-b], _exponents),
    Form("power + floor", ("a", "b", "c"), lambda x, b: [x**-b, np.ones_like(x)], _exponents),
    Form("exponential", ("a", "b", "c"), lambda x, b: [np.exp(-x / b), np.ones_like(x)], _lengths, length=True),
)


@dataclass(frozen=True)
class Fit:
    """One law fitted to points.

    Args:
        form: its family.
        parameters: by symbol, with intervals; NaN bounds where the points do not bound one.
        chi2: sum of squared residuals in units of the points' errors.
        freedom: how many points there are beyond parameters.
        chance: how often points lie as far off a law that is right.
        aicc: χ² with what its parameters cost; infinite where there are too few points to say.
    """

    form: Form
    parameters: Mapping[str, Interval]
    chi2: float
    freedom: int
    chance: float
    aicc: float

    def __call__(self, x: Array) -> Array:
        """The law at x."""
        return self.form.curve(x, [interval.mean for interval in self.parameters.values()])


def fit_all(x: Array, repeats: Repeats) -> list[Fit]:
    """Every law that the points allow, the most credible first.

    Args:
        x: positive, ascending, shape (points,).
        repeats: the values there.
    Raises:
        AnalysisError: there are fewer than four points, which tell no law from another.
    """
    if len(x) < FEWEST:
        raise AnalysisError(f"A law needs at least four points with two seeds each; here are {len(x)}.")
    return sorted((_fit(form, x, repeats) for form in FORMS), key=lambda fit: fit.aicc)


def weights(fits: Sequence[Fit]) -> list[float]:
    """Akaike weights: how credible each law is among these."""
    least = min(fit.aicc for fit in fits)
    relative = np.exp([-(fit.aicc - least) / 2 for fit in fits])
    return [float(w) for w in relative / relative.sum()]


def _fit(form: Form, x: Array, repeats: Repeats) -> Fit:
    from scipy.optimize import least_squares
    from scipy.special import fdtrc

    scale = float(np.exp(np.log(x).mean()))
    x, mean, error = x / scale, repeats.mean, repeats.error

    def parameters(p: Array) -> Array:
        return np.concatenate([p[:1], np.exp(p[1:2]) if form.length else p[1:2], p[2:]])

    def residual(p: Array) -> Array:
        return np.asarray((form.curve(x, parameters(p)) - mean) / error)

    # A step too far overflows, and a shorter one is taken; bounds may be as far as infinity.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found: Any = least_squares(residual, _start(form, x, mean, error), x_scale="jac")
        chi2, k = 2 * float(found.cost), len(found.x)
        freedom = len(x) - k
        moved = max(1.0, chi2 / freedom) ** 0.5 * _moved(found.jac, repeats)
        known = _parameters(form, found.x, moved, scale, repeats.freedom())
    aicc = chi2 + 2 * k + 2 * k * (k + 1) / (freedom - 1) if freedom > 1 else float("inf")
    chance = float(fdtrc(freedom, (repeats.counts - 1).sum(), chi2 / freedom))
    return Fit(form, known, chi2, freedom, chance, aicc)


def _start(form: Form, x: Array, mean: Array, error: Array) -> list[float]:
    """The b, of some, with which the linear parameters that suit it best come closest to the points."""
    tried = []
    for b in form.starts(x[0], x[-1]):
        columns = np.column_stack(form.columns(x, b)) / error[:, None]
        linear = np.linalg.lstsq(columns, mean / error, rcond=None)[0]
        off = float(((columns @ linear - mean / error) ** 2).sum())
        tried.append((off, [float(linear[0]), float(np.log(b) if form.length else b), *map(float, linear[1:])]))
    return min(tried)[1]


def _moved(jacobian: Array, repeats: Repeats) -> Array:
    """How far each seed moves each parameter, shape (parameters, seeds); NaN where the points do not bound them."""
    lengths = np.linalg.norm(jacobian, axis=0)
    if not lengths.all() or np.linalg.matrix_rank(jacobian / lengths) < len(lengths):
        return np.full((jacobian.shape[1], len(repeats.values)), np.nan)
    return np.asarray(np.linalg.pinv(jacobian) @ (repeats.deviations() / repeats.error).T)


def _parameters(form: Form, p: Array, moved: Array, scale: float, freedom: int) -> dict[str, Interval]:
    """In the units of x: it was fitted in units of `scale`, in which a and b are nearly independent."""
    from scipy.special import stdtrit

    t = float(stdtrit(freedom, (1 + LEVEL) / 2))
    (a, b), (da, db) = p[:2], moved[:2]
    if form.length:
        found = [_about(a, da, t), _within(float(np.exp(b)) * scale, db, t)]
    elif form.name == "power":
        found = [_within(a * scale**b, da / a + db * np.log(scale), t), _about(b, db, t)]
    else:
        found = [_about(a * scale**b, scale**b * (da + a * np.log(scale) * db), t), _about(b, db, t)]
    found += [_about(c, dc, t) for c, dc in zip(p[2:], moved[2:], strict=True)]
    return dict(zip(form.symbols, found, strict=True))


def _about(value: float, moved: Array, t: float) -> Interval:
    reach = t * float(np.sqrt((moved**2).sum()))
    return Interval(float(value), float(value - reach), float(value + reach))


def _within(value: float, moved: Array, t: float) -> Interval:
    """The same of a parameter whose sign is sure, from how far its logarithm moves."""
    factor = np.exp(t * np.sqrt((moved**2).sum()))
    low, high = sorted((value / factor, value * factor))
    return Interval(float(value), float(low), float(high))


@dataclass(frozen=True)
class Scaling:
    """Laws of one group of points.

    Args:
        group: the value of `by`; None where there is one group.
        x, repeats: the points.
        fits: every law, the most credible first.
        warnings: what speaks against believing the first, and what was left out.
    """

    group: Any
    x: Array
    repeats: Repeats
    fits: list[Fit]
    warnings: tuple[str, ...]


def scalings(cells: Cells, x: str, by: str | None) -> list[Scaling]:
    """Laws of every group of `cells` over x. Raises AnalysisError where a group has too few points, or no errors."""
    frame = seed_means(cells)
    if by is None:
        return [_scaling(cells, frame, x, None)]
    return [_scaling(cells, frame[frame[by] == group], x, group) for group in cells.values(by)]


def _scaling(cells: Cells, frame: pd.DataFrame, x: str, group: Any) -> Scaling:
    who = "" if group is None else f" of {cells.axes[0]} = {group}"
    places, values = spread(frame[frame[x] > 0], cells.rows.seeds(), x)
    if len(places) < FEWEST:
        raise AnalysisError(
            f"A law needs at least four points with two seeds each and {x} > 0; here are {len(places)}{who}.\n"
            "Leave out a group with `--where`, or run more points or seeds."
        )
    repeats = Repeats(np.log(places), values)
    if not repeats.variance.any():
        raise AnalysisError(f"The seeds of `{cells.value}`{who} agree everywhere: no error to weigh points by.")
    fits = fit_all(places, repeats)
    left = frame[x].nunique() - len(places)
    return Scaling(group, places, repeats, fits, tuple(_warnings(fits, places, x, left)))


def _warnings(fits: Sequence[Fit], x: Array, name: str, left: int) -> list[str]:
    best, told = fits[0], []
    if left:
        told.append(f"Left out: {left} point{'s' * (left > 1)} with one seed, or at {name} ≤ 0.")
    if best.chance < RARE:
        told.append("No law passes through the points within their errors: look for a break.")
    if best.form.name == "power" and not best.parameters["b"].excludes_zero():
        told.append("No exponent is told from zero.")
    if np.isinf(fits[1].aicc):
        told.append(f"{len(x)} points tell no other law.")
    if x[-1] < 10 * x[0]:
        told.append(f"{name} spans a factor of {x[-1] / x[0]:.2g} only.")
    return told


def table(found: Sequence[Scaling], by: str | None) -> pd.DataFrame:
    """Every parameter of every law as a row."""
    rows = []
    for scaling in found:
        for fit, weight in zip(scaling.fits, weights(scaling.fits), strict=True):
            about = {by: scaling.group} if by else {}
            about |= {"law": fit.form.name, "aicc": fit.aicc, "weight": weight}
            about |= {"chi2": fit.chi2, "freedom": fit.freedom, "chance": fit.chance}
            for symbol, i in fit.parameters.items():
                rows.append(about | {"parameter": symbol, "estimate": i.mean, "low": i.low, "high": i.high})
    return pd.DataFrame(rows)
