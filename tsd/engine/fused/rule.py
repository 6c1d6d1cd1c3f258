"""Which students the kernels can train, and how a stack of them is handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor

from tsd.engine.batches import Batches
from tsd.engine.fused.descent import KINDS, Samples, Students, descend
from tsd.engine.optim import Numbers
from tsd.engine.stack import Stack
from tsd.engine.step import Batch
from tsd.models._base import DenseModel, Layer, Model, Params
from tsd.studies._base import MeanSquare, Phase, Start

INPUTS, WEIGHTS, MANY_WEIGHTS, LONG = 256, 8_192, 65_536, 128
"""Inputs of a student at most, and its hidden weights, which may be more where a batch of 128 samples or more has the
use of them: beyond, batched products are faster on a processor (measured with 10 to 784 inputs, 1 to 500 units, batches
of 16 and 256)."""


def obstacle(start: Start, phase: Phase, settings: Any, device: torch.device) -> str:
    """Why students that begin like this one are not trained by a kernel; empty where they are.

    Args:
        settings: any of the trials: nothing is read of it in which two of them could differ.
    """
    if not isinstance(phase.loss, MeanSquare):
        return "its loss is not declared as a mean square"
    if settings.precision != "full":
        return f"precision is {settings.precision}"
    if device.type != "cpu" and find_spec("triton") is None:
        return "Triton is not installed"
    train = start.others[phase.data] if phase.data else start.train
    batch = min(settings.batch_size, len(train["x"]))
    return _of_model(start.model, start.params, batch) or _of_data(start, train, phase.loss.target)


def _of_model(model: Model, params: Params, batch: int) -> str:
    if not (isinstance(model, DenseModel) and _two_layers(model, params)):
        return "the student is no chain of one hidden layer and one output whose weights are its parameters"
    if model.activation not in KINDS:
        return f"there is no kernel for {model.activation}"
    inputs, units = model.layers(params)[0].weight.shape
    if inputs > INPUTS or inputs * units > (MANY_WEIGHTS if batch >= LONG else WEIGHTS):
        return f"its hidden layer of {inputs} × {units} weights is too large for batches of {batch}"
    return ""


def _of_data(start: Start, train: Params, target: str) -> str:
    if start.alter is not None:
        return "its batches are altered"
    if target not in train or train[target].ndim != 1:
        return f"the entry {target} of its data is not one label a sample"
    if {train["x"].dtype, train[target].dtype} != {torch.float32}:
        return "its data are not float32"
    return ""


def learning(
    stack: Stack, target: str, lr: Tensor, share: Callable[[int], float]
) -> tuple[Callable[[Batch, Numbers], Tensor], Callable[[int, int, Batches, Tensor], None]]:
    """`Learn.move` and `Learn.at_once` of a stack for which there is no obstacle.

    Args:
        target: the entry of a batch that holds the labels.
        lr: step size of each trial.
        share: update → what its step size is multiplied by.
    """

    def moved(samples: Samples, rates: Tensor) -> Tensor:
        model = cast(DenseModel, stack.model)
        layers = _side_by_side(model.layers(stack.params))
        losses = descend(_students(model.activation, layers), samples, rates)
        for name, tensor in model.pullback(stack.params, layers).items():
            stack.params[name].copy_(tensor)
        return losses

    def move(batch: Batch, numbers: Numbers) -> Tensor:
        now = numbers[0] if numbers else 1.0
        return moved(_batch(batch["x"], batch[target]), (lr * now).unsqueeze(1))[0]

    def several(low: int, high: int, batches: Batches, health: Tensor) -> None:
        shares = lr.new_tensor([share(step) for step in range(low, high)])
        losses = moved(_samples(batches, target, low, high), lr.unsqueeze(1) * shares)
        health.add_((losses * 0).sum(0))  # 0 · ∞ and 0 · NaN are NaN, and stay

    return move, several


def _two_layers(model: DenseModel, params: Params) -> bool:
    """Whether the student is one hidden layer and one output, perhaps with the activation once more and a sum behind,
    and a step along the gradient of its layers is one along that of its parameters: they are the same up to signs."""
    *trained, last = layers = model.layers(params)
    if last.trained:
        trained = layers
    elif last.weight.numel() != 1 or last.weight.item() != 1 or last.bias is not None:
        return False
    if len(trained) != 2 or trained[1].weight.shape[-1] != 1 or not all(layer.trained for layer in trained):
        return False
    doubled = model.layers({name: 2 * tensor for name, tensor in params.items()})
    linear = all(torch.equal(2 * a, b) for a, b in zip(_tensors(trained), _tensors(doubled), strict=False))
    back = model.pullback(params, layers)
    return linear and back.keys() == params.keys() and all(torch.equal(back[name], params[name]) for name in params)


def _tensors(layers: Sequence[Layer]) -> list[Tensor]:
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias) if tensor is not None]


def _side_by_side(layers: Sequence[Layer]) -> list[Layer]:
    """The layers of a stack, each with weights (out, in) that lie one behind another in memory."""
    return [
        Layer(layer.weight.mT.contiguous().mT, None if layer.bias is None else layer.bias.contiguous(), layer.trained)
        for layer in layers
    ]


def _students(activation: str, layers: Sequence[Layer]) -> Students:
    hidden, output = layers[:2]
    outer = activation if len(layers) > 2 else "identity"
    return Students(hidden.weight.mT, output.weight.squeeze(2), hidden.bias, output.bias, activation, outer)


def _batch(x: Tensor, y: Tensor) -> Samples:
    """One batch, (trial, sample, …) and (trial, sample); what all trials share is not copied."""
    size, begin = y.shape[1], torch.arange(len(y), device=x.device) * y.shape[1]
    first = torch.stack([begin if each.stride(0) else torch.zeros_like(begin) for each in (x, y)])
    x, y = (each.flatten(0, 1) if each.stride(0) else each[0] for each in (x, y))
    return Samples(x.flatten(1), y, first, begin.new_tensor([range(size)]), (size,))


def _samples(batches: Batches, target: str, low: int, high: int) -> Samples:
    """The batches of the updates low … high − 1."""
    entries, begin = {**batches.shared, **batches.own}, batches.first_rows[:, 0]
    first = torch.stack([begin if name in batches.own else torch.zeros_like(begin) for name in ("x", target)])
    rows, sizes, step = [], [], low
    while step < high:
        epoch, index = divmod(step, batches.per_epoch)
        count = min(high - step, batches.per_epoch - index)
        taken = batches.order(epoch)[:, index * batches.size : (index + count) * batches.size]
        rows.append(taken)
        sizes += [part.shape[1] for part in taken.split(batches.size, dim=1)]
        step += count
    x, y = entries["x"].flatten(1).contiguous(), entries[target].contiguous()
    return Samples(x, y, first, torch.cat(rows, 1), tuple(sizes))
