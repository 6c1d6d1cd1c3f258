"""A student with what is trained beside it: the adapters of its method and what the method remembers.

Adapters (regressors, translators, connectors) compare a student's activations with its teacher's. They are trained with
the student, and they are no part of it: `bare` gives the student alone, and only that is measured and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from tsd.methods._base import nobody
from tsd.models._base import DenseClassifier, View, below
from tsd.studies._base import Fitted

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import Classifier, Draw, Layer, Model, Params

ADAPTER, MEMORY = "adapter.", "memory."


class Memory(MutableMapping[str, "Tensor"]):
    """What a method carries from update to update: those buffers whose names begin with `memory.`."""

    def __init__(self, buffers: dict[str, Tensor]) -> None:
        self._buffers = buffers

    def __getitem__(self, name: str) -> Tensor:
        return self._buffers[MEMORY + name]

    def __setitem__(self, name: str, value: Tensor) -> None:
        self._buffers[MEMORY + name] = value.detach()

    def __delitem__(self, name: str) -> None:
        del self._buffers[MEMORY + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(MEMORY) for name in self._buffers if name.startswith(MEMORY))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class PupilView(View):
    """What a student shows, with its adapters and the student itself at hand.

    Args:
        adapt: (name of an adapter, activations) → its output.
        ask: other inputs → the student's view of them; with `train=False`, batch norm uses its running statistics.
        memory: what the method carries; what is written to it is there at the next update.
    """

    adapt: Callable[[str, Tensor], Tensor]
    ask: Callable[..., View]
    memory: Memory


@dataclass(frozen=True, eq=False)
class Pupil:
    """The architecture of a student and its adapters. Their parameters are called `adapter.<name>.<parameter>`, what is
    remembered is the buffer `memory.<name>`."""

    student: Classifier
    adapters: Mapping[str, Model]

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The student's fresh weights and those of its adapters. An adapter has no buffers."""
        params, buffers = self.student.init(draw)
        for name, adapter in self.adapters.items():
            # In a sum of methods the adapter is `<method>.<adapter>`, and draws as it does where the method is alone.
            drawn = ADAPTER + name.rpartition(".")[2]
            own, _ = adapter.init(lambda key, drawn=drawn: draw(f"{drawn}.{key}"))  # type: ignore[misc]
            params |= {f"{ADAPTER}{name}.{key}": value for key, value in own.items()}
        return params, buffers

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> PupilView:
        """One pass of the student; its adapters wait to be asked."""
        own = {name: tensor for name, tensor in params.items() if not name.startswith(ADAPTER)}
        state = {name: tensor for name, tensor in buffers.items() if not name.startswith(MEMORY)}

        def ask(other: Tensor, *, train: bool = train) -> View:
            return self.student.forward(own, state, other, train=train)

        return self._beside(ask(x), params, buffers, ask)

    @property
    def chain_weights(self) -> int:
        """How many weights the layers of the student have, where it is a chain; 0 where it is none."""
        student = self.student
        return sum(a * b for a, b in pairwise(student.widths)) if isinstance(student, DenseClassifier) else 0

    def _beside(self, view: View, params: Params, buffers: Params, ask: Callable[..., View]) -> PupilView:
        after = {**buffers, **view.buffers}

        def adapt(name: str, activations: Tensor) -> Tensor:
            return self.adapters[name].forward(below(f"{ADAPTER}{name}.", params), {}, activations, train=True).output

        return PupilView(view.output, view.features, after, adapt, ask, Memory(after))


@dataclass(frozen=True, eq=False)
class ChainPupil(Pupil):
    """A pupil whose student is a chain of affine layers and is not asked again: its gradients can be written by hand
    (`tsd.models._base.Accompanied`).

    Args:
        remembers: whether its method has a memory.
    """

    student: DenseClassifier
    remembers: bool = False

    @property
    def activation(self) -> str:
        """That of the student."""
        return self.student.activation

    def layers(self, params: Params) -> list[Layer]:
        """Those of the student."""
        return self.student.layers(params)

    def pullback(self, params: Params, gradients: Sequence[Layer]) -> dict[str, Tensor]:
        """Gradients of the student's layers → gradients of its parameters."""
        return self.student.pullback(params, gradients)

    def around(self, view: View, params: Params, buffers: Params) -> PupilView:
        """The student's `view`, with its adapters and what the method remembers."""
        return self._beside(view, params, buffers, nobody)


def bare(student: Fitted) -> Fitted:
    """The student alone, without what was trained beside it."""
    if not isinstance(student.model, Pupil):
        return student
    return Fitted(
        student.model.student,
        {name: tensor for name, tensor in student.params.items() if not name.startswith(ADAPTER)},
        {name: tensor for name, tensor in student.buffers.items() if not name.startswith(MEMORY)},
    )
