"""The operations of a recording in other words: quicker ones, and ones whose bits depend on no place in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import frexp
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

aten = torch.ops.aten


def _batch_norm(x: Tensor, *arguments: Any) -> Any:
    """Batch norm of vectors by their own statistics alone, (sample, channel), and its inverse deviations. Written out
    channel by channel, for the last bit of torch's own depends on where a channel stands in memory."""
    weight, bias, running, _, training, _, epsilon = arguments
    if x.ndim != 2 or running is not None or not training:
        return NotImplemented
    rows = x.mT.contiguous()
    mean = rows.mean(1)
    away = rows - mean.unsqueeze(1)
    inverse = 1 / (away.square().mean(1) + epsilon).sqrt()
    return (away * (inverse * weight).unsqueeze(1) + bias.unsqueeze(1)).mT, mean, inverse


def _batch_norm_backward(slope: Tensor, x: Tensor, *arguments: Any) -> Any:
    """Gradients of `_batch_norm` with respect to its inputs, weight and bias."""
    weight, running, _, mean, inverse, training, *_ = arguments
    if x.ndim != 2 or running is not None or not training:
        return NotImplemented
    rows, unit = slope.mT.contiguous(), (x.mT.contiguous() - mean.unsqueeze(1)) * inverse.unsqueeze(1)
    own, along = rows.mean(1), (rows * unit).mean(1)
    away = rows - own.unsqueeze(1) - unit * along.unsqueeze(1)
    return (away * (inverse * weight).unsqueeze(1)).mT, along * len(x), own * len(x)


def _log_softmax(x: Tensor, dim: int, half: bool) -> Any:
    """Over a few classes, the last axis, with the samples along the processor's vectors: ten times as fast."""
    return aten._log_softmax(x.mT, x.ndim - 2, half).mT if _narrow(x, dim) else NotImplemented


def _log_softmax_backward(slope: Tensor, result: Tensor, dim: int, dtype: torch.dtype) -> Any:
    """As `_log_softmax`."""
    if not _narrow(result, dim):
        return NotImplemented
    return aten._log_softmax_backward_data(slope.mT, result.mT, result.ndim - 2, dtype).mT


def _narrow(x: Tensor, dim: int) -> bool:
    return x.device.type == "cpu" and x.ndim > 1 and dim % x.ndim == x.ndim - 1 and x.shape[-1] <= NARROW


def _power(x: Tensor, exponent: float) -> Any:
    return x if exponent == 1 else NotImplemented


def _multiple(x: Tensor, factor: float) -> Any:
    return x if factor == 1 else NotImplemented


NARROW = 32
"""Classes up to which samples are the better axis for vectors."""

REWORDED: dict[torch._ops.OpOverload, Callable[..., Any]] = {
    aten.native_batch_norm.default: _batch_norm,
    aten.native_batch_norm_backward.default: _batch_norm_backward,
    aten._log_softmax.default: _log_softmax,
    aten._log_softmax_backward_data.default: _log_softmax_backward,
    aten.pow.Tensor_Scalar: _power,
    aten.mul.Scalar: _multiple,
}
"""Operations that a recording has in other words."""


IN_PLACE = {
    aten.add.Tensor: aten.add_.Tensor,
    aten.sub.Tensor: aten.sub_.Tensor,
    aten.mul.Tensor: aten.mul_.Tensor,
    aten.mul.Scalar: aten.mul_.Scalar,
}
LOOKS = {aten.expand.default, aten.view.default, aten._unsafe_view.default}
SYMMETRIC = {aten.add.Tensor, aten.mul.Tensor}


def scaled(node: Node, by: Node, values: Mapping[Node, Any]) -> bool:
    """Makes a product of `node`, one with a tensor `by` that is known and has one value everywhere, a product with that
    number; and whether it did. A power of two that it was multiplied by before is taken in: that rounds nothing."""
    if node.target is not aten.mul.Tensor or node.args.count(by) != 1 or not values[by].is_floating_point():
        return False
    other: Any = next(each for each in node.args if each is not by)
    known, result = values[by], values[node]
    same = isinstance(other, Node) and (values[other].shape, values[other].dtype) == (result.shape, result.dtype)
    if not same or known.dtype != result.dtype or not bool((known == known.flatten()[0]).all()):
        return False
    factor = known.flatten()[0].item()
    if other.target is aten.mul.Scalar and len(other.users) == 1 and abs(frexp(other.args[1])[0]) == 0.5:
        other, factor = other.args[0], factor * other.args[1]
    node.target, node.args = aten.mul.Scalar, (other, factor)
    return True


def see_through(graph: Graph, values: Mapping[Node, Any]) -> None:
    """Drops looks at a tensor in the shape that it has."""
    for node in graph.nodes:
        if node.target in LOOKS and _lies_alike(values.get(node.args[0]), values[node]):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def overwrite(graph: Graph, values: Mapping[Node, Any]) -> None:
    """Lets sums, differences and products overwrite what is read for the last time, where it lies as the result does:
    memory that is in the cache already."""
    order = {node: number for number, node in enumerate(graph.nodes)}
    sources: dict[Node, Node] = {}
    readers: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        sources[node] = sources[node.args[0]] if _looks(node) else node
        for each in node.all_input_nodes:
            readers.setdefault(sources[each], []).append(node)
    for node in graph.nodes:
        for each in _terms(node):
            source = sources[each]
            fresh = source.op == "call_function" and isinstance(source.target, torch._ops.OpOverload)
            last = all(user is node or order[user] < order[node] for user in readers[source])
            if fresh and last and _lies_alike(values.get(each), values[node]):
                rest = [arg for arg in node.args if arg is not each]
                node.target, node.args = IN_PLACE[node.target], (each, *rest)
                sources[node] = source
                readers[source] += node.users
                break


def _terms(node: Node) -> list[Node]:
    """What the result of an operation could overwrite."""
    if node.target not in IN_PLACE or node.kwargs:
        return []
    terms = node.args if node.target in SYMMETRIC else node.args[:1]
    return [each for each in terms if isinstance(each, Node) and node.args.count(each) == 1]


def _looks(node: Node) -> bool:
    """Whether a result is another look at the memory of the first argument."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    return node.target is aten._unsafe_view.default or any(
        each.alias_info is not None for each in node.target._schema.returns
    )


def _lies_alike(one: Any, result: Tensor) -> bool:
    return isinstance(one, Tensor) and (one.shape, one.stride(), one.dtype) == (
        result.shape,
        result.stride(),
        result.dtype,
    )
