"""Training: many students from their starts to their ends, in stacks that share every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil
from time import monotonic
from typing import Any, cast

import torch
from torch import Tensor

from tsd.engine.arithmetic import no_denormals, one_thread
from tsd.engine.batches import Batches
from tsd.engine.checkpoint import Checkpoint, Keep, State, remember
from tsd.engine.learn import Learn, Objective, Penalties, folds, learner, ways
from tsd.engine.record import Recorder, Trace
from tsd.engine.rng import Streams
from tsd.engine.stack import Stack, placed
from tsd.engine.step import Loss, choose
from tsd.models._base import DenseModel, Model, Params
from tsd.studies._base import Curve, Fitted, Phase, Start

CPU_STACK, CPU_STACK_DENSE, CPU_STACK_BYTES = 16, 64, 4_000_000
"""Trials of a stack on a CPU, and of one that is stepped the dense way, at most; bytes of its parameters, and of the
signals of its batches, with more of which they leave the cache."""

CHECK_EVERY = 100
"""Steps between two looks for diverged trials."""

ASK_S = 1.0
"""Seconds of updates, about, after which it is asked whether a state is to be kept."""


@dataclass(frozen=True)
class Fit:
    """How the training of one student ended.

    Args:
        fitted: the student; not to be trusted where it diverged.
        diverged: its loss or its parameters were no longer finite.
        curves: what `trace` saw, up to the divergence.
        way: loop, vmap, dense or fused.
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
    keep: Keep | None = None,
) -> list[Fit]:
    """Train every start with the fields of its trial. On one CPU thread each result has the same bits in any company.

    Args:
        starts, trials, seeds: of equal length; trials (`GradientStudy`) agree in their Static fields.
        loss: data term of one student on one batch, see `tsd.studies._base`; or the phases of the training.
        penalties: trial → c by parameter name: Σ c ‖parameter‖² is added to the loss.
        group_penalties: the same for groups: c Σ ‖row‖ over the rows of the parameter, its vectors along the last axis.
        trace: looked at `curve_points` times, the untrained student and the last step included.
        device: cpu, cuda, …
        keep: where long training is kept now and then, and goes on from; the bits are those of training in one go.
    Returns:
        One `Fit` a start, in the order given.
    Raises:
        UserError: the way that was asked for does not fit the model.
    """
    if not starts:
        return []
    phases = [Phase(1.0, loss)] if callable(loss) else loss
    place = torch.device(device)
    way = choose(trials[0].way, starts[0].model, place, trials[0].precision)
    ready = placed(starts, place, getattr(torch, trials[0].dtype))
    objective = Objective(phases, penalties, group_penalties)
    taken = ways(objective, ready[0], trials, way, place)
    fits: dict[int, Fit] = {}
    checkpoint = Checkpoint(keep)
    with one_thread(), no_denormals(), torch.no_grad():
        for part in _stacks(objective, ready, trials, taken, way, place):
            # BLAS takes another kernel for a lone product than for many: a lone trial keeps itself company.
            members = part if way == "loop" or len(part) > 1 else [*part, *part]
            ended = _train(
                [ready[i] for i in members],
                [trials[i] for i in members],
                [seeds[i] for i in members],
                objective=objective,
                trace=trace,
                way=taken[part[0]],
                checkpoint=checkpoint,
            )
            fits |= zip(part, ended, strict=False)
    return [fits[i] for i in range(len(starts))]


def _stacks(  # noqa: PLR0917
    objective: Objective,
    starts: Sequence[Start],
    trials: Sequence[Any],
    taken: Sequence[str],
    way: str,
    place: torch.device,
) -> list[list[int]]:
    """The trials of a pack by number, in stacks of those that make their updates alike."""
    model, params = starts[0].model, starts[0].params
    batch = min(trials[0].batch_size, len(starts[0].train["x"]))
    size = stack_size(way, model, params, batch, place) or len(starts)
    alike: dict[tuple[str, bool], list[int]] = {}
    for number, (trial, own) in enumerate(zip(trials, taken, strict=True)):
        alike.setdefault((own, folds(objective, model, params, trial, own)), []).append(number)
    return [[group[i] for i in part] for group in alike.values() for part in even_parts(len(group), size)]


def stack_size(way: str, model: Model, params: Params, batch: int, device: torch.device) -> int:
    """Networks of these parameters in a stack at most, which learn from `batch` samples a step; 0 where there is no
    bound."""
    if way == "loop":
        return 1
    if device.type != "cpu":
        return 0
    held, most = sum(tensor.nbytes for tensor in params.values()), CPU_STACK
    if way == "dense":
        weights = [layer.weight for layer in cast(DenseModel, model).layers(params)]
        signals = batch * sum(weight.shape[-1] * weight.element_size() for weight in weights)
        held, most = max(held, signals), CPU_STACK_DENSE
    return max(2, min(most, CPU_STACK_BYTES // max(1, held)))


def _train(
    starts: list[Start],
    trials: list[Any],
    seeds: list[Streams],
    *,
    objective: Objective,
    trace: Trace | None,
    way: str,
    checkpoint: Checkpoint,
) -> list[Fit]:
    """One stack, from its starts, or from where it was left, to its ends."""
    settings = trials[0]
    stack = Stack.of(starts)
    data, batches = "", Batches.of(starts, seeds, settings.batch_size)
    total = updates(settings, batches.per_epoch)
    recorder = Recorder(trace, trials, [start.held for start in starts], total)
    health = torch.zeros(len(trials), device=batches.device)
    phases = dict(zip(edges(objective.phases, total), objective.phases, strict=True))
    state, name = State(stack, health, recorder), checkpoint.name(trials, seeds, way)
    left = checkpoint.read(name)
    step, high = state.restore(left) if left else 0, 0
    most = 1 if checkpoint.keep else total
    learn: Learn
    while True:
        if _looked_at(step, total, recorder):
            alive = _finite(health, stack)
            recorder.record(step, stack.member, alive)
            if step == total or not any(alive):
                checkpoint.ended(name, state, step)
                break
        if step >= high:
            low, high = next(span for span in phases if span[0] <= step < span[1])
            phase = phases[low, high]
            if phase.data != data:
                data = phase.data
                batches = Batches.of(starts, seeds, settings.batch_size, data)
            first = batches.at(step)
            learn = learner(objective, phase, (low, high), stack=stack, trials=trials, batch=first, way=way)
            if left and low < step:
                remember(left, learn.memory)
        end = next(k for k in range(step + 1, high + 1) if k in (high, step + most) or _looked_at(k, total, recorder))
        began = monotonic()
        learn.several(step, end, batches, health)
        most = _paced(most, monotonic() - began)
        checkpoint.at(name, state, end, learn.memory)
        step = end
    return [Fit(stack.member(i), not alive[i], recorder.curves(i), way) for i in range(len(trials))]


def _looked_at(step: int, total: int, recorder: Recorder) -> bool:
    """Whether the students are looked at after `step` updates."""
    return step % CHECK_EVERY == 0 or step == total or recorder.due(step)


def _paced(most: int, seconds: float) -> int:
    """Updates at a time, at most, after so many took so long."""
    return 2 * most if seconds < ASK_S / 2 else max(1, most // 2) if seconds > ASK_S else most


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


def even_parts(count: int, size: int) -> list[list[int]]:
    """0 … count − 1 in as few runs of at most `size` as possible, of lengths that differ by one at most."""
    number = ceil(count / size)
    edges = [count * k // number for k in range(number + 1)]
    return [list(range(low, high)) for low, high in pairwise(edges)]
