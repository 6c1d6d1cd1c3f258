"""Any `torch.nn.Module` as a `Model`: weights travel beside the architecture, so that the engine can stack them.

    model = from_module(lambda: nn.Sequential(OrderedDict(conv1=nn.Conv2d(1, 8, 3), …)), points=("conv1",))

Weights are drawn as torch draws them by default, or by another rule, but each from its own keyed generator: the weights
of one layer depend on its name and shape alone. Batch-norm statistics are buffers that go in and come out; the module
itself never changes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tsd.errors import UserError
from tsd.models._base import Draw, Features, Params, Stage, View
from tsd.models._chain import ACTIVATIONS
from tsd.models._initial import Initial, torchs

Places = dict[str, tuple[dict[str, Any], str]]
"""Name → the dictionary of a layer that holds the tensor, and its name there."""


class Pointwise(nn.Module):
    """The activation called `name`, as a layer: the same function that fully connected families use."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.value = ACTIVATIONS[name].value

    def forward(self, x: Tensor) -> Tensor:
        """f(x), element by element."""
        return self.value(x)


@dataclass(frozen=True, eq=False)
class ModuleModel:
    """The architecture of a module.

    Args:
        module: gives the code and the first values of the buffers; its own weights are never used.
        points: submodules whose outputs are shown as features, by path.
        stages: its blocks; the module is then an `nn.Sequential`, and every block ends with one of its children.
        embedding: the feature point in front of the last layer.
        initial: how first weights are drawn.
    """

    module: nn.Module
    points: tuple[str, ...]
    stages: tuple[Stage, ...] = ()
    embedding: str = ""
    initial: Initial = torchs

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Parameters, each drawn by the rule `initial` from its own generator, and fresh buffers."""
        params = {}
        for path, layer in self.module.named_modules():
            for name, shape in ((name, p.shape) for name, p in layer.named_parameters(recurse=False)):
                full = f"{path}.{name}" if path else name
                params[full] = torch.from_numpy(self.initial(layer, name, tuple(shape), draw(full)))
        return params, {name: buffer.clone() for name, buffer in self.module.named_buffers()}

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """One pass; in training, batch norm uses the batch's statistics and the buffers that come back have moved."""
        return _run((self.module, self._places), self.points, (params, buffers), _channels_last(x), train=train)

    def tail(self, params: Params, buffers: Params, x: Tensor, *, after: int, train: bool = False) -> View:
        """The children of the module behind stage number `after`, from its activations `x`."""
        rest, names = self._rest(after), self.tail_names(after)
        inside = dict(rest.named_modules())
        points = tuple(point for point in self.points if point in inside)
        own = {name: params[name] for name in names if name in params}
        moving = {name: buffers[name] for name in names if name in buffers}
        view = _run((rest, _places(rest)), points, (own, moving), x, train=train)
        return View(view.output, view.features, {**buffers, **view.buffers})

    def tail_names(self, after: int) -> tuple[str, ...]:
        """Parameters and buffers of the children behind stage number `after`."""
        rest = self._rest(after)
        return tuple(name for name, _ in [*rest.named_parameters(), *rest.named_buffers()])

    @cached_property
    def _places(self) -> Places:
        return _places(self.module)

    def _rest(self, after: int) -> nn.Sequential:
        children = list(self.module.named_children())
        start = [name for name, _ in children].index(self.stages[after].end) + 1
        return nn.Sequential(OrderedDict(children[start:]))


def _run(
    network: tuple[nn.Module, Places], points: Sequence[str], state: tuple[Params, Params], x: Tensor, *, train: bool
) -> View:
    """One pass of a module, given with its `_places`, with `state`, its parameters and buffers."""
    (module, places), (params, buffers) = network, state
    # Batch norm writes into the buffers it is given: it gets copies, made here so that they carry every vmap axis.
    moved = {name: buffer.clone() for name, buffer in buffers.items()} if train else dict(buffers)
    hooks = []
    if torch.is_autocast_enabled(x.device.type):
        norms = (layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._NormBase))
        hooks = [layer.register_forward_pre_hook(_in_full) for layer in norms]
    module.train(train)
    try:
        with _holding(places, {**params, **moved}):
            output, features = _shown(module, points, x)
    except ValueError as error:
        if train and len(x) == 1:
            raise _alone() from error
        raise
    finally:
        for hook in hooks:
            hook.remove()
    return View(output, features, moved)


