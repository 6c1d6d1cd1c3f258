"""Critical points that theory knows: one neuron, copy-average, perturbed copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import acos, asin, pi, sqrt
from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.lazy import torch
from tsd.studies._copy_average_flow import settle
from tsd.studies._copy_average_loss import Landscape, kernel_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

SHIFT = 1e-5
"""Half the distance of two gradients whose difference gives a curvature."""


@dataclass(frozen=True)
class OneNeuron:
    """The best student of one neuron: its loss, its outgoing weight and the norm of its incoming ones. Of a ReLU
    neuron only a · norm is determined; it is given with both equal."""

    loss: float
    a: float
    norm: float


@dataclass(frozen=True)
class Point:
    """A critical point of the loss: outgoing weights a (n,), incoming weights W (n, k) in the basis of the teacher's
    neurons, float64 arrays, and its loss."""

    a: np.ndarray
    W: np.ndarray
    loss: float


def one_neuron_optimum(k: int, activation: str = "erf") -> OneNeuron:
    """The best student of n = 1 for k orthonormal teacher neurons: its weights point along their sum.

    For erf the norm r has r²/(1 + r²) = 1/2k, the stationary point of arcsin(√(s/2k))² / arcsin(s); hence a = k and
    loss k/3 − (2/π) k² arcsin(1/2k). For ReLU the loss is quadratic in a · r.

    Raises:
        UserError: `activation` is neither erf nor relu, or k is less than 1.
    """
    kernel_of(activation)
    _check(k, 1)
    if activation == "erf":
        return OneNeuron(k / 3 - 2 / pi * k * k * asin(1 / (2 * k)), float(k), 1 / sqrt(2 * k - 1))
    cosine = 1 / sqrt(k)
    projection = k * (sqrt(1 - 1 / k) + (pi - acos(cosine)) * cosine) / (2 * pi)
    variance = k / 2 + k * (k - 1) / (2 * pi)
    return OneNeuron(variance - 2 * projection**2, sqrt(2 * projection), sqrt(2 * projection))


def copy_average_point(k: int, n: int, activation: str = "erf") -> Point:
    """n − 1 neurons copy one teacher neuron each and the last averages the k − n + 1 others.

    For erf this is exact, with loss L*(k − n + 1) of `one_neuron_optimum`: the best of all the critical points at which
    every neuron is the optimum of its own group of teacher neurons. ReLU neurons feel each other even where they are
    orthogonal: there it is the best point with the same symmetry.

    Raises:
        UserError: n is not in 1 … k.
    """
    _check(k, n)
    averaged = k - n + 1
    if activation == "erf":
        return _partitioned(k, [1] * (n - 1) + [averaged])
    copying, averaging = torch.zeros(n), torch.zeros(n)
    copying[:-1], averaging[-1] = 1, 1
    copied, rest = torch.zeros(k), torch.zeros(k)
    copied[: n - 1], rest[n - 1 :] = 1, 1
    own = torch.eye(n, k) * copying[:, None]
    shapes = [own, _outer(copying, copied) - own, _outer(copying, rest), _outer(averaging, copied)]
    shapes += [_outer(averaging, rest)]
    norm = one_neuron_optimum(averaged, "relu").norm
    start = torch.tensor([[1.0, norm, 1.0, 0.0, 0.0, 0.0, norm / sqrt(averaged)]])
    return _best([copying, averaging], shapes, start, activation)


def perturbed_copy_point(k: int, n: int, activation: str = "erf") -> Point:
    """Every neuron leans on one teacher neuron of its own and takes equal parts of all the others: the best point with
    a_i = a, w_i = α v_i + β Σ_{j ≤ n, j ≠ i} v_j + γ Σ_{j > n} v_j.

    Raises:
        UserError: n is not in 1 … k.
    """
    _check(k, n)
    leaning = torch.ones(n)
    led, rest = torch.zeros(k), torch.zeros(k)
    led[:n], rest[n:] = 1, 1
    own = torch.eye(n, k)
    shapes = [own, _outer(leaning, led) - own, _outer(leaning, rest)]
    size = sqrt(n / k)
    leans = size * torch.tensor([0.4, 0.5, 0.6, 0.7, 0.85, 1.0])
    gathered = size / sqrt(k) * torch.tensor([0.0, 0.15, 0.4, 0.8, 1.2])
    starts = torch.cartesian_prod(torch.ones(1), leans, torch.tensor([0.0, -0.02, -0.05, -0.09]), gathered)
    return _best([leaning], shapes, starts, activation)


def curvature(point: Point, activation: str = "erf") -> float:
    """Smallest eigenvalue of the Hessian of the loss at a point of erf or ReLU students; below zero it is a saddle."""
    n, k = point.W.shape
    y = torch.cat([torch.from_numpy(point.a), torch.from_numpy(point.W).flatten()])[None]
    landscape = Landscape(torch.eye(k, dtype=torch.float64), n, activation)
    return float(torch.linalg.eigvalsh(landscape.hessian(y))[0, 0])


def _partitioned(k: int, groups: Sequence[int]) -> Point:
    """The erf student whose neuron i is the optimum for its own groups[i] teacher neurons."""
    import numpy as np

    optima = [one_neuron_optimum(size) for size in groups]
    of_neuron = np.repeat(np.arange(len(groups)), groups)
    scale = np.array([best.norm / sqrt(size) for best, size in zip(optima, groups, strict=True)])
    W = np.where(of_neuron == np.arange(len(groups))[:, None], scale[:, None], 0.0)
    return Point(np.array([best.a for best in optima]), W, sum(best.loss for best in optima))


@dataclass(frozen=True)
class _Symmetric:
    """A landscape seen from a few coordinates x: y = x @ basis."""

    whole: Landscape
    basis: Tensor

    def loss(self, x: Tensor) -> Tensor:
        return self.whole.loss(x @ self.basis)

    def gradient(self, x: Tensor) -> Tensor:
        return self.whole.gradient(x @ self.basis) @ self.basis.T

    def hessian(self, x: Tensor) -> Tensor:
        """By differences of the gradient: a hundred times cheaper than the whole Hessian, and good to 1e-9, which
        costs Newton's method nothing."""
        shifts = SHIFT * torch.eye(x.shape[1], dtype=x.dtype)
        ahead, behind = (self.gradient((x[:, None] + sign * shifts).flatten(0, 1)) for sign in (1, -1))
        return (ahead - behind).unflatten(0, (len(x), -1)) / (2 * SHIFT)


