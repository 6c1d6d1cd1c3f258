"""Down a landscape: gradient flow by a linearly implicit Runge–Kutta pair, then Newton steps to the critical point.

Near a copy-average point the curvatures spread over five to eight decades, so an explicit rule would take steps of
the stiffest one's time for ever. `flow` solves y' = −∇L with the Rosenbrock pair of orders 2 and 3 of Shampine and
Reichelt 1997 ("The MATLAB ODE suite", ode23s), which takes the exact Hessian and is stable at any step; `settle` is its
limit of long steps, the damped Newton rule (H + μ I) δ = −∇L. Every student of a stack has its own step and damping,
leaves when it is done, and moves as it would alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Protocol

from tsd.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

GAMMA = 1 / (2 + sqrt(2))
ERROR = 6 + sqrt(2)
ABSOLUTE = 1e-6
"""Allowed error of a step where a parameter is zero; elsewhere the relative one rules."""
FIRST_STEP, FIRST_DAMPING = 1e-2, 1e-3
LEAST_STEP, MOST_DAMPING = 1e-12, 1e12
"""Beyond them a student is given up: it moves no more."""
ROUNDING = 1e-14
"""A Newton step may raise the loss by so much: less cannot be told from rounding."""


class Landscape(Protocol):
    """A loss of many students at once, at parameters y (stack, parameter)."""

    def loss(self, y: Tensor) -> Tensor:
        """Shape (stack,)."""
        ...

    def gradient(self, y: Tensor) -> Tensor:
        """Shape (stack, parameter)."""
        ...

    def hessian(self, y: Tensor) -> Tensor:
        """Shape (stack, parameter, parameter)."""
        ...


@dataclass
class Moving:
    """A stack on its way: parameters, the next step's length and the steps tried, per student."""

    y: Tensor
    step: Tensor
    tried: Tensor

    @classmethod
    def start(cls, y: Tensor) -> Moving:
        """At rest in y (stack, parameter)."""
        return cls(y.clone(), y.new_full((len(y),), FIRST_STEP), torch.zeros(len(y), dtype=torch.int64))


def flow(landscape: Landscape, stack: Moving, duration: float, tolerance: float, step_limit: int) -> None:
    """Move every student along −∇L for `duration`, in at most `step_limit` steps of its life.

    Args:
        tolerance: relative error that one step may make; steps that make more are taken again, shorter.
    """
    left = torch.full_like(stack.step, duration)
    while True:
        moving = (left > 0) & (stack.tried < step_limit) & (stack.step > LEAST_STEP)
        if not moving.any():
            return
        i = _company(moving)
        step = torch.minimum(stack.step[i], left[i])
        y, error = _rosenbrock(landscape, stack.y[i], step, tolerance)
        good = error <= 1
        stack.y[i] = torch.where(good[:, None], y, stack.y[i])
        left[i] = torch.where(good, left[i] - step, left[i])
        wished = step * (0.9 * error.clamp(1e-6, 1e6).pow(-1 / 3)).clamp(0.2, 5.0)
        # A step cut short by the end of the duration says nothing against a longer one that was planned.
        stack.step[i] = torch.where(good & (step < stack.step[i]), stack.step[i], wished)
        stack.tried[i] += 1


def settle(landscape: Landscape, y: Tensor, tolerance: float, step_limit: int) -> tuple[Tensor, Tensor]:
    """Newton's steps, each damped until it descends.

    Args:
        y: where to begin (stack, parameter).
        tolerance: largest component of the gradient at which a student is done.
    Returns:
        Where they end, and the largest component of the gradient there, shape (stack,).
    """
    y, damping = y.clone(), y.new_full((len(y),), FIRST_DAMPING)
    largest, loss = landscape.gradient(y).abs().amax(1), landscape.loss(y)
    for _ in range(step_limit):
        moving = (largest > tolerance) & (damping < MOST_DAMPING)
        if not moving.any():
            break
        i = _company(moving)
        tried, found = _newton(landscape, y[i], damping[i])
        reached = landscape.loss(tried)
        good = found & (reached <= loss[i] + ROUNDING)
        y[i] = torch.where(good[:, None], tried, y[i])
        loss[i] = torch.where(good, reached, loss[i])
        damping[i] = torch.where(good, damping[i] / 5, damping[i] * 4)
        largest[i] = landscape.gradient(y[i]).abs().amax(1)
    return y, largest


def _company(moving: Tensor) -> Tensor:
    """Indices of those that move. A lone one keeps itself company: BLAS has another kernel for a lone product."""
    i = moving.nonzero().squeeze(1)
    return i if len(i) > 1 else i.repeat(2)


def _rosenbrock(landscape: Landscape, y: Tensor, step: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """One step, and its error in units of what is allowed; infinite where I + γ h H is not positive."""
    h = step[:, None]
    system = (GAMMA * h[..., None]) * landscape.hessian(y)
    system.diagonal(dim1=1, dim2=2).add_(1)
    factor, fault = torch.linalg.cholesky_ex(system)

    def solve(right: Tensor) -> Tensor:
        return torch.cholesky_solve(right[..., None], factor).squeeze(-1)

    f0 = -landscape.gradient(y)
    k1 = solve(f0)
    f1 = -landscape.gradient(y + 0.5 * h * k1)
    k2 = solve(f1 - k1) + k1
    after = y + h * k2
    f2 = -landscape.gradient(after)
    k3 = solve(f2 - ERROR * (k2 - f1) - 2 * (k1 - f0))
    allowed = ABSOLUTE + tolerance * torch.maximum(y.abs(), after.abs())
    error = (h / 6 * (k1 - 2 * k2 + k3) / allowed).square().mean(1).sqrt()
    return after, torch.where((fault == 0) & error.isfinite(), error, torch.inf)


def _newton(landscape: Landscape, y: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Where (H + μ I)⁻¹ leads, and whether H + μ I is positive, without which it need not lead down."""
    system = landscape.hessian(y)
    system.diagonal(dim1=1, dim2=2).add_(damping[:, None])
    factor, fault = torch.linalg.cholesky_ex(system)
    move = torch.cholesky_solve(landscape.gradient(y)[..., None], factor).squeeze(-1)
    return y - move, (fault == 0) & move.isfinite().all(1)
