"""A stack that is trained, as it stands between two updates: what a checkpoint keeps of it.

That is its parameters, its buffers, the optimizer's memory, which losses were finite and what was recorded; batches,
schedules and draws follow from the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tsd.engine.record import Recorder
from tsd.engine.stack import Stack
from tsd.studies._base import Kept


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