def _best(outgoing: list[Tensor], incoming: list[Tensor], starts: Tensor, activation: str) -> Point:
    """Settle in the span of patterns of a (n,) and of W (n, k), from the lowest of `starts` (start, pattern): others
    lead to saddles. By symmetry what is critical in the span is critical."""
    n, k = incoming[0].shape
    rows = [torch.cat([a, torch.zeros(n * k)]) for a in outgoing]
    rows += [torch.cat([torch.zeros(n), w.flatten()]) for w in incoming]
    whole = Landscape(torch.eye(k, dtype=torch.float64), n, activation)
    symmetric = _Symmetric(whole, torch.stack(rows).double())
    start = _lowest(symmetric, starts.double(), len(outgoing))
    x = settle(symmetric, start, 1e-13, 500)
    y = (x @ symmetric.basis)[0]
    return Point(y[:n].numpy(), y[n:].reshape(n, k).numpy(), float(symmetric.loss(x)[0]))


def _lowest(symmetric: _Symmetric, starts: Tensor, outgoing: int) -> Tensor:
    """The best of `starts` (start, pattern) once their first `outgoing` entries, which the loss is quadratic in, have a
    common factor that makes the most of them; shape (1, pattern)."""
    zero, one, minus = (starts.clone() for _ in range(3))
    zero[:, :outgoing] *= 0
    minus[:, :outgoing] *= -1
    none, with_it, against = (symmetric.loss(each) for each in (zero, one, minus))
    one[:, :outgoing] *= ((against - with_it) / (2 * (against + with_it - 2 * none)))[:, None]
    return one[symmetric.loss(one).argmin()][None]


def _outer(left: Tensor, right: Tensor) -> Tensor:
    return left[:, None] * right


def _check(k: int, n: int) -> None:
    if not 1 <= n <= k:
        raise UserError(
            f"A student of {n} neurons has no copy-average or perturbed-copy point for a teacher of {k}: these points "
            f"are those of students that are too narrow. Expected student_width from 1 to teacher_width, here {k}."
        )
