"""What a family of teachers and students offers.

`Model` is an architecture without weights: equal settings make equal models, so a pack shares one. Weights travel
beside it as dictionaries of tensors, which is what lets the engine stack them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tsd.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Params = Mapping[str, "Tensor"]
Draw = Callable[[str], "np.random.Generator"]
"""Purpose → generator: a family asks for one generator per parameter, by the parameter's name."""


def below(prefix: str, tensors: Params) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


class Features(dict[str, "Tensor"]):
    """Activations by feature point. One that does not exist raises UserError, with those that do."""

    def __missing__(self, point: str) -> Tensor:
        known = ", ".join(f"`{name}`" for name in self) or "none"
        raise UserError(f"The model has no feature point `{point}`; it has {known}.")


@dataclass(frozen=True)
class View:
    """What one forward pass shows.

    Args:
        output: shape (batch, class) or (batch,): logits or regression output.
        features: activations at the family's named feature points.
        buffers: the buffers after the pass (batch-norm statistics move in training).
    """

    output: Tensor
    features: Mapping[str, Tensor]
    buffers: Params


class Model(Protocol):
    """An architecture: how to draw its weights and how to run it."""

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Fresh float32 parameters and buffers, each from its own keyed generator."""
        ...

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """One network on one batch `x` of shape (batch, …)."""
        ...


@dataclass(frozen=True)
class Stage:
    """One block of a network, by its feature points.

    Args:
        before: just before its last activation; has both signs.
        after: just behind that activation.
        end: where the block ends, after pooling: the child of the network from whose output `tail` goes on.
    """

    before: str
    after: str
    end: str


class Classifier(Model, Protocol):
    """A model that can be looked into block by block, which is what distillation asks for."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its blocks, input to output."""
        ...

    @property
    def embedding(self) -> str:
        """The feature point in front of the last affine layer; shape (batch, width)."""
        ...

    def tail(self, params: Params, buffers: Params, x: Tensor, *, after: int, train: bool = False) -> View:
        """The rest of the network, from the activations `x` at the end of stage number `after`. Reads the parameters
        and buffers named by `tail_names(after)`; its features are those of the rest."""
        ...

    def tail_names(self, after: int) -> tuple[str, ...]:
        """Names of the parameters and buffers behind stage number `after`."""
        ...


@dataclass(frozen=True)
class Layer:
    """One affine layer as a product: `weight` of shape (…, in, out), `bias` of shape (…, out) or None. A layer that is
    not `trained` is part of the architecture and gets no gradient."""

    weight: Tensor
    bias: Tensor | None
    trained: bool = True


@runtime_checkable
class DenseModel(Model, Protocol):
    """A model that is a plain chain of affine layers with one activation between them, so that its gradient can be
    written by hand. Leading axes of the parameters are the trials of a stack. Features are those of `run_chain`."""

    activation: str

    def layers(self, params: Params) -> list[Layer]:
        """The chain, input to output. A last layer of width 1 gives an output of shape (batch,)."""
        ...

    def pullback(self, params: Params, gradients: Sequence[Layer]) -> dict[str, Tensor]:
        """Gradients of the layers → gradients of the parameters. That of a layer that is not trained is not read."""
        ...


@runtime_checkable
class Accompanied(DenseModel, Protocol):
    """A chain with something beside it that its loss reads too: networks that are trained along, a memory."""

    remembers: bool
    """Whether buffers move from pass to pass."""

    def around(self, view: View, params: Params, buffers: Params) -> View:
        """What the model shows of one network, of whose chain `view` is the view. Of `params` it reads none that the
        chain's layers hold."""
        ...


@runtime_checkable
class DenseClassifier(DenseModel, Classifier, Protocol):
    """A chain that can be looked into block by block."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Nodes of every layer, input to output."""
        ...


@runtime_checkable
class Chained(Model, Protocol):
    """A model that may be a chain of affine layers and that its loss may ask again, at other inputs."""

    @property
    def chain_weights(self) -> int:
        """How many weights the layers have; 0 where it is no chain."""
        ...
