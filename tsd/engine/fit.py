"""Training: many students from their starts to their ends, in stacks that share every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil
from typing import Any

import torch
from torch import Tensor

from tsd.engine.arithmetic import no_denormals, one_thread
from tsd.engine.batches import Batches
from tsd.engine.optim import SCHEDULES, columns, optimizer
from tsd.engine.record import Recorder, Trace
from tsd.engine.rng import Streams
from tsd.engine.stack import Stack, batched_values, placed
from tsd.engine.step import Batch, Loss, choose, gradients_by, reached
from tsd.studies._base import Curve, Fitted, Phase, Start

CPU_STACK = 16
"""Trials of a stack on a CPU: with more, the activations leave the cache."""

CHECK_EVERY = 100
"""Steps between two looks for diverged trials."""

SMALLEST_NORM = 1e-30
"""A row shorter than this has no direction."""

Penalties = Callable[[Any], Mapping[str, float]]
Learn = Callable[[int, Batch], Tensor]
"""(update from 0, its batch) → the loss of every trial; moves the parameters of the stack."""


@dataclass(frozen=True)
class _Task:
    """What is minimised and what is watched; the functions of a study that `fit` takes."""

    phases: Sequence[Phase]
    penalties: Penalties | None
    group_penalties: Penalties | None
    trace: Trace | None


@dataclass(frozen=True)
class Fit:
    """How the training of one student ended.

    Args:
        fitted: the student; not to be trusted where it diverged.
        diverged: its loss or its parameters were no longer finite.
        curves: what `trace` saw, up to the divergence.
        way: loop, vmap or dense.
    """

    fitted: Fitted
    diverged: bool
    curves: list[Curve]
    way: str


def fit(
    starts: Sequence[Start],
    trials: Sequence[Any],
    seeds: Sequence[Streams],
    loss: Loss | Sequence[Phase],
    *,
    penalties: Penalties | None = None,
    group_penalties: Penalties | None = None,
    trace: Trace | None = None,
    device: str = "cpu",
    reads_features: bool = False,
) -> list[Fit]:
    """Train every start with the fields of its trial. On one CPU thread each result has the same bits in any company.

    Args:
        starts, trials, seeds: of equal length; trials (`GradientStudy`) agree in their Static fields.
        loss: data term of one student on one batch, see `tsd.studies._base`; or the phases of the training.
        penalties: trial → c by parameter name: Σ c ‖parameter‖² is added to the loss.
        group_penalties: the same for groups: c Σ ‖row‖ over the rows of the parameter, its vectors along the last axis.
        trace: looked at `curve_points` times, the untrained student and the last step included.
        device: cpu, cuda, …
        reads_features: whether `loss` reads hidden features, which the dense way does not show.
    Returns:
        One `Fit` a start, in the order given.
    Raises:
        UserError: the way that was asked for does not fit the model.
    """
    if not starts:
        return []
    phases = [Phase(1.0, loss)] if callable(loss) else loss
    place = torch.device(device)
    way = choose(trials[0].way, starts[0].model, reads_features, place)
    ready = placed(starts, place, getattr(torch, trials[0].dtype))
    size = 1 if way == "loop" else CPU_STACK if place.type == "cpu" else len(starts)
    fits: list[Fit] = []
    with one_thread(), no_denormals(), torch.no_grad():
        for part in even_parts(len(starts), size):
            # BLAS takes another kernel for a lone product than for many: a lone trial keeps itself company.
            members = part if way == "loop" or len(part) > 1 else [*part, *part]
            fits += _train(
                [ready[i] for i in members],
                [trials[i] for i in members],
                [seeds[i] for i in members],
                _Task(phases, penalties, group_penalties, trace),
                way,
            )[: len(part)]
    return fits


def _train(starts: list[Start], trials: list[Any], seeds: list[Streams], task: _Task, way: str) -> list[Fit]:
    """One stack, from its starts to its ends."""
    settings = trials[0]
    stack = Stack.of(starts)
    batches = Batches.of(starts, seeds, settings.batch_size)
    total = updates(settings, batches.per_epoch)
    recorder = Recorder(task.trace, trials, [start.held for start in starts], total)
    health = torch.zeros(len(trials), device=batches.device)
    phases = dict(zip(edges(task.phases, total), task.phases, strict=True))
    learn: Learn
    for step in range(total + 1):
        if step % CHECK_EVERY == 0 or step == total or recorder.due(step):
            alive = _finite(health, stack)
            recorder.record(step, stack.member, alive)
            if step == total or not any(alive):
                break
        batch = batches.at(step)
        span = next(((low, high) for low, high in phases if low == step), None)
        if span:
            learn = _learner(task, phases[span], span, stack, trials, batch, way)
        health.add_(learn(step, batch), alpha=0)  # 0 · ∞ and 0 · NaN are NaN, and stay
    return [Fit(stack.member(i), not alive[i], recorder.curves(i), way) for i in range(len(trials))]


def _learner(  # noqa: PLR0917
    task: _Task, phase: Phase, span: tuple[int, int], stack: Stack, trials: list[Any], batch: Batch, way: str
) -> Learn:
    """What makes one update of a phase that lasts from the first to the second number of `span`."""
    settings, (low, high) = trials[0], span
    values = batched_values(trials, batch["x"].device)
    names = list(stack.params)
    if len(task.phases) > 1:
        names = reached(stack, settings, values, phase.loss, batch)
    trained = {name: stack.params[name] for name in names}
    gradients = gradients_by(way, stack.model, settings, values, phase.loss, names)
    pull = _pull(task, trials, trained)
    update = optimizer(settings.optimizer, list(trained.values()), values)
    share = SCHEDULES[settings.schedule]

    def learn(step: int, batch: Batch) -> Tensor:
        losses, grads, stack.buffers = gradients(stack.params, stack.buffers, batch)
        update(pull(grads), step - low, share((step - low) / (high - low)))
        return losses

    return learn


def updates(settings: Any, per_epoch: int) -> int:
    """How many updates a trial makes of data that take `per_epoch` of them once through."""
    return int(settings.steps or settings.epochs * per_epoch)


def edges(phases: Sequence[Phase], total: int) -> list[tuple[int, int]]:
    """Where each phase begins and ends, in updates; the last one ends with the run."""
    ends = [round(total * share) for share in accumulate(phase.share for phase in phases)]
    return list(pairwise([0, *ends[:-1], total]))


def _finite(health: Tensor, stack: Stack) -> list[bool]:
    """Which trials have had finite losses only and have finite parameters."""
    finite = health.isfinite()
    for param in stack.params.values():
        finite = finite & param.flatten(1).isfinite().all(1)
    return finite.tolist()


def _pull(
    task: _Task, trials: Sequence[Any], params: Mapping[str, Tensor]
) -> Callable[[Mapping[str, Tensor]], list[Tensor]]:
    """Adds the gradients of the penalties, 2 c p of c ‖p‖² and c r/‖r‖ of c ‖r‖ (0 at r = 0), and puts the gradients in
    the order of `params`."""
    doubled = {name: 2 * c for name, c in _coefficients(task.penalties, trials, params).items()}
    groups = _coefficients(task.group_penalties, trials, params)

    def pull(grads: Mapping[str, Tensor]) -> list[Tensor]:
        pulled = dict(grads)
        for name, c in doubled.items():
            pulled[name] = torch.addcmul(pulled[name], params[name], c)
        for name, c in groups.items():
            norms = params[name].square().sum(-1, keepdim=True).sqrt_().clamp_(min=SMALLEST_NORM)
            pulled[name] = torch.addcmul(pulled[name], params[name] / norms, c)
        return [pulled[name] for name in params]

    return pull


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


def even_parts(count: int, size: int) -> list[list[int]]:
    """0 … count − 1 in as few runs of at most `size` as possible, of lengths that differ by one at most."""
    number = ceil(count / size)
    edges = [count * k // number for k in range(number + 1)]
    return [list(range(low, high)) for low, high in pairwise(edges)]
