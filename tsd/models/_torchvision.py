"""Classifiers of torchvision by name: `torchvision/resnet18`. They start from keyed draws; no weights are downloaded.

What is adapted: the number of classes; the channels that the first convolution reads; and, for images of at most 64
pixels, stems of a 7×7 convolution with stride 2 and pooling, which become a 3×3 convolution. Dropout and stochastic
depth are left out, because what is random in a trial comes from its own keyed streams. Convolutional networks are laid
out as a chain of torchvision's blocks, so that they can be looked into and cut; a trial pass finds their stages.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from math import log
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tsd.data._operators import datasets
from tsd.errors import UserError
from tsd.models._base import Stage
from tsd.models._images import GlobalPool, check_images
from tsd.models._initial import he
from tsd.models._module import ModuleModel, from_module
from tsd.models._trace import stages_of

PREFIX = "torchvision/"
SMALL = 64
"""Pixels up to which images get a stem that keeps their size."""
CHAINS: dict[str, tuple[type[nn.Module], ...]] = {
    **dict.fromkeys(("AlexNet", "EfficientNet", "GoogLeNet", "Inception3"), (nn.Flatten,)),
    **dict.fromkeys(("MobileNetV3", "RegNet", "ResNet", "VGG"), (nn.Flatten,)),
    **dict.fromkeys(("MNASNet", "MobileNetV2", "ShuffleNetV2"), (GlobalPool,)),
    "DenseNet": (nn.ReLU, GlobalPool),
}
"""torchvision's classes that run their children in order, and what they do in front of the last one."""
CONTAINERS = ("features", "layers", "trunk_output", "classifier")
"""Children whose own children are the blocks."""


class ConvolutionHead(nn.Module):
    """The end of a network whose last layer is a convolution, which comes before the pooling and not behind it.

    Its `embedding` is the mean of the map that this layer reads; the answers do not go through it.
    """

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.embedding = GlobalPool()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channel, height, width) → (batch, class)."""
        self.embedding(x)
        answers: Tensor = self.layers(x)
        return answers.flatten(1)


@dataclass(frozen=True)
class Named:
    """The classifier that torchvision calls `name`."""

    name: str

    def build(self, width: int, depth: int, activation: str, input_shape: tuple[int, ...], classes: int) -> ModuleModel:
        """The network for images of `input_shape`, drawn by He's rule.

        Args:
            width, depth: must be 0: the network has its own.
            activation: must be relu, and stands for the network's own.
            input_shape: (channel, height, width).
            classes: number of outputs.
        Feature points: those of its stages, one a resolution, and its embedding. Transformers, and networks that do not
        show what is in front of their activations, have no stages.
        Raises:
            UserError: the network cannot read such inputs, or another width, depth or activation is asked for.
        """
        title = f"The model `{PREFIX}{self.name}`"
        check_images(PREFIX + self.name, input_shape)
        if width or depth or activation != "relu":
            raise UserError(
                f"{title} has a width, a depth and an activation of its own; leave width and depth at 0 and activation "
                f"at relu, instead of {width}, {depth} and {activation}."
            )
        try:
            module = from_module(partial(_network, self.name, input_shape, classes)).module
            stages = _stages(module, torch.zeros(1, *input_shape))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise UserError(
                f"{title} cannot read images of shape {input_shape}: {reason}. Use a model that is made for such ones, "
                "as `resnet` is for small images, or another data set."
            ) from error
        embedding = next(path for path, _ in module.named_modules() if path.split(".")[-1] == "embedding")
        return from_module(lambda: module, (), stages, embedding, _initial)


def names() -> list[str]:
    """Every classifier of torchvision, by torchvision's name."""
    zoo = _zoo()
    listed: list[str] = zoo.list_models(module=zoo)
    return listed


def _zoo() -> ModuleType:
    datasets()  # makes torchvision importable beside a torch of another kind
    import torchvision.models

    return torchvision.models


def _network(name: str, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    module = _zoo().get_model(name, weights=None, num_classes=classes, **_options(name, input_shape))
    for path, layer in list(module.named_modules()):
        if type(layer).__name__ in ("Dropout", "StochasticDepth"):
            _put(module, path, nn.Identity())
    _adapt_stem(module, input_shape)
    if type(module).__name__ in CHAINS:
        return _chain(module)
    if type(module).__name__ == "SqueezeNet":
        blocks = OrderedDict((f"features{key}", block) for key, block in module.features.named_children())
        return nn.Sequential(blocks | {"head": ConvolutionHead(module.classifier)})
    path, head = [(path, layer) for path, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]
    _put(module, path, nn.Sequential(OrderedDict(embedding=nn.Identity(), head=head)))
    return module


def _options(name: str, input_shape: tuple[int, ...]) -> dict[str, Any]:
    if name.startswith("vgg"):
        return {"init_weights": False}
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": False}
    if name.startswith("vit"):
        return {"image_size": input_shape[1]}
    return {"input_size": input_shape[1:]} if name.startswith("maxvit") else {}


def _adapt_stem(module: nn.Module, input_shape: tuple[int, ...]) -> None:
    """The first convolution reads the data's channels; a 7×7 one with pooling keeps the size of small images."""
    layers = list(module.named_modules())
    path, first = next((path, layer) for path, layer in layers if isinstance(layer, nn.Conv2d))
    settings = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding")}
    if first.kernel_size == (7, 7) and min(input_shape[1:]) <= SMALL:
        settings = {"kernel_size": 3, "stride": 1, "padding": 1}
        pool = next(path for path, layer in layers if isinstance(layer, nn.MaxPool2d))
        _put(module, pool, nn.Identity())
    _put(module, path, nn.Conv2d(input_shape[0], first.out_channels, bias=first.bias is not None, **settings))


def _chain(module: nn.Module) -> nn.Sequential:
    """The network's blocks one after another, instead of as attributes that its forward calls in turn."""
    *body, last = module.named_children()
    between = [(kind.__name__.lower(), kind()) for kind in CHAINS[type(module).__name__]]
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in [*body, *between, last]:
        inner = child.named_children() if name in CONTAINERS and type(child) is nn.Sequential else [("", child)]
        blocks |= {f"{name}{key}" if key.isdigit() or not key else key: block for key, block in inner}
    _, head = blocks.popitem()
    return nn.Sequential(blocks | {"embedding": nn.Identity(), "head": head})


def _stages(module: nn.Module, x: Tensor) -> list[Stage]:
    if isinstance(module, nn.Sequential):
        return stages_of(module, x)
    with torch.no_grad():
        module.eval()(x)
    return []


def _put(module: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, layer)


def _initial(layer: nn.Module, name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """He's rule, and the constants and the spread of torchvision for what transformers have beside their layers."""
    constants = {"class_token": 0.0, "layer_scale": 1e-6, "logit_scale": log(10), "in_proj_bias": 0.0}
    if name in constants:
        return np.full(shape, constants[name], dtype=np.float32)
    if name in ("pos_embedding", "relative_position_bias_table", "in_proj_weight"):
        return generator.normal(0, 0.02, shape).astype(np.float32)
    return he(layer, name, shape, generator)
