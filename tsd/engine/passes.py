"""One pass of the chains of a stack by hand, and what its losses say of it by autograd."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.func import grad_and_value, vmap

from tsd.engine import dense
from tsd.engine.recorded import recorded, values_read
from tsd.models._base import Accompanied, DenseModel, Features, Layer, Params, View
from tsd.models._chain import ACTIVATIONS

Batch = Mapping[str, Tensor]


class Pass(NamedTuple):
    """What the losses of a stack say of one pass of its chains.

    Args:
        signals: of the hidden layers.
        slopes: of the losses with respect to what they read of the chain, by point.
        own: of the losses with respect to the parameters that they read themselves.
        buffers: after the pass.
    """

    losses: Tensor
    signals: dense.Signals
    slopes: dict[str, Tensor]
    own: dict[str, Tensor]
    buffers: dict[str, Tensor]


Passing = Callable[[Sequence[Layer], Tensor, Params, Params, Batch], Pass]
"""(layers, inputs (trial, sample, feature), parameters, buffers, batch) → one pass."""


def passing_of(
    model: DenseModel, trial_of: Callable[[Params], Any], values: Params, loss: Callable[[View, Batch, Any], Tensor]
) -> Passing:
    """Passes of the chains by hand, and by autograd slopes of the losses alone: with respect to those points of the
    chain and those parameters that they read themselves, which is found on the first trial's first batch."""
    activation, around = ACTIVATIONS[model.activation], model.around if isinstance(model, Accompanied) else None

    def one(  # noqa: PLR0917
        read: Params, trained: Params, shown: Params, beside: Params, buffers: Params, batch: Batch, value: Params
    ) -> tuple[Tensor, Params]:
        features = Features({**shown, **read})
        view = View(features.pop(dense.OUTPUT), features, buffers)
        if around:
            view = around(view, {**beside, **trained}, buffers)
        return loss(view, batch, trial_of(value)), view.buffers

    def all_read(params: Params, buffers: Params, batch: Batch) -> tuple[list[str], list[str]]:
        own, state, sample, value = (alone(group) for group in (params, buffers, batch, values))
        view = model.forward(own, state, sample["x"], train=True)
        shown = {dense.OUTPUT: view.output, **view.features}
        points, trained, *_ = values_read(one, shown, own, {}, {}, state, sample, value)
        return points if points or trained else [dense.OUTPUT], trained

    many = recorded(vmap(grad_and_value(one, argnums=(0, 1), has_aux=True)))
    reads: dict[str, list[str]] = {}

    def passing(layers: Sequence[Layer], x: Tensor, params: Params, buffers: Params, batch: Batch) -> Pass:
        if not reads:
            reads["points"], reads["params"] = all_read(params, buffers, batch)
        shown, signals = dense.forward(layers, activation, x, reads["points"])
        read, beside = {name: shown.pop(name) for name in reads["points"]}, dict(params) if around else {}
        trained = {name: beside.pop(name) for name in reads["params"]}
        (slopes, own), (losses, moved) = many(x.shape[1], read, trained, shown, beside, buffers, batch, values)
        return Pass(losses, signals, slopes, own, moved)

    return passing


def alone(stack: Params) -> dict[str, Tensor]:
    """The tensors of a stack of one, without the trial axis."""
    return {name: tensor[0] for name, tensor in stack.items()}
