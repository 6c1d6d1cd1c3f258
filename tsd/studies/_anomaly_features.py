"""Feature maps of images: a Gabor bank that needs no weights, or a layer of a torchvision model whose weights you have.

The Gabor bank (Gabor 1946; Daugman 1985) has 14 channels: the energy of waves of 4, 8 and 16 pixels in four
directions, brightness, and the largest departure from it.
"""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

GABOR = "gabor"
WAVELENGTHS, DIRECTIONS = (4, 8, 16), 4
CHUNK = 16
"""Images of one pass."""


def check(extractor: str) -> None:
    """Say early that there is no extractor of this name.

    Raises:
        UserError: it is neither `gabor` nor a model of torchvision.
    """
    if extractor == GABOR:
        return
    names = _zoo().list_models(module=_zoo())
    if extractor not in names:
        near = difflib.get_close_matches(extractor, [GABOR, *names], n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise UserError(
            f"There is no feature extractor `{extractor}`; there are `{GABOR}` and the models of torchvision, such as "
            f"`efficientnet_b5`.{hint}"
        )


def extract(images: Tensor, extractor: str, layer: str, map_size: int) -> Tensor:
    """Feature maps of images of shape (sample, channel, side, side), with 1 or 3 channels between 0 and 1.

    Args:
        extractor: `gabor`, or a model of torchvision whose weights lie in torch's cache.
        layer: path of the submodule of a torchvision model that is read; `gabor` has none.
        map_size: side of the maps of `gabor`; a torchvision layer has its own.
    Raises:
        UserError: a map of this size cannot be had, or the model's weights are not there, or it has no such layer.
    """
    with torch.no_grad():
        if extractor == GABOR:
            return torch.cat([_gabor(chunk, map_size) for chunk in images.split(CHUNK)])
        return _torchvision(images, extractor, layer)


def _gabor(images: Tensor, map_size: int) -> Tensor:
    side = images.shape[-1]
    if side % map_size or side < 2 * max(WAVELENGTHS):
        raise UserError(
            f"The features `{GABOR}` average images of {side} pixels to maps of {map_size}: image_size must be a "
            f"multiple of map_size, and at least {2 * max(WAVELENGTHS)}. Give image_size: {map_size * 4}, for example."
        )
    pool = torch.nn.functional.adaptive_avg_pool2d
    grey = images.mean(1, keepdim=True)
    energies = [_energies(grey - grey.mean((2, 3), keepdim=True), wavelength) for wavelength in WAVELENGTHS]
    brightness = pool(grey, map_size)
    departure = (grey - torch.nn.functional.avg_pool2d(grey, 9, 1, 4, count_include_pad=False)).abs()
    peak = torch.nn.functional.adaptive_max_pool2d(departure, map_size)
    return torch.cat([pool(torch.cat(energies, 1), map_size), brightness, peak], 1)


def _energies(grey: Tensor, wavelength: int) -> Tensor:
    """√(even² + odd²) of the Gabor waves of one length, shape (sample, direction, side, side)."""
    reach = wavelength
    offset = torch.arange(-reach, reach + 1, dtype=grey.dtype)
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    envelope = torch.exp(-(x.square() + y.square()) / (2 * (0.4 * wavelength) ** 2))
    envelope = envelope / envelope.sum()
    angles = [math.pi * i / DIRECTIONS for i in range(DIRECTIONS)]
    phases = [2 * math.pi / wavelength * (x * math.cos(a) + y * math.sin(a)) for a in angles]
    waves = torch.stack([envelope * wave(phase) for wave in (torch.cos, torch.sin) for phase in phases])
    padded = torch.nn.functional.pad(grey, [reach] * 4, mode="reflect")
    even, odd = torch.nn.functional.conv2d(padded, waves.unsqueeze(1)).chunk(2, 1)
    return (even.square() + odd.square()).sqrt()


def _torchvision(images: Tensor, name: str, layer: str) -> Tensor:
    model = _weighted(name)
    try:
        module = model.get_submodule(layer)
    except AttributeError as error:
        known = ", ".join(f"`{path}`" for path, _ in model.named_modules() if path.count(".") == 1)[:600]
        raise UserError(
            f"extractor_layer: `{layer}` is no layer of torchvision's `{name}`. Some of its layers are {known}."
        ) from error
    shift, scale = (images.new_tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen: list[Tensor] = []
    hook = module.register_forward_hook(lambda _, __, output: seen.append(output))
    for chunk in images.split(CHUNK):
        model((chunk.expand(-1, 3, -1, -1) - shift) / scale)
    hook.remove()
    if seen[0].ndim != 4:
        raise UserError(
            f"extractor_layer: `{layer}` of `{name}` gives features of shape {tuple(seen[0].shape[1:])}; expected maps "
            "(channel, height, width). Choose a layer before the pooling."
        )
    return torch.cat(seen)


def _weighted(name: str) -> nn.Module:
    """The model with torchvision's own weights, from torch's cache; nothing is downloaded."""
    url = next(iter(_zoo().get_model_weights(name))).url
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if not file.is_file():
        raise UserError(
            f"The weights of `{name}` are not at {file}, and are not downloaded during a sweep. Fetch them once with "
            f"python -c \"import torch; torch.hub.load_state_dict_from_url('{url}')\", or use extractor: {GABOR}."
        )
    model: nn.Module = _zoo().get_model(name, weights=None)
    model.load_state_dict(torch.load(file, weights_only=True))
    return model.eval()


def _zoo() -> ModuleType:
    """torchvision's models, also beside a torch of another kind."""
    from tsd.data._operators import datasets

    datasets()
    from torchvision import models

    return models
