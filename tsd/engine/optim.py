"""Optimizers over a stack: the rules of `torch.optim`, with a learning rate, momentum and decay for every trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import cos, pi, sqrt
from typing import Any, cast

import torch
from torch import Tensor

from tsd.errors import UserError

Tensors = list[Tensor] | tuple[Tensor, ...]
Numbers = Sequence[float] | Sequence[Tensor]
"""What differs from one update to the next and not between trials: plain numbers, or tensors () on the device."""


@dataclass(frozen=True)
class Update:
    """An update rule of the parameters it was made for.

    Args:
        move: (gradients, numbers of the update, schedule's share of the learning rate) → moves the parameters.
        numbers: step from 0 → the numbers of that update.
        memory: what it carries from step to step; changed in place.
    """

    move: Callable[[Tensors, Numbers, float | Tensor], None]
    numbers: Callable[[int], tuple[float, ...]]
    memory: list[Tensor]

    def __call__(self, grads: Tensors, step: int, share: float) -> None:
        self.move(grads, self.numbers(step), share)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: (1 + cos(pi * done)) / 2,
    "linear": lambda done: 1 - done,
}
"""Share of the run that is done, from 0 to below 1 → share of the learning rate."""


def course(settings: Any) -> Callable[[float], float]:
    """As `SCHEDULES`, of a trial's schedule; that of `step` falls by a factor behind each of its milestones.

    Raises:
        UserError: its milestones are no ascending shares.
    """
    if settings.schedule != "step":
        return SCHEDULES[settings.schedule]
    return partial(_stairs, milestones(settings.milestones), settings.milestone_factor)


def milestones(text: str) -> list[float]:
    """Shares of a run such as "0.5 0.75".

    Raises:
        UserError: they are no ascending numbers between 0 and 1.
    """
    words = text.replace(",", " ").split()
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    if not found or sorted(set(found)) != found or not 0 < found[0] <= found[-1] < 1:
        raise UserError(
            f"milestones: {text} cannot be read. Give the shares of the steps after which lr falls, ascending and "
            'between 0 and 1, such as "0.5 0.75".'
        )
    return found


def _stairs(marks: list[float], factor: float, done: float) -> float:
    return float(factor ** sum(done >= mark for mark in marks))


BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def optimizer(name: str, params: Tensors, values: Mapping[str, Tensor], *, nesterov: bool = False) -> Update:
    """The update rule `name` for `params`, each of shape (trial, …).

    Args:
        name: sgd, adam or adamw.
        params: changed in place by every update.
        values: lr, momentum and weight_decay, each of shape (trial,).
        nesterov: whether the momentum of sgd looks ahead.
    """
    decays = columns(values["weight_decay"], params)
    if name == "sgd":
        return _sgd(params, values["lr"], decays, columns(values["momentum"], params), nesterov)
    return _adam(params, values["lr"], decays, decoupled=name == "adamw")


def paced(rates: Tensor, share: float | Tensor) -> Tensor:
    """rates · share. A plain 1 costs nothing, and a tensor is not looked at: a GPU is not waited for."""
    return rates if isinstance(share, float) and share == 1 else rates * share


def columns(values: Tensor, params: Tensors) -> list[Tensor]:
    """One number a trial, shaped to multiply each of `params`."""
    return [values.view(-1, *[1] * (param.ndim - 1)) for param in params]


def _sgd(params: Tensors, rates: Tensor, decays: list[Tensor], momenta: list[Tensor], nesterov: bool) -> Update:
    """v ← μ v + g,  p ← p − η v;  with `nesterov` p ← p − η (g + μ v), as torch has it."""
    moving, decaying = _any(momenta), _any(decays)
    velocities = [torch.zeros_like(p) for p in params] if moving else []

    def move(grads: Tensors, numbers: Numbers, share: float | Tensor) -> None:
        if decaying:
            grads = torch._foreach_addcmul(grads, params, decays)
        if moving:
            torch._foreach_mul_(velocities, momenta)
            torch._foreach_add_(velocities, grads)
            grads = torch._foreach_addcmul(grads, velocities, momenta) if nesterov else velocities
        torch._foreach_addcmul_(params, grads, columns(paced(rates, share), params), -1.0)

    return Update(move, lambda step: (), velocities)


def _adam(params: Tensors, rates: Tensor, decays: list[Tensor], decoupled: bool) -> Update:
    """m ← β₁ m + (1 − β₁) g,  s ← β₂ s + (1 − β₂) g²,  p ← p − η m̂ / (√ŝ + ε) with the bias of m and s taken out.

    Kingma and Ba 2015, arXiv:1412.6980; decoupled decay p ← (1 − η w) p: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """
    decaying = _any(decays)
    means, squares = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]

    def numbers(step: int) -> tuple[float, ...]:
        unbias = sqrt(1 - BETA2 ** (step + 1))
        return unbias / (1 - BETA1 ** (step + 1)), EPSILON * unbias

    def move(grads: Tensors, numbers: Numbers, share: float | Tensor) -> None:
        now, (factor, epsilon) = paced(rates, share), numbers
        if decaying and decoupled:
            torch._foreach_mul_(
                params, [1 - rate * decay for rate, decay in zip(columns(now, params), decays, strict=True)]
            )
        elif decaying:
            grads = torch._foreach_addcmul(grads, params, decays)
        torch._foreach_lerp_(means, grads, 1 - BETA1)
        torch._foreach_mul_(squares, BETA2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - BETA2)
        # Numerator and denominator are both multiplied by √(1 − β₂ᵗ): one pass less over the parameters.
        scales = torch._foreach_sqrt(squares)
        torch._foreach_add_(scales, cast(Tensors, [epsilon] * len(scales)))
        moves = torch._foreach_mul(means, columns(paced(now, factor), params))
        torch._foreach_addcdiv_(params, moves, scales, -1.0)

    return Update(move, numbers, [*means, *squares])


def _any(values: list[Tensor]) -> bool:
    return bool(values) and bool(values[0].any())
