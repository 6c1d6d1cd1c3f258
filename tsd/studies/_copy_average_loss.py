"""The population loss of two-layer students and its first two derivatives, in closed form.

Student and teacher are Σ_α b_α σ(u_α·x) with x ~ N(0, I). Put together (b = a on the student's neurons, −1 on the
teacher's) they have the loss Σ_αβ b_α b_β g(u_α, u_β), where g(w, v) = E σ(w·x) σ(v·x) depends on t = w·v, p = |w|² and
q = |v|² alone. Everything below is the chain rule from the partial derivatives of g by t, p and q.

Vectors of parameters are flat: the outgoing weights a (n), then the rows of W (n, d).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING, Any

from tsd.errors import UserError
from tsd.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Kernel:
    """g as a function of (t, p, q); each function broadcasts.

    Args:
        value: g.
        slopes: ∂g by t and by p.
        curvatures: ∂²g by tt, tp, pp and pq. Those by q follow, as g is symmetric in p and q.
    """

    value: Callable[[Tensor, Tensor, Tensor], Tensor]
    slopes: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]
    curvatures: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]


def _erf(t: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """(2/π) arcsin(t / √((1 + p)(1 + q))), for σ(z) = erf(z/√2)."""
    return (2 / pi) * torch.asin(t * torch.rsqrt((1 + p) * (1 + q)))


def _erf_slopes(t: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, ...]:
    by_t = (2 / pi) * torch.rsqrt((1 + p) * (1 + q) - t * t)
    return by_t, -0.5 * t * by_t / (1 + p)


def _erf_curvatures(t: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, ...]:
    gap = (1 + p) * (1 + q) - t * t
    by_t = (2 / pi) * torch.rsqrt(gap)
    cubed = by_t / gap
    by_pp = 0.5 * t * (by_t / (1 + p).square() + 0.5 * cubed * (1 + q) / (1 + p))
    return t * cubed, -0.5 * (1 + q) * cubed, by_pp, 0.25 * t * cubed


ALIGNED = 1e-14
"""Below this 1 − cos² of the angle counts as zero: what remains of a neuron's product with itself is rounding."""


