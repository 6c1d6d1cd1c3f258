"""Many trials as one: every tensor gets a leading axis, the trials of the stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tsd.fields import Role
from tsd.models._base import Model
from tsd.studies._base import Fitted, Start


@dataclass
class Stack:
    """Networks of one architecture side by side.

    Args:
        model: the architecture.
        params, buffers: by name, each of shape (trial, …).
    """

    model: Model
    params: dict[str, Tensor]
    buffers: dict[str, Tensor]

    @classmethod
    def of(cls, starts: Sequence[Start]) -> Stack:
        """The starts, copied and side by side in the order given."""
        return cls(
            starts[0].model,
            side_by_side([start.params for start in starts]),
            side_by_side([start.buffers for start in starts]),
        )

    def member(self, index: int) -> Fitted:
        """One network alone, as it is now; it moves when the stack is trained on."""
        return Fitted(
            self.model,
            {name: tensor[index] for name, tensor in self.params.items()},
            {name: tensor[index] for name, tensor in self.buffers.items()},
        )

    def copied(self) -> Stack:
        """The networks as they are now, in tensors of their own."""
        return Stack(self.model, *({n: t.clone() for n, t in each.items()} for each in (self.params, self.buffers)))


def side_by_side(dicts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Equal keys, one copied tensor (trial, …) for each. A single trial keeps its memory layout."""
    if len(dicts) == 1:
        return {name: tensor.detach().clone().unsqueeze(0) for name, tensor in dicts[0].items()}
    return {name: torch.stack([each[name].detach() for each in dicts]) for name in dicts[0]}


def batched_values(trials: Sequence[Any], device: torch.device) -> dict[str, Tensor]:
    """The Batched fields of the trials and of their parts, each as a tensor (trial,)."""
    dtype = getattr(torch, trials[0].dtype)
    rows = [trial.values(Role.BATCHED) for trial in trials]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        name: torch.tensor(column, dtype=dtype if isinstance(column[0], float) else None, device=device)
        for name, column in columns.items()
    }


def trial_maker(trial: Any) -> Callable[[Mapping[str, Tensor]], Any]:
    """Batched values as tensors → a trial like `trial` that holds them."""
    plain = trial.values()
    return lambda values: type(trial).of(plain | dict(values))


def placed(starts: Sequence[Start], device: torch.device, dtype: torch.dtype) -> list[Start]:
    """The starts on `device`, what is trained and what it is trained on in `dtype`; `held` keeps its own precision.
    What is one piece of memory becomes one object, however many starts hold it."""
    moved: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def move(value: Any, cast: bool) -> Any:
        if isinstance(value, Mapping):
            return {name: move(entry, cast) for name, entry in value.items()}
        if not isinstance(value, Tensor):
            return value
        kind = dtype if cast and value.is_floating_point() else value.dtype
        key = value.data_ptr(), value.shape, value.stride(), value.dtype, kind
        if key not in moved:
            # The original is kept beside its copy: while it lives, its memory is not given to another tensor.
            moved[key] = value, value.to(device, kind)
        return moved[key][1]

    return [
        replace(
            start,
            params=move(start.params, True),
            buffers=move(start.buffers, True),
            train=move(start.train, True),
            whole=move(start.whole, True),
            others=move(start.others, True),
            held=move(start.held, False),
        )
        for start in starts
    ]
