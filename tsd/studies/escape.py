"""Escape from the plateau: how long does an over-wide quadratic student wait before it sees its teacher?

Student ŷ = c Σ_i λ_i², teacher y = c* Σ_r ν_r², with λ_i = w_i·x/√N, ν_r = v_r·x/√N and loss ½(ŷ − y)². One-pass SGD
sees every input once; for N → ∞ its overlaps M (student–teacher) and Q (student–student) follow closed equations in
α = samples/N. First the norms settle, at an error that falls no further: M = 0 is a saddle. M then grows as
exp(4cc*ηα) from the 1/√N of a random start, so a student of width p escapes at

    α ≈ ln(N · const / (p p*)) / (8 c c* η),

later for a wider teacher, hardly sooner for a wider student. It ends on a manifold of solutions, at the one nearest to
its start, because gradient flow conserves how student vectors divide between inside and outside the teacher's span.

Bocchi, Regimbeau, Lucibello, Saglietti, Cammarota 2026, arXiv:2604.03068. Our choices where the paper could not be
read: prefactors c = 1/p and c* = 1/p*, the factor ½ in the loss, orthonormal teacher vectors (T = 1), sizes and rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite, nan
from typing import TYPE_CHECKING

import numpy as np

from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.studies._base import Curve, Measured, Metric, Outcome, Study
from tsd.studies._escape_landscape import escape_prediction, hessian_spectrum, plateau, polar_solution
from tsd.studies._escape_overlaps import (
    Trajectory,
    conserved_drift,
    crossing,
    flattest,
    integrate,
    population_error,
)
from tsd.studies._escape_sgd import descend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsd.engine.checkpoint import Checkpoint, Place
    from tsd.engine.rng import Streams

__all__ = ["METRICS", "Trial", "hessian_spectrum", "integrate", "population_error", "simulate"]

VERSION = 1

CACHED = 65_536
"""Weights that one step of SGD moves together, of as many students as there is room for: they stay in the cache."""
HUNDREDTH = 0.01


class Trial(Study):
    """One student of one teacher."""

    student_width: Static[int] = field(4, ge=1, unit="nodes", doc="Hidden nodes p of the student.")
    teacher_width: Static[int] = field(2, ge=1, unit="nodes", doc="Hidden nodes p* of the teacher.")
    input_dim: Static[int] = field(1000, ge=2, doc="Dimension N of inputs; the ODEs take only their start from it.")
    dynamics: Static[str] = field(
        "ode",
        choices=("ode", "gradient_flow", "sgd"),
        doc="Overlap equations, the same without their term in lr², or one-pass SGD at input_dim.",
    )
    lr: Batched[float] = field(0.2, gt=0, doc="Learning rate η: a step moves w by −(2cη/√N) (ŷ − y) λ x.")
    init: Static[str] = field(
        "orthogonal",
        choices=("orthogonal", "gaussian"),
        doc="Student vectors at the start: orthogonal of equal norm (Q = start_norm · 1), or Gaussian.",
    )
    start_norm: Batched[float] = field(0.5, gt=0, doc="Squared norm of a student vector at the start, over input_dim.")
    start_overlap: Batched[float] = field(
        0.0,
        ge=0,
        doc="Overlap of every student vector with one teacher vector, in turn, at the start; 0 leaves it to chance, "
        "which is of order 1/√input_dim.",
    )
    student_scale: Batched[float] = field(0.0, ge=0, doc="Prefactor c of the student's sum; 0 takes 1/student_width.")
    teacher_scale: Batched[float] = field(0.0, ge=0, doc="Prefactor c* of the teacher's sum; 0 takes 1/teacher_width.")
    alpha_max: Static[float] = field(
        100.0, ge=HUNDREDTH, unit="samples/N", doc="Length of the training; hundredths count."
    )
    escape_level: Batched[float] = field(
        0.5, gt=0, lt=1, doc="A student has escaped at this share of the error that theory gives for its plateau."
    )
    curve_points: Static[int] = field(100, ge=1, unit="points", doc="How often curves are recorded, evenly in alpha.")
    spectrum_dim: Static[int] = field(
        0, ge=0, doc="Input dimension at which Hessians of the population loss are diagonalised; 0 leaves them out."
    )


METRICS = (
    Metric("escape_time", "samples/N", "First alpha at escape_level, between two records; empty if never reached."),
    Metric("escape_time_theory", "samples/N", "The same by the growth of the start's own M, to leading order."),
    Metric("escaped", "", "1 if the error fell below escape_level of the plateau, else 0.", type=int),
    Metric(
        "plateau_error", "target²", "Mean over the eighth of the time before escape in which the error changes least."
    ),
    Metric("plateau_error_theory", "target²", "Error at the fixed point of the overlap equations with M = 0."),
    Metric("final_error", "target²", "Population error at the end."),
    Metric("conserved_drift", "", "Largest relative change of what gradient flow conserves, while it is resolved."),
    Metric("polar_distance", "", "Relative distance of M from the solution nearest to the start; none if p < p*."),
    Metric("ode_deviation", "", "SGD: largest distance of M from the ODEs' of the same start, over ‖M‖ of a solution."),
    Metric("error", "target²", "Population error ½⟨(ŷ − y)²⟩.", curve=True, step="alpha_hundredths"),
    Metric("student_norm", "", "tr Q, the squared norms of the student vectors.", curve=True, step="alpha_hundredths"),
    Metric("teacher_overlap", "", "‖M‖², summed over all entries.", curve=True, step="alpha_hundredths"),
    Metric("polar_distance", "", "The distance of M along the training.", curve=True, step="alpha_hundredths"),
    Metric("overlap_start", "", "All p × p* entries of M at the start, row by row.", curve=True, step="entry"),
    Metric("overlap_end", "", "The same at the end.", curve=True, step="entry"),
    Metric("overlap_polar", "", "The same on the solution nearest to the start.", curve=True, step="entry"),
    Metric("hessian_plateau", "", "Eigenvalues of N × Hessian at the plateau.", curve=True, step="eigenvalue"),
    Metric("hessian_solution", "", "Eigenvalues of N × Hessian on the solutions.", curve=True, step="eigenvalue"),
)

EXAMPLE = {
    "student_width": 3,
    "teacher_width": 2,
    "input_dim": 30,
    "dynamics": "sgd",
    "alpha_max": 20,
    "curve_points": 10,
    "spectrum_dim": 6,
}


def simulate(trials: Sequence[Trial], seeds: Sequence[Streams], checkpoint: Checkpoint) -> list[Outcome]:
    """Train every student and read its trajectory. Raises UserError where input_dim cannot hold both networks."""
    starts = [first_weights(trial, streams) for trial, streams in zip(trials, seeds, strict=True)]
    room = max(1, CACHED // starts[0].size) if trials[0].dynamics == "sgd" else 1
    outcomes = []
    for first in range(0, len(trials), room):
        few = slice(first, first + room)
        given = trials[few], seeds[few]
        outcomes += checkpoint.together(*given, partial(_outcomes, *given, starts[few]))
    return outcomes


def _outcomes(
    trials: Sequence[Trial], seeds: Sequence[Streams], starts: Sequence[NDArray[np.float64]], place: Place
) -> list[Outcome]:
    """A few students of SGD, or one of the equations."""
    sgd = trials[0].dynamics == "sgd"
    paths = _descend(trials, seeds, starts, place) if sgd else [_flow(trials[0], starts[0], place)]
    return [_outcome(trial, path) for trial, path in zip(trials, paths, strict=True)]


def first_weights(trial: Trial, streams: Streams) -> NDArray[np.float64]:
    """The student's W/√N before its first step, shape (student, input). ODE and SGD start from the same."""
    if trial.input_dim < trial.student_width + trial.teacher_width:
        raise UserError(
            f"input_dim {trial.input_dim} is too small for {trial.student_width} student and {trial.teacher_width} "
            "teacher vectors to be independent. Give it at least their number; theory is about far larger ones."
        )
    drawn = streams.generator("init", "weights").standard_normal((trial.input_dim, trial.student_width))
    if trial.init == "gaussian":
        return np.ascontiguousarray(drawn.T) * (trial.start_norm / trial.input_dim) ** 0.5
    if trial.start_overlap:
        return _overlapping(trial, drawn)
    return _orthonormal(drawn).T * trial.start_norm**0.5