def _area(t: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """|w||v| sin θ, exactly zero (also for its gradient) where the two are aligned."""
    squared = p * q - t * t
    aligned = squared <= ALIGNED * p * q
    return torch.where(aligned, 0.0, torch.where(aligned, 1.0, squared).sqrt())


def _relu(t: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """(1/2π) (|w||v| sin θ + (π − θ) t), for σ(z) = max(z, 0)."""
    area = _area(t, p, q)
    return (area + (pi - torch.atan2(area, t)) * t) / (2 * pi)


def _relu_slopes(t: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, ...]:
    area = _area(t, p, q)
    return (pi - torch.atan2(area, t)) / (2 * pi), area / (4 * pi * p)


def _relu_curvatures(t: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, ...]:
    """The poles at θ = 0 cancel in the second derivative of g(w, w): they are left out."""
    area = _area(t, p, q)
    inverse = torch.where(area > 0, 1 / area, 0.0)
    by_pp = (0.5 * q * inverse / p - area / p.square()) / (4 * pi)
    return inverse / (2 * pi), -t * inverse / (4 * pi * p), by_pp, inverse / (8 * pi)


KERNELS = {"erf": Kernel(_erf, _erf_slopes, _erf_curvatures), "relu": Kernel(_relu, _relu_slopes, _relu_curvatures)}
"""E σ(w·x) σ(v·x) by the name of σ. Saad and Solla 1995 (erf), Cho and Saul 2009 (ReLU)."""


def kernel_of(activation: str) -> Kernel:
    """The kernel of σ. Raises UserError where no closed form is known here."""
    if activation not in KERNELS:
        raise UserError(
            f"The activation {activation!r} has no closed form of E σ(w·x) σ(v·x) here. Expected one of "
            f"{', '.join(KERNELS)}, where erf is erf(z/√2)."
        )
    return KERNELS[activation]


def population_loss(a: Any, W: Any, V: Any, activation: str = "erf") -> Any:
    """E (Σ_i a_i σ(w_i·x) − Σ_j σ(v_j·x))² over x ~ N(0, I_d): no ½ and no average over neurons.

    Args:
        a, W: the student's outgoing (n,) and incoming (n, d) weights, float64 arrays or tensors.
        V: the teacher's incoming weights (k, d); its outgoing weights are 1.
        activation: "erf", which is erf(z/√2), or "relu".
    Returns:
        A 0-d tensor that autograd may go through where `a` is a tensor, else a float.
    Raises:
        UserError: `activation` is neither, or shapes do not fit together.
    """
    outgoing, students, teachers = (torch.as_tensor(part, dtype=torch.float64) for part in (a, W, V))
    _check(outgoing, students, teachers)
    weights = torch.cat([outgoing, -outgoing.new_ones(len(teachers))])
    u = torch.cat([students, teachers])
    p = u.square().sum(1)
    loss = weights @ kernel_of(activation).value(u @ u.T, p[:, None], p) @ weights
    return loss if isinstance(a, torch.Tensor) else float(loss)


def _check(a: Tensor, W: Tensor, V: Tensor) -> None:
    shapes = [tuple(part.shape) for part in (a, W, V)]
    if W.ndim != 2 or V.ndim != 2 or shapes[0] != shapes[1][:1]:
        wrong = f"a has the shape {shapes[0]} and W {shapes[1]}, with V {shapes[2]}"
    elif shapes[1][1] != shapes[2][1]:
        wrong = f"W has {shapes[1][1]} inputs and V {shapes[2][1]}"
    else:
        return
    raise UserError(
        f"The weights do not fit together: {wrong}. Expected a (n,), W (n, d) and V (k, d): one outgoing weight and "
        "one row of incoming weights for each student neuron, and rows of teacher neurons over the same d inputs."
    )


@dataclass(frozen=True)
class _Pairs:
    """A stack of students, shapes (stack, …): a (n), W (n, d), all m = n + k neurons u (m, d), their weights b (m), and
    t, p, q of the pairs (student, any), shapes (n, m), (n, 1), (1, m)."""

    a: Tensor
    W: Tensor
    u: Tensor
    b: Tensor
    t: Tensor
    p: Tensor
    q: Tensor


@dataclass(frozen=True)
class Landscape:
    """The loss of a stack of equally wide students of the teacher `V` (k, d), at parameters y (stack, n (1 + d))."""

    V: Tensor
    width: int
    activation: str

    def loss(self, y: Tensor) -> Tensor:
        """Shape (stack,)."""
        z = self._pairs(y)
        value = kernel_of(self.activation).value
        teachers = -z.b[:, self.width :]
        between = value(z.t, z.p, z.q)
        norms = self.V.square().sum(1)
        constant = value(self.V @ self.V.T, norms[:, None], norms).sum()
        own = (between[:, :, : self.width] * z.a[:, None]).sum(2)
        cross = (between[:, :, self.width :] * teachers[:, None]).sum(2)
        return (z.a * (own - 2 * cross)).sum(1) + constant

    def gradient(self, y: Tensor) -> Tensor:
        """Shape of y."""
        z = self._pairs(y)
        by_a, by_w = self._pulls(z)
        return torch.cat([by_a, (z.a[:, :, None] * by_w).flatten(1)], 1)

    def hessian(self, y: Tensor) -> Tensor:
        """Shape (stack, n (1 + d), n (1 + d))."""
        z, n, d = self._pairs(y), self.width, self.V.shape[1]
        kernel = kernel_of(self.activation)
        by_t, by_p = kernel.slopes(z.t, z.p, z.q)
        full = y.new_empty(len(y), n * (1 + d), n * (1 + d))
        full[:, :n, :n] = 2 * kernel.value(z.t, z.p, z.q)[:, :, :n]
        mixed = (
            2
            * z.a[:, None, :, None]
            * (by_t[:, :, :n].mT[..., None] * z.W[:, :, None] + 2 * by_p[:, :, :n].mT[..., None] * z.W[:, None])
        )
        mixed.diagonal(dim1=1, dim2=2).add_(self._pulls(z)[1].mT)
        full[:, :n, n:] = mixed.flatten(2)
        full[:, n:, :n] = mixed.flatten(2).mT
        blocks = self._between(z)
        blocks.diagonal(dim1=1, dim2=3).add_(self._within(z).permute(0, 2, 3, 1))
        full[:, n:, n:] = blocks.reshape(len(y), n * d, n * d)
        return full

    def _pairs(self, y: Tensor) -> _Pairs:
        n, (k, d) = self.width, self.V.shape
        a, W = y[:, :n], y[:, n:].unflatten(1, (n, d))
        u = torch.cat([W, self.V.expand(len(y), k, d)], 1)
        b = torch.cat([a, -torch.ones_like(y[:, :1]).expand(-1, k)], 1)
        norms = u.square().sum(2)
        return _Pairs(a, W, u, b, W @ u.mT, norms[:, :n, None], norms[:, None])

    def _pulls(self, z: _Pairs) -> tuple[Tensor, Tensor]:
        """The gradient by a, and the gradient by w_i over a_i."""
        kernel = kernel_of(self.activation)
        by_t, by_p = kernel.slopes(z.t, z.p, z.q)
        b = 2 * z.b[:, None]
        by_w = (b * by_t) @ z.u + 2 * (b * by_p).sum(2, keepdim=True) * z.W
        return (b * kernel.value(z.t, z.p, z.q)).sum(2), by_w

    def _between(self, z: _Pairs) -> Tensor:
        """2 a_i a_j ∂²g(w_i, w_j) / ∂w_i ∂w_j, shape (stack, n, d, n, d)."""
        n, kernel = self.width, kernel_of(self.activation)
        pairs = z.t[:, :, :n], z.p, z.q[:, :, :n]
        scale = 2 * z.a[:, :, None] * z.a[:, None]
        tt, tp, _, pq = (scale * part for part in kernel.curvatures(*pairs))
        w, v = z.W[:, :, None], z.W[:, None]
        onto_v = tt[..., None] * w + 2 * tp.mT[..., None] * v
        onto_w = 2 * tp[..., None] * w + 4 * pq[..., None] * v
        rows_v, rows_w = z.W.mT[:, None, :, :, None], z.W[:, :, :, None, None]
        blocks = rows_v * onto_v[:, :, None] + rows_w * onto_w[:, :, None]
        blocks.diagonal(dim1=2, dim2=4).add_((scale * kernel.slopes(*pairs)[0])[..., None])
        return blocks

    def _within(self, z: _Pairs) -> Tensor:
        """2 a_i Σ_β b_β ∂²g(w_i, u_β) / ∂w_i², shape (stack, n, d, d)."""
        kernel = kernel_of(self.activation)
        scale = 2 * z.a[:, :, None] * z.b[:, None]
        tt, tp, pp, _ = (scale * part for part in kernel.curvatures(z.t, z.p, z.q))
        outer = (tt[..., None] * z.u[:, None]).mT @ z.u[:, None]
        sided = (2 * (tp @ z.u) + 2 * pp.sum(2, keepdim=True) * z.W)[..., None] * z.W[:, :, None]
        outer = outer + sided + sided.mT
        by_p = (scale * kernel.slopes(z.t, z.p, z.q)[1]).sum(2)
        outer.diagonal(dim1=2, dim2=3).add_(2 * by_p[..., None])
        return outer
