"""Down a landscape: gradient flow by a linearly implicit Runge–Kutta pair, then Newton steps to the critical point.

Near a copy-average point the curvatures spread over five to eight decades, so an explicit rule would take steps of
the stiffest one's time for ever. `flow` solves y' = −∇L with the Rosenbrock pair of orders 2 and 3 of Shampine and
Reichelt 1997 ("The MATLAB ODE suite", ode23s), which takes the exact Hessian and is stable at any step; `newton` is its
limit of long steps, the damped Newton rule (H + μ I) δ = −∇L. Every student of a stack has its own step and damping,
leaves when it is done, and moves as it would alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Protocol

from tsd.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.studies._base import Kept

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
    """A stack in the flow: parameters, the next step's length and the steps tried, per student.

    Args:
        seen: the parameters at the start and after every stretch of the flow.
        left: the time that each student has left of a stretch; None between two of them.
    """

    y: Tensor
    step: Tensor
    tried: Tensor
    seen: list[Tensor]
    left: Tensor | None = None

    @classmethod
    def start(cls, y: Tensor) -> Moving:
        """At rest in y (stack, parameter)."""
        tried = torch.zeros(len(y), dtype=torch.int64)
        return cls(y.clone(), y.new_full((len(y),), FIRST_STEP), tried, [y.clone()])

    def kept(self) -> Kept:
        """All of it."""
        tensors = {"y": self.y, "step": self.step, "tried": self.tried, "seen": torch.stack(self.seen)}
        tensors |= {} if self.left is None else {"left": self.left}
        return {name: tensor.numpy() for name, tensor in tensors.items()}, {}

    @classmethod
    def restored(cls, kept: Kept) -> Moving:
        """The one that was kept."""
        tensors = {name: torch.tensor(array) for name, array in kept[0].items()}
        return cls(seen=list(tensors.pop("seen")), **tensors)


@dataclass
class Settling:
    """A stack in Newton's steps: parameters, the loss and the gradient's largest component there, and the damping of
    the next step, per student; and the steps taken."""

    y: Tensor
    loss: Tensor
    largest: Tensor
    damping: Tensor
    steps: int = 0

    @classmethod
    def start(cls, landscape: Landscape, y: Tensor) -> Settling:
        """In y (stack, parameter)."""
        largest = landscape.gradient(y).abs().amax(1)
        return cls(y.clone(), landscape.loss(y), largest, y.new_full((len(y),), FIRST_DAMPING))

    def kept(self) -> Kept:
        """All of it."""
        tensors = {"y": self.y, "loss": self.loss, "largest": self.largest, "damping": self.damping}
        return {name: tensor.numpy() for name, tensor in tensors.items()}, {"steps": self.steps}

    @classmethod
    def restored(cls, kept: Kept) -> Settling:
        """The one that was kept."""
        arrays, facts = kept
        return cls(**{name: torch.tensor(array) for name, array in arrays.items()}, steps=int(facts["steps"]))


def flow(landscape: Landscape, stack: Moving, duration: float, tolerance: float, step_limit: int) -> Iterator[None]:
    """Move every student along −∇L for `duration`, or for what is left of it, in at most `step_limit` steps of its
    life. Comes up for air after every step.

    Args:
        tolerance: relative error that one step may make; steps that make more are taken again, shorter.
    """
    left = stack.left = torch.full_like(stack.step, duration) if stack.left is None else stack.left
    while True:
        moving = (left > 0) & (stack.tried < step_limit) & (stack.step > LEAST_STEP)
        if not moving.any():
            break
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
        yield
    stack.left = None
    stack.seen.append(stack.y.clone())


def newton(landscape: Landscape, stack: Settling, tolerance: float, step_limit: int) -> Iterator[None]:
    """Newton's steps, each damped until it descends. Comes up for air after every step.

    Args:
        tolerance: largest component of the gradient at which a student is done.
    """
    while stack.steps < step_limit:
        moving = (stack.largest > tolerance) & (stack.damping < MOST_DAMPING)
        if not moving.any():
            return
        i = _company(moving)
        tried, found = _newton(landscape, stack.y[i], stack.damping[i])
        reached = landscape.loss(tried)
        good = found & (reached <= stack.loss[i] + ROUNDING)
        stack.y[i] = torch.where(good[:, None], tried, stack.y[i])
        stack.loss[i] = torch.where(good, reached, stack.loss[i])
        stack.damping[i] = torch.where(good, stack.damping[i] / 5, stack.damping[i] * 4)
        stack.largest[i] = landscape.gradient(stack.y[i]).abs().amax(1)
        stack.steps += 1
        yield


def settle(landscape: Landscape, y: Tensor, tolerance: float, step_limit: int) -> Tensor:
    """Where Newton's steps from y (stack, parameter) end."""
    stack = Settling.start(landscape, y)
    for _ in newton(landscape, stack, tolerance, step_limit):
        pass
    return stack.y


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
