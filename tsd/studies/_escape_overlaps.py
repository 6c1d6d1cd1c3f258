"""The overlaps of quadratic networks under one-pass SGD: error, equations of motion, conserved quantity.

Student vectors w_i and teacher vectors v_r, inputs x ~ N(0, 1_N), fields λ_i = w_i·x/√N and ν_r = v_r·x/√N. Everything
follows from the covariance of z = (λ, ν),

    S = [[Q, M], [Mᵀ, T]],   Q = ⟨λλᵀ⟩, M = ⟨λνᵀ⟩, T = ⟨ννᵀ⟩,

because the error of a sample is Δ = zᵀA z with A = diag(c 1, −c* 1) and z is Gaussian. arXiv:2604.03068.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from tsd.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    from tsd.engine.checkpoint import Place
    from tsd.studies._base import Kept

BLOW_UP = 1e6
"""A student has diverged where its error exceeds this many times that of its start and of a silent student together."""
RESOLVED = 1e-3
"""Share of the mean norm of the student vectors below which their part outside the teacher's span has died out."""


@dataclass(frozen=True)
class Trajectory:
    """Overlaps along the training, shapes (time, student, teacher) and (time, student, student).

    Args:
        alphas: samples seen over input dimension, shape (time,).
        error: population error ½⟨Δ²⟩, shape (time,).
        M: overlaps of student with teacher.
        Q: overlaps of student with student.

    From where a training diverged, its error and its overlaps are NaN.
    """

    alphas: NDArray[np.float64]
    error: NDArray[np.float64]
    M: NDArray[np.float64]
    Q: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        alphas: NDArray[np.float64],
        M: NDArray[np.float64],
        Q: NDArray[np.float64],
        T: NDArray[np.float64],
        *,
        student_scale: float,
        teacher_scale: float,
    ) -> Trajectory:
        """The trajectory through these overlaps, with everything after a blow-up taken away."""
        error = population_error(M, Q, T, student_scale, teacher_scale)
        lost = np.logical_or.accumulate(~(error <= _limit(float(error[0]), T, teacher_scale)))
        blank = lost[:, None, None]
        return cls(alphas, np.where(lost, np.nan, error), np.where(blank, np.nan, M), np.where(blank, np.nan, Q))

    @property
    def length(self) -> int:
        """Number of records before it diverged."""
        return int(np.isfinite(self.error).sum())


class Course:
    """The solution of y' = rate(t, y) from t = 0 on its way, by DOP853 at relative tolerance 1e-12.

    Args:
        y: where it is, shape (entry,).
        times: at which it is recorded, rising from 0 or later.

    `seen` holds the records, shape (time, entry), NaN where there is none yet; `t` how far it has come.
    """

    def __init__(self, y: NDArray[np.float64], times: NDArray[np.float64]) -> None:
        self.t, self.y, self.length = 0.0, y, nan
        self.times, self.seen, self.records = times, np.full((len(times), len(y)), np.nan), 0

    def steps(self, rate: Callable[[float, NDArray[np.float64]], NDArray[np.float64]]) -> Iterator[None]:
        """To the last record, or as far as steps lead, coming up for air after each."""
        from scipy.integrate import DOP853

        solver = DOP853(rate, self.t, self.y, self.times[-1] or 1.0, rtol=1e-12, atol=1e-14)
        if self.t:
            solver.h_abs = self.length
        while solver.status == "running":
            solver.step()
            if solver.status == "failed":
                return
            self.t, self.y, self.length = float(solver.t), solver.y, float(solver.h_abs)
            reached = int(np.searchsorted(self.times, self.t, side="right"))
            if reached > self.records:
                self.seen[self.records : reached] = solver.dense_output()(self.times[self.records : reached]).T
                self.records = reached
            yield

    def kept(self) -> Kept:
        """All of it."""
        return {"y": self.y, "seen": self.seen}, {"t": self.t, "length": self.length, "records": self.records}

    def restore(self, kept: Kept) -> None:
        """Take a state on."""
        arrays, facts = kept
        self.y, self.seen = arrays["y"].copy(), arrays["seen"].copy()
        self.t, self.length, self.records = float(facts["t"]), float(facts["length"]), int(facts["records"])