def _overlapping(trial: Trial, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors with M = start_overlap in one entry of every row and Q = start_norm · 1: the first teacher_width columns
    are M, the others a frame that gives what Q lacks."""
    p, k = trial.student_width, trial.teacher_width
    M = trial.start_overlap * np.eye(k)[np.arange(p) % k]
    missing = trial.start_norm * np.eye(p) - M @ M.T
    if np.linalg.eigvalsh(missing)[0] <= 0:
        raise UserError(
            f"start_overlap {trial.start_overlap:g} is too large for {p} orthogonal student vectors of squared norm "
            f"{trial.start_norm:g} and {k} teacher vectors. Expected less than √(start_norm / "
            f"⌈student_width / teacher_width⌉) = {(trial.start_norm / -(-p // k)) ** 0.5:.3g}."
        )
    return np.hstack([M, np.linalg.cholesky(missing) @ _orthonormal(drawn[k:]).T])


def _orthonormal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The frame that Gram and Schmidt would make of independent columns."""
    frame, triangle = np.linalg.qr(columns)
    return np.ascontiguousarray((frame * np.sign(np.diag(triangle))).T).T


def _scales(trial: Trial) -> tuple[float, float]:
    return trial.student_scale or 1 / trial.student_width, trial.teacher_scale or 1 / trial.teacher_width


def _alphas(trial: Trial) -> NDArray[np.float64]:
    """Times of the records: 0, alpha_max and evenly between, all of them whole hundredths."""
    return np.unique(np.rint(np.linspace(0, trial.alpha_max, trial.curve_points + 1) / HUNDREDTH)) * HUNDREDTH


def _flow(trial: Trial, start: NDArray[np.float64], place: Place) -> Trajectory:
    M, Q, T = start[:, : trial.teacher_width], start @ start.T, np.eye(trial.teacher_width)
    noise = trial.dynamics == "ode"
    return integrate(M, Q, T, trial.lr, _alphas(trial), *_scales(trial), noise=noise, place=place)


def _descend(
    trials: Sequence[Trial], seeds: Sequence[Streams], starts: Sequence[NDArray[np.float64]], place: Place
) -> list[Trajectory]:
    student_scale, teacher_scale = np.array([_scales(trial) for trial in trials]).T
    return descend(
        np.stack(starts),
        teacher_width=trials[0].teacher_width,
        lr=np.array([trial.lr for trial in trials]),
        alphas=_alphas(trials[0]),
        student_scale=student_scale,
        teacher_scale=teacher_scale,
        inputs=[streams.generator("data", "inputs") for streams in seeds],
        place=place,
    )


def _outcome(trial: Trial, path: Trajectory) -> Outcome:
    """What the trajectory says; one that diverged keeps its curves so far and has no metrics."""
    polar = _polar_distances(trial, path)
    drawn = {
        "error": path.error,
        "student_norm": np.trace(path.Q, axis1=1, axis2=2),
        "teacher_overlap": (path.M**2).sum((1, 2)),
        "polar_distance": polar,
    }
    steps = [round(alpha / HUNDREDTH) for alpha in path.alphas[: path.length]]
    curves = [Curve(name, steps, values[: path.length].tolist()) for name, values in drawn.items() if len(values)]
    if path.length < len(path.alphas):
        return Outcome("diverged", Measured({}, curves))
    c, d = _scales(trial)
    metrics = _times(trial, path) | {
        "final_error": float(path.error[-1]),
        "conserved_drift": conserved_drift(path, np.eye(trial.teacher_width), 4 * c * d * trial.lr),
        "polar_distance": float(polar[-1]) if len(polar) else nan,
    }
    if trial.dynamics == "sgd":
        metrics["ode_deviation"] = _deviation(trial, path)
    known = {name: value for name, value in metrics.items() if isfinite(value)}
    return Outcome("done", Measured(known, [*curves, *_overlaps(trial, path), *_spectra(trial)]))


def _deviation(trial: Trial, path: Trajectory) -> float:
    """Largest distance of M from what the overlap equations make of the same start; NaN where they blow up."""
    c, d = _scales(trial)
    ode = integrate(path.M[0], path.Q[0], np.eye(trial.teacher_width), trial.lr, path.alphas, c, d)
    solved = (min(trial.student_width, trial.teacher_width) * d / c) ** 0.5
    return float(np.linalg.norm(path.M - ode.M, axis=(1, 2)).max()) / solved


def _overlaps(trial: Trial, path: Trajectory) -> list[Curve]:
    """M before and after, and where theory sends it."""
    told = {"overlap_start": path.M[0], "overlap_end": path.M[-1]}
    if trial.student_width >= trial.teacher_width:
        told["overlap_polar"] = polar_solution(path.M[0], *_scales(trial))
    return [Curve(name, range(M.size), M.ravel().tolist()) for name, M in told.items()]


def _times(trial: Trial, path: Trajectory) -> dict[str, float | int]:
    """The plateau's error and the time of escape, beside theory."""
    c, d = _scales(trial)
    reached = plateau(
        trial.student_width,
        trial.teacher_width,
        trial.lr,
        student_scale=c,
        teacher_scale=d,
        noise=trial.dynamics != "gradient_flow",
    )
    escape = crossing(path.alphas, path.error, trial.escape_level * reached.error)
    before = path.alphas[-1] if escape is None else escape
    solved = min(trial.student_width, trial.teacher_width) * d / c
    return {
        "escape_time": nan if escape is None else escape,
        "escape_time_theory": escape_prediction(path.M[0], trial.start_norm, reached, solved),
        "escaped": int(escape is not None),
        "plateau_error": flattest(path.alphas, path.error, before),
        "plateau_error_theory": reached.error,
    }


def _polar_distances(trial: Trial, path: Trajectory) -> NDArray[np.float64]:
    """Distance of M from the nearest solution over its norm, at every record; empty where there is no solution."""
    if trial.student_width < trial.teacher_width:
        return np.empty(0)
    goal = polar_solution(path.M[0], *_scales(trial))
    return np.linalg.norm(path.M - goal, axis=(1, 2)) / np.linalg.norm(goal)


def _spectra(trial: Trial) -> list[Curve]:
    """The Hessians' eigenvalues, numbered from 1, at the points that exist."""
    if not trial.spectrum_dim:
        return []
    points = ("plateau", "solution") if trial.student_width >= trial.teacher_width else ("plateau",)
    (c, d), curves = _scales(trial), []
    for at in points:
        sizes = (trial.student_width, trial.teacher_width, trial.spectrum_dim)
        values = hessian_spectrum(*sizes, at, student_scale=c, teacher_scale=d)
        curves.append(Curve(f"hessian_{at}", range(1, len(values) + 1), values.tolist()))
    return curves