def _places(module: nn.Module) -> Places:
    """Where the module holds its parameters and buffers, by name."""
    found: Places = {}
    for path, layer in module.named_modules(remove_duplicate=False):
        for held in (layer._parameters, layer._buffers):
            found |= {f"{path}.{name}" if path else name: (held, name) for name in held if held[name] is not None}
    return found


@contextmanager
def _holding(places: Places, tensors: Params) -> Iterator[None]:
    """The module with these tensors for its own: what `torch.func.functional_call` does, which looks the places up anew
    every time."""
    if places.keys() != tensors.keys():
        raise KeyError(f"The module has {sorted(places)}, not {sorted(tensors)}.")
    own = [held[name] for held, name in places.values()]
    try:
        for full, tensor in tensors.items():
            held, name = places[full]
            held[name] = tensor
        yield
    finally:
        for (held, name), tensor in zip(places.values(), own, strict=True):
            held[name] = tensor


def _shown(module: nn.Module, points: Sequence[str], x: Tensor) -> tuple[Tensor, Features]:
    """Output and features of one pass; without hooks, which slow every call, where children follow one another."""
    features = Features()
    if type(module) is nn.Sequential and set(points) <= module._modules.keys():
        for name, child in module._modules.items():
            x = child(x)
            if name in points:
                features[name] = x
        return x, features
    hooks = [module.get_submodule(point).register_forward_hook(_keep(features, point)) for point in points]
    try:
        return module(x), features
    finally:
        for hook in hooks:
            hook.remove()


def _alone() -> UserError:
    return UserError(
        "Training met a batch of one sample, and batch norm over vectors, or over maps of one place, has nothing to "
        "normalise it by. The last batch of an epoch is what is left of the samples: choose a batch_size, or in a "
        "teacher's training a teacher_batch_size, that leaves more than one."
    )


def from_module(
    build: Callable[[], nn.Module],
    points: Sequence[str] = (),
    stages: Sequence[Stage] = (),
    embedding: str = "",
    initial: Initial = torchs,
) -> ModuleModel:
    """The module that `build` makes, as an architecture without weights. Global random state is left alone.

    The points of `stages` and `embedding` are features too, without being named in `points`.

    Raises:
        UserError: a feature point is no submodule of it.
    """
    with torch.random.fork_rng(devices=[]):
        module = build()
    modules = dict(module.named_modules())
    named = [point for stage in stages for point in (stage.before, stage.after, stage.end)]
    shown = tuple(dict.fromkeys([*points, *named, *([embedding] if embedding else [])]))
    for point in shown:
        if point not in modules:
            known = ", ".join(f"`{name}`" for name in modules if name)
            raise UserError(f"There is no feature point `{point}` in this model; its submodules are {known}.")
    for layer in modules.values():
        if isinstance(layer, nn.modules.batchnorm._NormBase):
            layer.num_batches_tracked = None  # counts batches for a momentum that is not used here
        if getattr(layer, "inplace", False):
            layer.inplace = False  # would overwrite the feature in front of it
    return ModuleModel(module, shown, tuple(stages), embedding, initial)


def _keep(features: Features, point: str) -> Callable[[nn.Module, object, Tensor], None]:
    def hook(_: nn.Module, __: object, output: Tensor) -> None:
        features[point] = output

    return hook


def _in_full(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """In mixed precision, statistics are those of single-precision numbers."""
    return (inputs[0].float(),)


def _channels_last(x: Tensor) -> Tensor:
    """Images on a CPU, pixel by pixel in memory: convolutions of 16 channels are 1.5 times as fast.

    `contiguous(memory_format=…)` would leave the strides of images with one channel as they are.
    """
    if x.ndim != 4 or x.device.type != "cpu":
        return x
    return x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
