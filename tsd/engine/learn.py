"""One update of a stack: gradients of the loss and of the penalties, then a step of the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from tsd.engine.batches import Batches
from tsd.engine.fused.rule import learning, obstacle
from tsd.engine.optim import Numbers, columns, course, optimizer
from tsd.engine.stack import Stack, batched_values
from tsd.engine.step import Batch, descent, gradients_by, in_place, reached
from tsd.errors import UserError
from tsd.models._base import DenseModel, Model, Params
from tsd.studies._base import MeanSquare, Phase, Start

SMALLEST_NORM = 1e-30
"""A row shorter than this has no direction."""

Penalties = Callable[[Any], Mapping[str, float]]


@dataclass(frozen=True)
class Learn:
    """What makes the updates of a stack.

    Args:
        move: (batch, numbers of the update) → the loss of every trial; moves the parameters of the stack.
        numbers: update from 0 → what differs from one update to the next beside the batch.
        memory: what the optimizer carries from step to step.
        values: what differs between the trials (step sizes, coefficients): `move` reads it from these tensors.
        at_once: as `several`, where several updates can be made in one go; None makes one after another.
    """

    move: Callable[[Batch, Numbers], Tensor]
    numbers: Callable[[int], tuple[float, ...]] = lambda step: ()
    memory: Sequence[Tensor] = ()
    values: Sequence[Tensor] = ()
    at_once: Callable[[int, int, Batches, Tensor], None] | None = None

    def __call__(self, step: int, batch: Batch) -> Tensor:
        """Makes the update `step`. Returns the loss of every trial."""
        return self.move(batch, self.numbers(step))

    def several(self, low: int, high: int, batches: Batches, health: Tensor) -> None:
        """Makes the updates low … high − 1. Nobody looks in between, and nothing in here waits for a GPU.

        Args:
            health: shape (trial,); that of a trial whose loss is not finite becomes NaN and stays so.
        """
        if self.at_once:
            self.at_once(low, high, batches, health)
            return
        for step in range(low, high):
            health.add_(self(step, batches.at(step)), alpha=0)  # 0 · ∞ and 0 · NaN are NaN, and stay


@dataclass(frozen=True)
class Objective:
    """What is minimised; the functions of a study that `fit` takes."""

    phases: Sequence[Phase]
    penalties: Penalties | None = None
    group_penalties: Penalties | None = None


def plain(objective: Objective, trial: Any) -> bool:
    """Whether this trial's updates are p ← p − η g and nothing else."""
    penalties = (of(trial) for of in (objective.penalties, objective.group_penalties) if of)
    alone = trial.optimizer == "sgd" and not (trial.momentum or trial.weight_decay)
    free = not any(c for named in penalties for c in named.values())
    return alone and free and len(objective.phases) == 1 and not objective.phases[0].optimizer


def folds(objective: Objective, model: Model, params: Params, trial: Any, way: str) -> bool:
    """Whether a step of this trial can be folded into the product that sums the gradient. It is asked of each trial
    alone: folded and not, the last bit differs."""
    return way == "dense" and plain(objective, trial) and in_place(model, params)


def ways(objective: Objective, start: Start, trials: Sequence[Any], way: str, device: torch.device) -> list[str]:
    """The way of each trial, of which `way` was chosen for the pack: `fused` where a kernel can make its updates and
    that was asked for, or nothing was and the device is a processor.

    Raises:
        UserError: it was asked for, and cannot be.
    """
    if way != "fused" and (way, trials[0].way, device.type) != ("dense", "auto", "cpu"):
        return [way] * len(trials)
    hindered, found = obstacle(start, objective.phases[0], trials[0], device), []
    for trial in trials:
        more = "" if plain(objective, trial) else "its updates are more than a step of plain sgd against one gradient"
        if way == "fused" and (hindered or more):
            raise UserError(
                "`way: fused` trains two-layer students by plain sgd on a mean square, in one kernel; here "
                f"{hindered or more}. Leave `way` out, or write `way: dense`, `way: vmap` or `way: loop`."
            )
        found.append(way if hindered or more else "fused")
    return found


