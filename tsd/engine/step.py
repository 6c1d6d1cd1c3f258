"""Three ways to the gradients of a stack. They agree with each other to rounding; a fixed rule picks one.

loop   one network after another with autograd, the plain single-model path
vmap   any model: the single-model loss, mapped over the trials by torch.func
dense  chains of affine layers: gradients written by hand, autograd for the loss alone and what is trained beside them

On one CPU thread a trial's bits do not depend on its neighbours, whichever way. For vmap and dense this asks of the
loss that its operations round alike wherever a number stands in memory. In torch 2.13 sigmoid, silu, softplus, gelu,
fractional powers, var and std do not: their vector code and the remainder loop differ in the last bit. log_softmax,
softmax, logsumexp, logsigmoid, log, exp, tanh, erf do, sums and means within a trial too; batch norm of vectors is
written out in such (`tsd.engine.reworded`). The conformance tests tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from tsd.engine import dense
from tsd.engine.optim import columns, paced
from tsd.engine.passes import alone, passing_of
from tsd.engine.recorded import recorded
from tsd.engine.stack import Stack, trial_maker
from tsd.errors import UserError
from tsd.models._base import Accompanied, Chained, DenseModel, Features, Model, Params, View
from tsd.models._chain import ACTIVATIONS

Batch = Mapping[str, Tensor]
Loss = Callable[[View, Batch, Any], Tensor]
TrialOf = Callable[[Params], Any]
Moved = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]
Gradients = Callable[[Params, Params, Batch], Moved]
"""(parameters, buffers, batch), each with a trial axis → (loss of every trial, gradients, buffers after the pass)."""
Descent = Callable[[Batch, float | Tensor], Tensor]
"""(batch, schedule's share of the learning rate) → loss of every trial; moves the parameters it was made for."""

SMALL_CHAIN = 65_536
"""Weights of a chain of affine layers up to which mapping a loss that asks it again beats one network after another on
a CPU: 14 times with 700, twice with 55,000, and with 270,000 no more than 1.2 times (docs/performance.md)."""


def choose(way: str, model: Model, device: torch.device, precision: str = "full") -> str:
    """The way that is taken where `way` was asked for. The rule reads static fields and the kind of device alone, never
    a clock, so that a row's numbers do not depend on the machine's mood.

    Raises:
        UserError: dense was asked for where gradients cannot be written by hand.
    """
    by_hand = isinstance(model, DenseModel) and precision == "full"
    if way == "dense" and not by_hand:
        reason = f"{type(model).__name__} is none, or is asked again inside the loss"
        reason = f"precision is {precision}, and products by hand are full ones" if precision != "full" else reason
        raise UserError(
            "`way: dense` writes gradients by hand, which is possible for chains of affine layers that the loss "
            f"only looks at; here {reason}. Leave `way` out, or write `way: vmap` or `way: loop`."
        )
    if way != "auto":
        return way
    if by_hand:
        return "dense"
    mapped = isinstance(model, Chained) and 0 < model.chain_weights <= SMALL_CHAIN and precision == "full"
    return "loop" if device.type == "cpu" and not mapped else "vmap"


def gradients_by(  # noqa: PLR0917
    way: str, model: Model, trial: Any, values: Params, loss: Loss, names: Sequence[str]
) -> Gradients:
    """Gradients of the summed loss of a stack, the way `way`.

    Args:
        way: loop (a stack of one), vmap or dense.
        model: the architecture of all trials.
        trial: any trial of the stack, for the Static fields, in which all agree.
        values: the Batched fields of all, each of shape (trial,); `loss` finds its own in its trial.
        loss: the loss of one network on one batch.
        names: the parameters whose gradients are asked for.
    """
    trial_of = trial_maker(trial)
    if way == "dense" and isinstance(model, DenseModel):
        return _dense(model, trial_of, values, loss, names)
    return (_loop if way == "loop" else _vmap)(model, trial_of, values, loss, names)


def passed(model: Model, params: Params, buffers: Params, x: Tensor, precision: str) -> View:
    """One pass in training. With `bf16`, products and convolutions are bfloat16 where autocast has them so; what
    the loss sees has the inputs' precision again, for softmax, norms and Gram matrices want it."""
    if precision == "full":
        return model.forward(params, buffers, x, train=True)
    with torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False):
        view = model.forward(params, buffers, x, train=True)
    features = Features({name: value.to(x.dtype) for name, value in view.features.items()})
    state = {name: value.to(buffers[name].dtype) for name, value in view.buffers.items()}
    return replace(view, output=view.output.to(x.dtype), features=features, buffers=state)


