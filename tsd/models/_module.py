"""Any `torch.nn.Module` as a `Model`: weights travel beside the architecture, so that the engine can stack them.

    model = from_module(lambda: nn.Sequential(OrderedDict(conv1=nn.Conv2d(1, 8, 3), …)), points=("conv1",))

Weights are drawn as torch draws them by default, but each from its own keyed generator: the weights of one layer depend
on its name and shape alone. Batch-norm statistics are buffers that go in and come out; the module itself never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from tsd.errors import UserError
from tsd.models._base import Draw, Params, View
from tsd.models._chain import ACTIVATIONS


class Pointwise(nn.Module):
    """The activation called `name`, as a layer: the same function that fully connected families use."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.value = ACTIVATIONS[name].value

    def forward(self, x: Tensor) -> Tensor:
        """f(x), element by element."""
        return self.value(x)


class Features(dict[str, Tensor]):
    """Activations by feature point. One that does not exist raises UserError, with those that do."""

    def __missing__(self, point: str) -> Tensor:
        raise UserError(f"The model has no feature point `{point}`; it has {', '.join(f'`{name}`' for name in self)}.")


@dataclass(frozen=True, eq=False)
class ModuleModel:
    """The architecture of a module.

    Args:
        module: gives the code and the first values of the buffers; its own weights are never used.
        points: submodules whose outputs are shown as features, by path.
    """

    module: nn.Module
    points: tuple[str, ...]

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Parameters within torch's default bounds for their kind of layer, and fresh buffers."""
        params = {}
        for path, layer in self.module.named_modules():
            for name, shape in ((name, p.shape) for name, p in layer.named_parameters(recurse=False)):
                full = f"{path}.{name}" if path else name
                params[full] = torch.from_numpy(_initial(layer, name, tuple(shape), draw(full)))
        return params, {name: buffer.clone() for name, buffer in self.module.named_buffers()}

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """One pass; in training, batch norm uses the batch's statistics and the buffers that come back have moved."""
        features = Features()
        # Batch norm writes into the buffers it is given: it gets copies, made here so that they carry every vmap axis.
        moved = {name: buffer.clone() for name, buffer in buffers.items()} if train else dict(buffers)
        hooks = [self.module.get_submodule(p).register_forward_hook(_keep(features, p)) for p in self.points]
        try:
            self.module.train(train)
            output = functional_call(self.module, (dict(params), moved), (_channels_last(x),), strict=True)
        finally:
            for hook in hooks:
                hook.remove()
        return View(output, features, moved)


def from_module(build: Callable[[], nn.Module], points: Sequence[str] = ()) -> ModuleModel:
    """The module that `build` makes, as an architecture without weights. Global random state is left alone.

    Raises:
        UserError: a feature point is no submodule of it.
    """
    with torch.random.fork_rng(devices=[]):
        module = build()
    modules = dict(module.named_modules())
    for point in points:
        if point not in modules:
            known = ", ".join(f"`{name}`" for name in modules if name)
            raise UserError(f"There is no feature point `{point}` in this model; its submodules are {known}.")
    for layer in modules.values():
        if isinstance(layer, nn.modules.batchnorm._NormBase):
            layer.num_batches_tracked = None  # counts batches for a momentum that is not used here
        if getattr(layer, "inplace", False):
            layer.inplace = False  # would overwrite the feature in front of it
    return ModuleModel(module, tuple(points))


def _initial(layer: nn.Module, name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """torch's defaults: U(±1/√fan_in) for weights and biases of affine layers, 1 and 0 for those of norms."""
    if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
        bound = layer.weight[0].numel() ** -0.5
        return generator.uniform(-bound, bound, shape).astype(np.float32)
    if isinstance(layer, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm):
        return np.full(shape, 1.0 if name == "weight" else 0.0, dtype=np.float32)
    raise TypeError(
        f"how to draw `{name}` of a {type(layer).__name__} is not known; add its rule to {__name__}._initial"
    )


def _keep(features: Features, point: str) -> Callable[[nn.Module, object, Tensor], None]:
    def hook(_: nn.Module, __: object, output: Tensor) -> None:
        features[point] = output

    return hook


def _channels_last(x: Tensor) -> Tensor:
    """Images on a CPU, pixel by pixel in memory: convolutions of 16 channels are 1.5 times as fast.

    `contiguous(memory_format=…)` would leave the strides of images with one channel as they are.
    """
    if x.ndim != 4 or x.device.type != "cpu":
        return x
    return x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
