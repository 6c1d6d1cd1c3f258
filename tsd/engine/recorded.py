"""A function of tensors as the plain operations it comes down to, recorded once and replayed.

A replay gives the same bits without the cost of vmap and autograd, which is several times that of the arithmetic where
networks are small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.experimental.proxy_tensor import make_fx

from tsd.engine.reworded import REWORDED, overwrite, scaled, see_through

aten = torch.ops.aten
SHAPED = {aten.ones_like.default, aten.zeros_like.default, aten.full_like.default}
"""Operations that read the shape of their input alone."""


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of dictionaries of tensors, recorded once for each `shape`: an extra first argument, which stands for
    the shapes of all others."""
    graphs: dict[int, Callable[..., Any]] = {}

    def replay(shape: int, *groups: Mapping[str, Tensor]) -> Any:
        leaves = [tensor for group in groups for tensor in group.values()]
        if shape not in graphs:
            names = [list(group) for group in groups]
            recording = _traced(lambda *flat: function(*_regroup(names, flat)), leaves, REWORDED)
            graphs[shape] = _settled(recording, leaves).forward
        return graphs[shape](*leaves)

    return replay


def values_read(function: Callable[..., Any], *groups: Mapping[str, Tensor]) -> list[list[str]]:
    """Of each group, the names of those tensors whose values `function` reads."""
    names = [list(group) for group in groups]
    leaves = [tensor.detach() for group in groups for tensor in group.values()]  # one that is given twice is two
    graph = _traced(lambda *flat: function(*_regroup(names, flat)), leaves).graph
    graph.eliminate_dead_code()
    inputs = iter(node for node in graph.nodes if node.op == "placeholder")
    return [[name for name in group if next(inputs).users] for group in names]


def _traced(
    function: Callable[..., Any], leaves: Sequence[Tensor], rewords: Mapping[Any, Callable[..., Any]] | None = None
) -> GraphModule:
    """The operations of `function` at `leaves`. Left to itself, torch notes the shape of each in a mode of its own,
    which remembers the whole stack of calls: that took half of the time."""
    with tracing(TracingContext(FakeTensorMode())):
        return make_fx(function, rewords)(*leaves)


def _regroup(names: list[list[str]], flat: Sequence[Tensor]) -> list[dict[str, Tensor]]:
    tensors = iter(flat)
    return [{name: next(tensors) for name in group} for group in names]


def _settled(recording: GraphModule, leaves: Sequence[Tensor]) -> GraphModule:
    """The recording with everything worked out that no value of an input moves, and in as few passes over memory as
    leave every bit: of the ten operations that a mean square and its slope come to, four are left."""
    nodes = list(recording.graph.nodes)
    if any(node.op == "call_function" and _writes(node) for node in nodes):
        return recording
    fixed: set[Node] = set()
    for node in nodes:
        follows = bool(node.all_input_nodes) and all(each in fixed for each in node.all_input_nodes)
        if node.op == "call_function" and (node.target in SHAPED or follows):
            fixed.add(node)
    values = _Values(recording)
    values.run(*leaves)
    for number, node in enumerate(node for node in nodes if node in fixed):
        readers = [user for user in node.users if user not in fixed and user.op != "output"]
        readers = [user for user in readers if not scaled(user, node, values.seen)]
        if readers:
            recording.register_buffer(f"settled{number}", values.seen[node])
            with recording.graph.inserting_before(node):
                known = recording.graph.get_attr(f"settled{number}")
            for reader in readers:
                reader.replace_input_with(node, known)
    recording.graph.eliminate_dead_code()
    see_through(recording.graph, values.seen)
    overwrite(recording.graph, values.seen)
    recording.recompile()
    return recording


def _writes(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is None or bool(schema.is_mutable)


class _Values(Interpreter):
    """Runs a recording and remembers what each of its operations gave."""

    def __init__(self, recording: GraphModule) -> None:
        super().__init__(recording, garbage_collect_values=False)
        self.seen: dict[Node, Any] = {}

    def run_node(self, n: Node) -> Any:
        self.seen[n] = super().run_node(n)
        return self.seen[n]