def population_error(
    M: ArrayLike, Q: ArrayLike, T: ArrayLike, student_scale: float, teacher_scale: float
) -> np.ndarray:
    """½⟨(ŷ − y)²⟩ over Gaussian inputs, for ŷ = c Σ λ_i² and y = c* Σ ν_r².

    Args:
        M, Q, T: overlaps, shapes (…, student, teacher), (…, student, student), (…, teacher, teacher).
        student_scale, teacher_scale: the prefactors c and c*.
    Returns:
        ½ (c tr Q − c* tr T)² + c² tr Q² − 2 c c* ‖M‖² + c*² tr T², shape (…).
    Raises:
        UserError: shapes do not fit together.
    """
    M, Q, T = _overlaps(M, Q, T)
    bias = student_scale * np.trace(Q, axis1=-2, axis2=-1) - teacher_scale * np.trace(T, axis1=-2, axis2=-1)
    spread = [c * (overlap**2).sum((-2, -1)) for c, overlap in zip((student_scale, teacher_scale), (Q, T), strict=True)]
    cross = student_scale * teacher_scale * (M**2).sum((-2, -1))
    return bias**2 / 2 + student_scale * spread[0] + teacher_scale * spread[1] - 2 * cross


def integrate(  # noqa: PLR0917  Overlaps, rates and prefactors are read in the order of the equations.
    M0: ArrayLike,
    Q0: ArrayLike,
    T: ArrayLike,
    lr: float,
    alphas: ArrayLike,
    student_scale: float,
    teacher_scale: float,
    noise: bool = True,
    place: Place | None = None,
) -> Trajectory:
    """The overlaps that one-pass SGD follows for N → ∞, from `M0` and `Q0` at α = 0. DOP853, relative tolerance 1e-12.

    Args:
        M0, Q0, T: overlaps at the start, shapes (student, teacher), (student, student), (teacher, teacher).
        lr: learning rate η of the step w ← w − (2cη/√N) Δ λ x.
        alphas: rising times ≥ 0, in samples over input dimension.
        student_scale, teacher_scale: the prefactors c and c*.
        noise: keep the term in η²; without it this is gradient flow.
        place: where the way was left, and is kept.
    Raises:
        UserError: shapes do not fit together, or times do not rise from 0 on.
    """
    M, Q, T = _overlaps(M0, Q0, T)
    times = _rising(alphas)
    width, start = len(Q), np.block([[Q, M], [M.T, T]])
    student = np.arange(len(start)) < width
    readout = np.where(student, student_scale, -teacher_scale)
    limit = _limit(_error(start, readout), T, teacher_scale)

    def rate(_: float, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        return _rate(flat.reshape(start.shape), readout, student, student_scale * lr, noise).ravel()

    course = Course(start.ravel(), times)
    if place and (left := place.left()):
        course.restore(left)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in course.steps(rate):
            if _error(course.y.reshape(start.shape), readout) >= limit:
                break
            if place:
                place.at(course)
    path = course.seen.reshape(-1, *start.shape)
    M, Q = path[:, :width, width:], path[:, :width, :width]
    return Trajectory.of(times, M, Q, T, student_scale=student_scale, teacher_scale=teacher_scale)


def _overlaps(M: ArrayLike, Q: ArrayLike, T: ArrayLike) -> list[NDArray[np.float64]]:
    """M, Q and T in float64, of shapes (…, p, p*), (…, p, p) and (…, p*, p*)."""
    found = [np.asarray(overlap, dtype=np.float64) for overlap in (M, Q, T)]
    student, teacher = found[0].shape[-2:] if found[0].ndim > 1 else (0, 0)
    ends = [overlap.shape[-2:] for overlap in found]
    if not student * teacher or ends[1:] != [(student, student), (teacher, teacher)]:
        shapes = ", ".join(f"{name} {overlap.shape}" for name, overlap in zip("MQT", found, strict=True))
        raise UserError(
            f"Overlaps of {shapes} do not fit together. Expected M (student, teacher), Q (student, student) and T "
            "(teacher, teacher), with at least one of each."
        )
    return found


def _rising(alphas: ArrayLike) -> NDArray[np.float64]:
    times = np.asarray(alphas, dtype=np.float64)
    if times.ndim != 1 or not len(times) or times[0] < 0 or not (np.diff(times) > 0).all():
        raise UserError(
            f"The times alphas are {times.tolist()}. Expected one or more numbers that rise from 0 or later, in "
            "samples over input dimension."
        )
    return times


def conserved(
    M: ArrayLike,
    Q: ArrayLike,
    T: ArrayLike,
    growth: float,
) -> NDArray[np.float64]:
    """What gradient flow conserves, shape (teacher, teacher): with R = Q − M T⁻¹ Mᵀ and E = exp(−growth · T),

        E Mᵀ R⁻¹ M E.

    The student's parts inside (M) and outside (R) the span of the teacher are carried by the same left factor, which
    drops out; E takes away what the teacher adds.

    Args:
        M, Q, T: overlaps, shapes (student, teacher), (student, student), (teacher, teacher).
        growth: 4cc*ηα, by how much the teacher has amplified M.
    Raises:
        numpy.linalg.LinAlgError: R is singular.
    """
    M, Q, T = (np.asarray(overlap, dtype=np.float64) for overlap in (M, Q, T))
    values, vectors = np.linalg.eigh(T)
    faded = (vectors * np.exp(-growth * values)) @ vectors.T
    return faded @ M.T @ np.linalg.solve(_outside(M, Q, T), M) @ faded


def conserved_drift(path: Trajectory, T: NDArray[np.float64], rate: float) -> float:
    """Largest relative change of `conserved` since the first record, in Frobenius norm, with growth = rate · α.

    The quantity divides by the student's part outside the teacher's span. From where that has died out in some
    direction (`RESOLVED`) rounding is all that is left, and the rest of the path is not looked at.
    Returns:
        NaN where nothing is resolved.
    """
    seen = []
    for alpha, M, Q in zip(path.alphas, path.M, path.Q, strict=True):
        if np.linalg.eigvalsh(_outside(M, Q, T))[0] < RESOLVED * np.trace(Q) / len(Q):
            break
        seen.append(conserved(M, Q, T, rate * alpha))
    return max((float(np.linalg.norm(C - seen[0]) / np.linalg.norm(seen[0])) for C in seen), default=nan)


def crossing(alphas: NDArray[np.float64], error: NDArray[np.float64], level: float) -> float | None:
    """Where `error` first falls to `level`, on the straight line between two records; None where it never does."""
    below = np.flatnonzero(error <= level)
    if not len(below):
        return None
    after = max(int(below[0]), 1)
    return float(np.interp(-level, -error[after - 1 : after + 1], alphas[after - 1 : after + 1]))


def flattest(alphas: NDArray[np.float64], error: NDArray[np.float64], end: float) -> float:
    """Mean error over that eighth of [0, end] over which it changes least."""
    fine = np.interp(np.linspace(0, end, 65), alphas, error)
    first = int(np.abs(fine[8:] - fine[:-8]).argmin())
    return float(fine[first : first + 9].mean())


def _outside(M: NDArray[np.float64], Q: NDArray[np.float64], T: NDArray[np.float64]) -> NDArray[np.float64]:
    """Q − M T⁻¹ Mᵀ, the overlaps of the student vectors' parts orthogonal to the teacher's, (student, student)."""
    return Q - M @ np.linalg.solve(T, M.T)


def _rate(
    S: NDArray[np.float64], readout: NDArray[np.float64], student: NDArray[np.bool_], speed: float, noise: bool
) -> NDArray[np.float64]:
    """dS/dα from ⟨Δ zzᵀ⟩ = τ₁S + 2SAS and ⟨Δ² zzᵀ⟩ = (τ₁² + 2τ₂)S + 4τ₁SAS + 8SASAS; `speed` is cη. A step moves
    student fields alone, so an entry changes once for each student index that it has."""
    SA = S * readout
    SAS = SA @ S
    mean, variance = np.trace(SA), 2 * (SA * SA.T).sum()
    change = -2 * speed * np.add.outer(student, student, dtype=float) * (mean * S + 2 * SAS)
    if noise:
        squares = (mean**2 + variance) * S + 4 * mean * SAS + 8 * SA @ SAS
        change += 4 * speed**2 * np.logical_and.outer(student, student) * squares
    return change


def _error(S: NDArray[np.float64], readout: NDArray[np.float64]) -> float:
    SA = S * readout
    return float(np.trace(SA) ** 2 / 2 + (SA * SA.T).sum())


def _limit(first: float, T: NDArray[np.float64], teacher_scale: float) -> float:
    """The error above which a student that began with error `first` has diverged."""
    return BLOW_UP * (first + teacher_scale**2 * (np.trace(T) ** 2 / 2 + float((T**2).sum())))
