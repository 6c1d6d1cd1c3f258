"""Training: many students from their starts to their ends, in stacks that share every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, islice, pairwise
from math import ceil
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from tsd.engine.arithmetic import no_denormals, one_thread
from tsd.engine.batches import Batches
from tsd.engine.checkpoint import Checkpoint, Keep
from tsd.engine.learn import Learn, Objective, Penalties, folds, learner, ways
from tsd.engine.record import Recorder, Trace
from tsd.engine.replay import Slots, capturing, lane
from tsd.engine.rng import Streams
from tsd.engine.sizes import stack_size
from tsd.engine.stack import Stack, placed
from tsd.engine.state import State, remember
from tsd.engine.step import Loss, choose
from tsd.studies._base import Curve, Fitted, Phase, Start

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
    filled: bool = False,
) -> list[Fit]:
    """Train every start with the fields of its trial. On one CPU thread each result has the same bits in any company;
    on a GPU among as many slots.

    Args:
        starts, trials, seeds: of equal length; trials (`GradientStudy`) agree in their Static fields.
        loss: data term of one student on one batch, see `tsd.studies._base`; or the phases of the training.
        penalties: trial → c by parameter name: Σ c ‖parameter‖² is added to the loss.
        group_penalties: the same for groups: c Σ ‖row‖ over the rows of the parameter, its vectors along the last axis.
        trace: looked at `curve_points` times, the untrained student and the last step included.
        device: cpu, cuda, …
        keep: where long training is kept now and then, and goes on from; the bits are those of training in one go.
        filled: whether every stack on a GPU has all slots of its shape, so that a trial's bits do not depend on how
            many there are.
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
    with one_thread(), no_denormals(), torch.no_grad(), lane(place):
        capture = None if way == "loop" else capturing(place)
        batch = min(trials[0].batch_size, len(ready[0].train["x"]))
        size = stack_size(way, ready[0], batch, place)
        for group in _alike(objective, ready[0], trials, taken, replayed=capture is not None):
            slots = Slots(capture) if capture else None
            for part in _full_parts(group, size) if slots else _even_parts(group, size):
                # BLAS takes another kernel for a lone product than for many: a lone trial keeps itself company.
                least = 1 if way == "loop" or slots else 2
                if slots and (filled or len(group) > size):
                    least = size
                members = _company(part, group if slots else part, least)
                ended = _train(
                    [ready[i] for i in members],
                    [trials[i] for i in members],
                    [seeds[i] for i in members],
                    objective=objective,
                    trace=trace,
                    way=taken[part[0]],
                    checkpoint=checkpoint,
                    slots=slots,
                    asked=len(part),
                )
                fits |= zip(part, ended, strict=True)
    return [fits[i] for i in range(len(starts))]


def _alike(
    objective: Objective, start: Start, trials: Sequence[Any], taken: Sequence[str], *, replayed: bool
) -> list[list[int]]:
    """The trials of a pack by number, in groups of those that make their updates alike; where they are `replayed`, also
    the updates of one stack and the next."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, (trial, way) in enumerate(zip(trials, taken, strict=True)):
        kind: list[object] = [way, folds(objective, start.model, start.params, trial, way)]
        if replayed:
            kind += [trial.momentum > 0, trial.weight_decay > 0]
        groups.setdefault(tuple(kind), []).append(number)
    return list(groups.values())


def _full_parts(group: list[int], size: int) -> list[list[int]]:
    return [group[low : low + size] for low in range(0, len(group), size)]


def _even_parts(group: list[int], size: int) -> list[list[int]]:
    return [[group[i] for i in part] for part in even_parts(len(group), size)]


def _company(part: list[int], others: list[int], least: int) -> list[int]:
    """The members of a stack that has so many at least: where there are fewer, others fill it up, or they again."""
    return [*part, *islice(cycle(others), max(0, least - len(part)))]


def _train(
    starts: list[Start],
    trials: list[Any],
    seeds: list[Streams],
    *,
    objective: Objective,
    trace: Trace | None,
    way: str,
    checkpoint: Checkpoint,
    slots: Slots | None,
    asked: int,
) -> list[Fit]:
    """One stack, from its starts, or from where it was left, to its ends: those of the first `asked` of them."""
    settings = trials[0]
    stack = Stack.of(starts)
    data, batches = "", Batches.of(starts, seeds, settings.batch_size)
    total = updates(settings, batches.per_epoch)
    recorder = Recorder(trace, trials[:asked], [start.held for start in starts[:asked]], total)
    health = torch.zeros(len(trials), device=batches.device)
    if slots:
        stack, health = slots.seat(stack, health)
    phases = dict(zip(edges(objective.phases, total), objective.phases, strict=True))
    state, keeping = State(stack, health, recorder), checkpoint.place(trials, seeds, way)
    left = keeping.left()
    step, high = state.restore(left) if left else 0, 0
    most = 1 if checkpoint.keep else total
    learn: Learn
    while True:
        if _looked_at(step, total, recorder):
            alive = _finite(health, stack)
            recorder.record(step, stack.member, alive)
            if step == total or not any(alive):
                break
        if step >= high:
            low, high = next(span for span in phases if span[0] <= step < span[1])
            phase = phases[low, high]
            if phase.data != data:
                data = phase.data
                batches = Batches.of(starts, seeds, settings.batch_size, data)
            first = batches.at(step)
            learn = learner(objective, phase, (low, high), stack=stack, trials=trials, batch=first, way=way)
            if slots:
                learn = slots.learn((low, high), learn, batches)
            if left and low < step:
                remember(left, learn.memory)
        end = next(k for k in range(step + 1, high + 1) if k in (high, step + most) or _looked_at(k, total, recorder))
        began = monotonic()
        learn.several(step, end, batches, health)
        most = _paced(most, monotonic() - began)
        keeping.at(state, end, learn.memory)
        step = end
    if slots:  # their next occupants leave nothing of what sits there
        stack, health = stack.copied(), health.clone()
    keeping.ended(State(stack, health, recorder), step)
    return [Fit(stack.member(i), not alive[i], recorder.curves(i), way) for i in range(asked)]


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
