"""Long training kept now and then, so that another worker goes on where one was lost.

What a stack is at a step is its parameters, its buffers, the optimizer's memory, which losses were finite and what was
recorded. All else (batches, schedules, draws) follows from the step, so that a run that was resumed has the bits of one
that was not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from tsd.engine.record import Recorder
from tsd.engine.rng import Streams
from tsd.engine.stack import Stack
from tsd.studies._base import Kept


class Keep(Protocol):
    """Where states are kept, each under a name, and how often."""

    def due(self) -> bool:
        """Whether it is time to keep the state."""
        ...

    def read(self, name: str) -> Kept | None:
        """What was kept last under this name; None where there is nothing."""
        ...

    def write(self, states: Mapping[str, Kept]) -> None:
        """Keep these, in the place of what was kept under their names."""
        ...


@dataclass(frozen=True)
class State:
    """All that a stack's steps move."""

    stack: Stack
    health: Tensor
    recorder: Recorder

    def kept(self, step: int, memory: Sequence[Tensor]) -> Kept:
        """The state before update `step`; `memory` is the optimizer's."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in self._tensors(memory).items()}
        return arrays, {"step": step, "recorded": json.dumps(self.recorder.seen)}

    def restore(self, kept: Kept) -> int:
        """Take a state on, all but the optimizer's memory. Returns its step."""
        arrays, facts = kept
        for name, tensor in self._tensors(()).items():
            tensor.copy_(torch.from_numpy(arrays[name]))
        self.recorder.seen = [{int(step): values for step, values in each.items()} for each in _seen(facts)]
        return int(facts["step"])

    def _tensors(self, memory: Sequence[Tensor]) -> dict[str, Tensor]:
        named = {f"parameter {name}": tensor for name, tensor in self.stack.params.items()}
        named |= {f"buffer {name}": tensor for name, tensor in self.stack.buffers.items()}
        return named | {"health": self.health} | {f"memory {i}": tensor for i, tensor in enumerate(memory)}


def remember(kept: Kept, memory: Sequence[Tensor]) -> None:
    """Give the optimizer's memory back."""
    for number, tensor in enumerate(memory):
        tensor.copy_(torch.from_numpy(kept[0][f"memory {number}"]))


def _seen(facts: Mapping[str, Any]) -> list[dict[str, dict[str, float]]]:
    return json.loads(facts["recorded"])


@dataclass
class Checkpoint:
    """Keeps the states of stacks that are trained one after another. One that has ended is written with the next that
    has not, so that a pack that is soon over writes nothing.

    Args:
        keep: where; None keeps nothing.
    """

    keep: Keep | None
    _ended: dict[str, Callable[[], Kept]] = field(default_factory=dict)

    def name(self, trials: Sequence[Any], seeds: Sequence[Streams], way: str) -> str:
        """A name for a stack: a hash of its trials in their order and of the way they are stepped."""
        if not self.keep:
            return ""
        members = [[trial.values(), dict(streams.seeds)] for trial, streams in zip(trials, seeds, strict=True)]
        text = json.dumps([way, members], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def read(self, name: str) -> Kept | None:
        """The state in which the stack `name` was left."""
        return self.keep.read(name) if self.keep else None

    def at(self, name: str, state: State, step: int, memory: Sequence[Tensor]) -> None:
        """The stack `name` stands before update `step`; where it is time, its state is kept."""
        if self.keep and self.keep.due():
            waiting = {each: taken() for each, taken in self._ended.items()}
            self._ended.clear()
            self.keep.write(waiting | {name: state.kept(step, memory)})

    def ended(self, name: str, state: State, step: int) -> None:
        """The stack `name` makes no further update."""
        if self.keep:
            self._ended[name] = partial(state.kept, step, ())
