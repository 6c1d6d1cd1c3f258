"""How many networks make a stack: on a processor as many as its cache holds, on a GPU a number that their shape fixes.

Static fields and the kind of device decide, nothing that is measured: on a GPU a trial's bits depend on that number.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from tsd.models._base import DenseModel
from tsd.studies._base import Start

CPU_STACK, CPU_STACK_DENSE, CPU_STACK_BYTES = 16, 64, 5_000_000
"""Trials of a stack on a CPU, and of one of chains stepped by hand, at most; bytes of its parameters, and of the
signals of its batches, with more of which they leave the cache."""

SLOTS, SLOTS_DENSE, SLOTS_BYTES = 64, 512, 1_000_000_000
"""Trials of a stack on a GPU, and of one of chains stepped by hand, at most; bytes that its parameters, the
optimizer's memory, and the signals of its batches take, about."""


def stack_size(way: str, start: Start, batch: int, device: torch.device) -> int:
    """Networks like this one in a stack at most, which learn from `batch` samples a step."""
    if way == "loop":
        return 1
    held, chain = sum(tensor.nbytes for tensor in start.params.values()), way in ("dense", "fused")
    signals = _signals(start, batch) if chain or device.type != "cpu" else 0
    if device.type == "cpu":
        return max(2, min(CPU_STACK_DENSE if chain else CPU_STACK, CPU_STACK_BYTES // max(1, held, signals)))
    most = min(SLOTS_DENSE if chain else SLOTS, SLOTS_BYTES // max(1, 4 * held + 3 * signals))
    return 1 << max(0, most.bit_length() - 1)


def _signals(start: Start, batch: int) -> int:
    """Bytes of what one network makes of a batch and keeps for its slopes."""
    if isinstance(start.model, DenseModel):
        weights = [layer.weight for layer in cast(DenseModel, start.model).layers(start.params)]
        return batch * sum(weight.shape[-1] * weight.element_size() for weight in weights)
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    leaves = {name: tensor.detach().requires_grad_() for name, tensor in start.params.items()}
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        start.model.forward(leaves, start.buffers, start.train["x"][:batch], train=True)
    return sum(sizes)