def reached(stack: Stack, trial: Any, values: Params, loss: Loss, batch: Batch) -> list[str]:
    """The parameters that `loss` depends on, found on the first trial's batch."""
    first = stack.member(0)
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in first.params.items()}
    sample = {name: tensor[0] for name, tensor in batch.items()}
    owner = trial_maker(trial)({name: value[0] for name, value in values.items()})
    with torch.enable_grad():
        value = loss(stack.model.forward(leaves, first.buffers, sample["x"], train=True), sample, owner)
    slopes = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return [name for name, slope in zip(leaves, slopes, strict=True) if slope is not None]


def _loop(model: Model, trial_of: TrialOf, values: Params, loss: Loss, names: Sequence[str]) -> Gradients:
    owner = trial_of(alone(values))
    leaves: dict[str, Tensor] = {}
    held: dict[str, Tensor] = {}

    def gradients(params: Params, buffers: Params, batch: Batch) -> Moved:
        for name in names:
            if held.get(name) is not params[name]:  # the parameters move in place, so their leaves can stay
                held[name], leaves[name] = params[name], params[name][0].detach().requires_grad_()
        sample, rest = alone(batch), {name: tensor for name, tensor in params.items() if name not in leaves}
        with torch.enable_grad():
            view = passed(model, alone(rest) | leaves, alone(buffers), sample["x"], owner.precision)
            value = loss(view, sample, owner)
        slopes = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
        grads = {name: slope.unsqueeze(0) for name, slope in zip(leaves, slopes, strict=True)}
        return value.detach().unsqueeze(0), grads, {k: b.detach().unsqueeze(0) for k, b in view.buffers.items()}

    return gradients


def _vmap(model: Model, trial_of: TrialOf, values: Params, loss: Loss, names: Sequence[str]) -> Gradients:
    def one(trained: Params, rest: Params, buffers: Params, batch: Batch, value: Params) -> tuple[Tensor, Params]:
        trial = trial_of(value)
        view = passed(model, {**rest, **trained}, buffers, batch["x"], trial.precision)
        return loss(view, batch, trial), view.buffers

    many = recorded(vmap(grad_and_value(one, has_aux=True)))

    def gradients(params: Params, buffers: Params, batch: Batch) -> Moved:
        trained = {name: params[name] for name in names}
        rest = {name: tensor for name, tensor in params.items() if name not in trained}
        grads, (losses, moved) = many(batch["x"].shape[1], trained, rest, buffers, batch, values)
        return losses, grads, moved

    return gradients


def _dense(model: DenseModel, trial_of: TrialOf, values: Params, loss: Loss, names: Sequence[str]) -> Gradients:
    passing, activation = passing_of(model, trial_of, values, loss), ACTIVATIONS[model.activation]

    def gradients(params: Params, buffers: Params, batch: Batch) -> Moved:
        x, layers = batch["x"].flatten(2), model.layers(params)
        seen = passing(layers, x, params, buffers, batch)
        by_hand = dense.backward(layers, activation, x, seen.signals, seen.slopes)
        found = seen.own | model.pullback(params, by_hand)
        grads = {name: found[name] if name in found else torch.zeros_like(params[name]) for name in names}
        return seen.losses, grads, seen.buffers

    return gradients


def descent(model: DenseModel, trial: Any, values: Params, loss: Loss, params: Params) -> Descent:
    """Plain stochastic gradient descent of a stack whose layers are `in_place`, the dense way: a gradient is subtracted
    while it is summed. Arguments as of `gradients_by`, and the parameters that move."""
    passing, activation = passing_of(model, trial_maker(trial), values, loss), ACTIVATIONS[model.activation]
    layers = model.layers(params)

    def descend(batch: Batch, share: float | Tensor) -> Tensor:
        x, rates = batch["x"].flatten(2), paced(values["lr"], share)
        seen = passing(layers, x, params, {}, batch)
        steps = {name: slope * columns(rates, [slope])[0] for name, slope in seen.slopes.items()}
        dense.descend(layers, activation, x, seen.signals, steps)
        for name, slope in seen.own.items():
            params[name].addcmul_(slope, columns(rates, [slope])[0], value=-1)
        return seen.losses

    return descend


def in_place(model: Model, params: Params) -> bool:
    """Whether the layers of the model are its parameters themselves, all of them trained, so that they move when their
    layers are written to; and not products, negatives or parts of them. Beside them it may have others, and no memory.
    """
    if not isinstance(model, DenseModel) or (isinstance(model, Accompanied) and model.remembers):
        return False
    layers = model.layers(params)
    held = [tensor for layer in layers for tensor in (layer.weight, layer.bias) if tensor is not None]
    found, places = (
        sorted((tensor.data_ptr(), tensor.numel()) for tensor in tensors) for tensors in (held, params.values())
    )
    whole = set(found) <= set(places) if isinstance(model, Accompanied) else found == places
    return whole and len(set(found)) == len(found) and all(layer.trained for layer in layers)
