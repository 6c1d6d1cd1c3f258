"""Long work kept now and then, so that another worker goes on where one was lost.

A pack is worked stack by stack. Of the stack that is under way all is kept that its steps move; what it was made from
(data, a teacher, couplings) is made again. Of stacks that have ended the last state is kept where they are trained, the
outcomes where they are simulated. A run that was resumed has the bits of one that was not.

What a stack that is trained is at a step is its parameters, its buffers, the optimizer's memory, which losses were
finite and what was recorded; batches, schedules and draws follow from the step. What a simulation is, it says itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tsd.engine.record import Recorder
from tsd.engine.rng import Streams
from tsd.engine.stack import Stack
from tsd.studies._base import Curve, Kept, Measured, Outcome

OUTCOMES = "outcomes"
"""The name under which the trials of simulations that have ended are kept."""


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

    def kept(self, step: int, memory: Sequence[Tensor] = ()) -> Kept:
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


class Resumable(Protocol):
    """Work that can say, at any moment between two steps, all that its next steps depend on."""

    @property
    def kept(self) -> Callable[..., Kept]:
        """A method that gives it as arrays and facts."""
        ...


@dataclass
class Checkpoint:
    """Keeps the states of stacks that are worked one after another. One that has ended is written with the next that
    has not, so that a pack that is soon over writes nothing.

    Args:
        keep: where; None keeps nothing.
    """

    keep: Keep | None
    _ended: dict[str, Callable[[], Kept]] = field(default_factory=dict)
    _outcomes: Outcomes | None = None

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

    def at(self, name: str, state: Resumable, *where: Any) -> None:
        """The stack `name` stands between two steps; where it is time, `state.kept(*where)` is kept."""
        if self.keep and self.keep.due():
            waiting = {each: taken() for each, taken in self._ended.items()}
            self._ended.clear()
            self.keep.write(waiting | {name: state.kept(*where)})

    def ended(self, name: str, state: Resumable, *where: Any) -> None:
        """The stack `name` takes no further step."""
        if self.keep:
            self._ended[name] = partial(state.kept, *where)

    def together(
        self, trials: Sequence[Any], seeds: Sequence[Streams], simulate: Callable[[Place], Sequence[Outcome]]
    ) -> list[Outcome]:
        """How the trials of one stack of a simulation end.

        Args:
            simulate: computes it, from where the stack was left; not asked where all of them have ended before.
        """
        if not self.keep:
            return list(simulate(Place(self, "")))
        if not self._outcomes:
            self._outcomes = Outcomes.of(self.read(OUTCOMES))
        known = self._outcomes
        names = [self.name([trial], [streams], "") for trial, streams in zip(trials, seeds, strict=True)]
        if not known.by_name.keys() >= set(names):
            place = Place(self, self.name(trials, seeds, ""))
            known.by_name.update(zip(names, simulate(place), strict=True))
            self._ended = {name: kept for name, kept in self._ended.items() if not name.startswith(place.name)}
            self.ended(OUTCOMES, known)
        return [known.by_name[name] for name in names]

    def one_by_one(
        self, trials: Sequence[Any], seeds: Sequence[Streams], simulate: Callable[[Any, Streams, Place], Outcome]
    ) -> list[Outcome]:
        """The same of trials that are stacks of their own: `simulate` gets one, its streams and its place."""

        def ended(trial: Any, streams: Streams) -> Outcome:
            return self.together([trial], [streams], lambda place: [simulate(trial, streams, place)])[0]

        return [ended(*each) for each in zip(trials, seeds, strict=True)]


@dataclass(frozen=True)
class Place:
    """Where one stack of a simulation, or a part of its work, is kept while it is under way."""

    checkpoint: Checkpoint
    name: str

    def left(self) -> Kept | None:
        """The state in which it was left; None where it is to begin."""
        return self.checkpoint.read(self.name)

    def at(self, state: Resumable) -> None:
        """It stands between two steps; where it is time, its state is kept. Not to be asked every microsecond."""
        self.checkpoint.at(self.name, state)

    def ended(self, state: Resumable) -> None:
        """It takes no further step, but another part of its stack does."""
        self.checkpoint.ended(self.name, state)

    def part(self, what: object) -> Place:
        """Where one part of its work is kept: a student of several, a stretch of the way."""
        return Place(self.checkpoint, f"{self.name}-{what}")


@dataclass
class Outcomes:
    """How trials ended, by the names of those trials."""

    by_name: dict[str, Outcome]

    def kept(self) -> Kept:
        """As JSON, which gives every float its bits back."""
        told = {name: asdict(outcome) for name, outcome in self.by_name.items()}
        text = json.dumps(told, default=lambda values: np.asarray(values).tolist())
        return {"json": np.frombuffer(text.encode(), np.uint8)}, {}

    @classmethod
    def of(cls, kept: Kept | None) -> Outcomes:
        """Those that were kept."""
        told = json.loads(kept[0]["json"].tobytes()) if kept else {}
        return cls({name: _outcome(**outcome) for name, outcome in told.items()})


def _outcome(measured: Mapping[str, Any], **told: Any) -> Outcome:
    curves = [Curve(**curve) for curve in measured["curves"]]
    return Outcome(measured=Measured(measured["metrics"], curves), **told)
