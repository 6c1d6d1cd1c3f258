"""Pruning: how much each hidden node weighs, which nodes stay, and the network without the others.

Functions of parameters named as in `tsd.models.spectral_mlp`, for one network; hidden layers count from 1. A rule turns
the scores of a layer into the mask of the nodes that stay, and `prune` or `core` takes the others away:

    prune(params, {1: by_count(node_scores(params), 20)})

Scores: Giambagli, Buffoni, Chicchi, Fanelli 2023, arXiv:2310.12612, §3.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import TYPE_CHECKING

from tsd.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Params


def node_scores(params: Params, layer: int = 1) -> Tensor:
    """How much each node of a hidden layer weighs: |λ_i| ‖φ_i‖ = ‖w_i‖, shape (node,), up to a factor that all nodes of
    the layer share. Unchanged by λ → c λ, φ → φ / c."""
    norms = params[_incoming(params, layer)].norm(dim=-1)
    eigenvalues = params.get(f"layer{layer}.eigenvalues")
    return norms if eigenvalues is None else norms * eigenvalues.abs()


def by_threshold(scores: Tensor, threshold: float) -> Tensor:
    """Nodes whose score exceeds `threshold` times the largest, a mask of shape (node,)."""
    return scores > threshold * scores.max()


def by_count(scores: Tensor, count: int) -> Tensor:
    """The `count` nodes of the largest scores, a mask of shape (node,); of equal ones the first."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask[scores.argsort(descending=True, stable=True)[:count]] = True
    return mask


def by_percentile(scores: Tensor, percentile: float) -> Tensor:
    """All nodes but the `percentile` per cent of the smallest scores, rounded down to whole nodes; a mask (node,)."""
    return by_count(scores, len(scores) - floor(len(scores) * percentile / 100))


def alive(params: Params, threshold: float, layer: int = 1) -> Tensor:
    """Nodes of a hidden layer whose score exceeds `threshold` times the largest, a mask of shape (node,)."""
    return by_threshold(node_scores(params, layer), threshold)


def prune(params: Params, keep: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """The parameters with the incoming weights and biases of all nodes that do not stay set to zero. Their activations
    are f(0) = 0, so these nodes are gone, and every tensor keeps its shape.

    Args:
        keep: hidden layer → the mask (node,) of its nodes that stay; layers that are left out stay whole.
    """
    pruned = dict(params)
    for layer, mask in keep.items():
        incoming, bias = _incoming(params, layer), f"layer{layer}.bias"
        pruned[incoming] = torch.where(mask.unsqueeze(1), params[incoming], 0.0)
        if bias in params:
            pruned[bias] = torch.where(mask, params[bias], 0.0)
    return pruned


def core(params: Params, keep: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """The parameters of the nodes that stay, alone: a narrower network that computes what `prune` leaves. It runs in
    the model it came from, which reads its widths off its parameters.

    Args:
        keep: as in `prune`.
    """
    kept = dict(params)
    for layer, mask in keep.items():
        kept |= {name: tensor[mask] for name, tensor in kept.items() if name.startswith(f"layer{layer}.")}
        following = _incoming(params, layer + 1)
        if following in kept:
            kept[following] = kept[following][:, mask]
    return kept


def _incoming(params: Params, layer: int) -> str:
    """Name of the parameter (node, input) that holds the incoming weights of a layer, up to its eigenvalues."""
    plain = f"layer{layer}.weight"
    return plain if plain in params else f"layer{layer}.eigenvectors"
