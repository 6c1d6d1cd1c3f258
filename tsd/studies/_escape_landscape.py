"""The population loss of quadratic networks with T = 1: plateau, solutions, escape, Hessian. arXiv:2604.03068.

The loss depends on the weights through K = c wᵀw − c* vᵀv alone (w = W/√N, v = V/√N): it is ½(tr K)² + tr K². Turning
the student's neurons among each other, w → O w, changes nothing; hence a manifold of solutions w = √(c*/c) O v.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, nan, sqrt
from typing import TYPE_CHECKING

import numpy as np

from tsd.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Plateau:
    """Where norms have settled and no teacher vector is seen yet: M = 0, Q = norm · 1.

    Args:
        norm: diagonal of Q.
        error: population error there.
        rate: M grows as exp(rate · α).
    """

    norm: float
    error: float
    rate: float


def plateau(
    student_width: int, teacher_width: int, lr: float, *, student_scale: float, teacher_scale: float, noise: bool = True
) -> Plateau:
    """The fixed point of the overlap equations at M = 0.

    Without the term in η²: norm c*p*/(c(p+2)), error c*²(p*²/(p+2) + p*), rate 4cc*η. With it, dQ/dα = 0 is a quadratic
    equation for the norm, of which the root that starts at the value above is taken; above some learning rate it has
    no real root, norms grow without end, and all fields are NaN.
    """
    p, k, c, d = student_width, teacher_width, student_scale, teacher_scale
    eta = c * lr if noise else 0.0
    curvature = eta * c**2 * (p + 2) * (p + 4)
    slope = c * (p + 2) * (1 + 2 * eta * d * k)
    source = d * k + eta * d**2 * k * (k + 2)
    discriminant = slope**2 - 4 * curvature * source
    if discriminant < 0:
        return Plateau(nan, nan, nan)
    norm = 2 * source / (slope + sqrt(discriminant))
    error = (c * p * norm - d * k) ** 2 / 2 + c**2 * p * norm**2 + d**2 * k
    return Plateau(norm, error, 2 * c * lr * (d * (k + 2) - c * (p + 2) * norm))


def escape_prediction(M0: ArrayLike, start_norm: float, reached: Plateau, solved: float) -> float:
    """Leading order of the time at which a student leaves its plateau.

    At M ≈ 0 gradient flow solves in closed form: while Q goes from `start_norm` to the plateau's norm, ‖M‖² grows by
    their ratio on top of exp(2·rate·α). That growth, continued to half of ‖M‖² on the solutions, `solved`, gives α.
    """
    seed = float((np.asarray(M0) ** 2).sum()) * reached.norm / start_norm
    return max(log(solved / (2 * seed)), 0.0) / (2 * reached.rate) if seed > 0 and reached.rate > 0 else inf


def polar_solution(M0: ArrayLike, student_scale: float, teacher_scale: float) -> NDArray[np.float64]:
    """The solution nearest to a start with overlaps `M0` (student, teacher), in Frobenius distance of the weights.

    With M0 = U S Vᵀ it is M = √(c*/c) U Vᵀ. Gradient flow from Q0 ∝ 1 ends there, because what it conserves holds U and
    V fixed. Needs at least as many students as teachers.
    """
    U, _, Vt = np.linalg.svd(np.asarray(M0, dtype=np.float64), full_matrices=False)
    return np.asarray(sqrt(teacher_scale / student_scale) * U @ Vt, dtype=np.float64)


def hessian_spectrum(
    student_width: int,
    teacher_width: int,
    input_dim: int,
    at: str = "plateau",
    *,
    student_scale: float | None = None,
    teacher_scale: float | None = None,
) -> NDArray[np.floating]:
    """Eigenvalues, rising, of N times the Hessian of the population error in all student weights.

    Args:
        student_width, teacher_width, input_dim: p, p* and N.
        at: "plateau" of gradient flow, where W is orthogonal to the teacher, or "solution": any point of the manifold
            of zero error, for all have the same spectrum.
        student_scale, teacher_scale: the prefactors c and c*; 1/width where left out.
    Returns:
        Shape (student_width · input_dim,).
    Raises:
        UserError: there is no such point at these sizes.
    """
    c = 1 / student_width if student_scale is None else student_scale
    d = 1 / teacher_width if teacher_scale is None else teacher_scale
    room = {"plateau": input_dim - teacher_width, "solution": min(student_width, input_dim)}
    needed = {"plateau": student_width, "solution": teacher_width}
    if at not in room:
        raise UserError(f"No Hessian at {at!r}: it is known at 'plateau' and at 'solution'.")
    if room[at] < needed[at]:
        raise UserError(
            f"There is no {at} with student_width {student_width}, teacher_width {teacher_width} and input_dim "
            f"{input_dim}. A plateau needs student_width + teacher_width ≤ input_dim, a solution teacher_width ≤ "
            "student_width and ≤ input_dim. Change one of the three."
        )
    teacher, student = np.eye(teacher_width, input_dim), np.eye(student_width, input_dim)
    if at == "plateau":
        norm = plateau(student_width, teacher_width, 0.0, student_scale=c, teacher_scale=d).norm
        student = sqrt(norm) * np.roll(student, teacher_width, axis=1)
    else:
        student = sqrt(d / c) * np.eye(student_width, teacher_width) @ teacher
    return np.linalg.eigvalsh(hessian(student, teacher, c, d))


def hessian(
    student: NDArray[np.float64], teacher: NDArray[np.float64], student_scale: float, teacher_scale: float
) -> NDArray[np.float64]:
    """N times the Hessian of the population error in W, for w = W/√N (student, input) and v = V/√N (teacher, input).

    In a direction u it gives 2c[(tr K)u + 2uK + 2c (tr wuᵀ) w + 2c (wuᵀw + wwᵀu)].
    Returns:
        Shape (student · input, student · input).
    """
    w, c = student, student_scale
    width, dim = w.shape
    K = c * w.T @ w - teacher_scale * teacher.T @ teacher
    still = np.einsum("ij,ab->iajb", np.eye(width), np.trace(K) * np.eye(dim) + 2 * K)
    moved = np.einsum("ia,jb->iajb", w, w) + np.einsum("ib,ja->iajb", w, w)
    moved += np.einsum("ij,ab->iajb", w @ w.T, np.eye(dim))
    return (2 * c * (still + 2 * c * moved)).reshape(width * dim, width * dim)