def learner(
    objective: Objective,
    phase: Phase,
    span: tuple[int, int],
    *,
    stack: Stack,
    trials: Sequence[Any],
    batch: Batch,
    way: str,
) -> Learn:
    """What makes one update of a phase that lasts from the first to the second number of `span`.

    Args:
        trials: of which `folds` says the same.
        batch: the first one of the phase.
        way: loop, vmap, dense or fused.
    """
    settings, (low, high) = trials[0], span
    values = batched_values(trials, batch["x"].device)
    if phase.lr:
        values["lr"] = torch.where(values[phase.lr] > 0, values[phase.lr], values["lr"])
    share, scheduled = course(settings), settings.schedule != "constant"

    def shares(step: int) -> tuple[float, ...]:
        return (share((step - low) / (high - low)),) if scheduled else ()

    if way == "fused":
        target = cast(MeanSquare, phase.loss).target
        made, several = learning(stack, target, values["lr"], lambda step: (*shares(step), 1.0)[0])
        return Learn(made, shares, (), list(values.values()), several)
    if folds(objective, stack.model, stack.params, settings, way):
        descend = descent(cast(DenseModel, stack.model), settings, values, phase.loss, stack.params)
        return Learn(lambda batch, numbers: descend(batch, *(numbers or (1.0,))), shares, (), list(values.values()))
    names = list(stack.params)
    if len(objective.phases) > 1:
        names = reached(stack, settings, values, phase.loss, batch)
    trained = {name: stack.params[name] for name in names}
    gradients = gradients_by(way, stack.model, settings, values, phase.loss, names)
    pull, coefficients = _pull(objective, trials, trained)
    rule = phase.optimizer or settings.optimizer
    update = optimizer(rule, list(trained.values()), values, nesterov=settings.nesterov)

    def move(batch: Batch, numbers: Numbers) -> Tensor:
        losses, grads, stack.buffers = gradients(stack.params, stack.buffers, batch)
        *own, now = numbers if scheduled else (*numbers, 1.0)
        update.move(pull(grads), own, now)
        return losses

    def numbers(step: int) -> tuple[float, ...]:
        return (*update.numbers(step - low), *shares(step))

    return Learn(move, numbers, update.memory, [*values.values(), *coefficients])


def _pull(
    objective: Objective, trials: Sequence[Any], params: Mapping[str, Tensor]
) -> tuple[Callable[[Mapping[str, Tensor]], list[Tensor]], list[Tensor]]:
    """What adds the gradients of the penalties, 2 c p of c ‖p‖² and c r/‖r‖ of c ‖r‖ (0 at r = 0), and puts the
    gradients in the order of `params`; and the tensors that it reads."""
    doubled = {name: 2 * c for name, c in _coefficients(objective.penalties, trials, params).items()}
    groups = _coefficients(objective.group_penalties, trials, params)

    def pull(grads: Mapping[str, Tensor]) -> list[Tensor]:
        pulled = dict(grads)
        for name, c in doubled.items():
            pulled[name] = pulled[name].addcmul(params[name], c)
        for name, c in groups.items():
            norms = params[name].square().sum(-1, keepdim=True).sqrt_().clamp_(min=SMALLEST_NORM)
            pulled[name] = pulled[name].addcmul(params[name] / norms, c)
        return [pulled[name] for name in params]

    return pull, [*doubled.values(), *groups.values()]


def _coefficients(
    penalties: Penalties | None, trials: Sequence[Any], params: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The coefficient of every trial by the name of its parameter, shaped to multiply that."""
    rows = [dict(penalties(trial)) if penalties else {} for trial in trials]
    return {
        name: columns(params[name].new_tensor([row[name] for row in rows]), [params[name]])[0]
        for name in rows[0]
        if name in params
    }
