"""Synthetic industrial surfaces: three textures, and scratches, spots and dents with their masks.

    pieces = surfaces("weave", 64, Counts(train=96, good=30, defective=45), strength=1.0, streams=streams)

Every image is drawn from a generator of its own, so the first ones stay the same however many are asked for, and a
defect of another strength lies at the same place of the same piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsd.data._inspection import GOOD, Inspection
from tsd.lazy import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsd.engine.rng import Streams

    Array = NDArray[np.float64]

CONTRAST = 0.12
"""Standard deviation of the grey values of a piece, whose mean is ½."""


@dataclass(frozen=True)
class Counts:
    """How many images are drawn: good ones to learn from, good and defective ones to test on."""

    train: int
    good: int
    defective: int


def surfaces(texture: str, size: int, counts: Counts, *, strength: float, streams: Streams) -> Inspection:
    """Grey images of one texture, drawn from the stream `teacher`: a teacher and what it has seen are one draw.

    Args:
        texture: a key of `TEXTURES`.
        size: pixels along a side.
        counts: how many; defects of the kinds of `DEFECTS` take turns.
        strength: how visible a defect is; 1 is about the contrast of the surface itself.
    """

    def generator(part: str, index: int) -> np.random.Generator:
        return streams.generator("teacher", f"surfaces.{texture}.{part}", step=index)

    train = [_piece(texture, size, generator("train", i)) for i in range(counts.train)]
    good = [_piece(texture, size, generator(GOOD, i)) for i in range(counts.good)]
    kinds = [list(DEFECTS)[i % len(DEFECTS)] for i in range(counts.defective)]
    defective, masks = [], []
    for i, kind in enumerate(kinds):
        draw = generator("defective", i)
        image, mask = DEFECTS[kind](_piece(texture, size, draw), strength, draw)
        defective.append(image)
        masks.append(mask)
    none = [np.zeros((size, size), dtype=bool)] * counts.good
    return Inspection(
        _images(train),
        _images([*good, *defective]),
        torch.from_numpy(np.stack([*none, *masks])),
        (*[GOOD] * counts.good, *kinds),
        "surfaces",
    )


def _images(pieces: list[Array]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pieces).clip(0, 1).astype(np.float32)).unsqueeze(1)


def _piece(texture: str, size: int, draw: np.random.Generator) -> Array:
    """A good piece: its texture, a slope of light across it, and the camera's noise."""
    raw = TEXTURES[texture](size, draw)
    x, y = _grid(size)
    slope_x, slope_y = draw.normal(0, 0.04, 2)
    light = slope_x * (x / size - 0.5) + slope_y * (y / size - 0.5)
    return 0.5 + CONTRAST * (raw - raw.mean()) / raw.std() + light + draw.normal(0, 0.02, raw.shape)


def _weave(size: int, draw: np.random.Generator) -> Array:
    """Warp and weft of a period of eight pixels, slightly out of line."""
    x, y = _grid(size)
    bend_x, bend_y = (_smooth(draw.normal(size=(size, size)), 6) for _ in range(2))
    phase_x, phase_y = draw.uniform(0, 2 * np.pi, 2)
    warp = np.sin(2 * np.pi * x / 8 + phase_x + 0.4 * bend_x / bend_x.std())
    weft = np.sin(2 * np.pi * y / 8 + phase_y + 0.4 * bend_y / bend_y.std())
    return warp + weft + 0.5 * warp * weft


def _brushed(size: int, draw: np.random.Generator) -> Array:
    """Metal, brushed along x."""
    return _smooth(draw.normal(size=(size, size)), (0.8, 10))


def _grain(size: int, draw: np.random.Generator) -> Array:
    """Cast grains of about four pixels: noise between two scales."""
    noise = draw.normal(size=(size, size))
    return _smooth(noise, 1.2) - _smooth(noise, 3)


TEXTURES: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "weave": _weave,
    "brushed": _brushed,
    "grain": _grain,
}


def _scratch(piece: Array, strength: float, draw: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
    """A bright or dark line, a third to two thirds of the image long and some two pixels wide."""
    size = len(piece)
    x, y = _around(size, draw)
    angle, half, width = draw.uniform(0, np.pi), size * draw.uniform(0.16, 0.33), draw.uniform(0.8, 1.2)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    past_end = np.maximum(np.abs(along) - half, 0)
    profile = np.exp(-(across**2 + past_end**2) / (2 * width**2))
    return piece + draw.choice([-1, 1]) * 2.5 * CONTRAST * strength * profile, profile > 0.5


def _spot(piece: Array, strength: float, draw: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
    """A dark or bright blot with a soft edge."""
    x, y = _around(len(piece), draw)
    radius = len(piece) * draw.uniform(0.04, 0.08)
    profile = 1 / (1 + np.exp((np.hypot(x, y) - radius) / 0.7))
    return piece + draw.choice([-1, 1]) * 2 * CONTRAST * strength * profile, profile > 0.5


def _dent(piece: Array, strength: float, draw: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
    """A hollow: lit on one side, in shadow on the other, the texture drawn towards its middle."""
    from scipy.ndimage import map_coordinates

    size = len(piece)
    x, y = _around(size, draw)
    radius, light = size * draw.uniform(0.08, 0.14), draw.uniform(0, 2 * np.pi)
    profile = np.exp(-(x**2 + y**2) / radius**2)
    columns, rows = _grid(size)
    pull = 0.4 * strength * profile
    bent = map_coordinates(piece, [rows + pull * y, columns + pull * x], order=1, mode="nearest")
    shade = 4 * CONTRAST * strength * (x * np.cos(light) + y * np.sin(light)) / radius * profile
    return bent + shade, np.hypot(x, y) < radius


DEFECTS: dict[str, Callable[[Array, float, np.random.Generator], tuple[Array, NDArray[np.bool_]]]] = {
    "scratch": _scratch,
    "spot": _spot,
    "dent": _dent,
}


def _grid(size: int) -> tuple[Array, Array]:
    """Column and row number of every pixel."""
    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    return columns, rows


def _around(size: int, draw: np.random.Generator) -> tuple[Array, Array]:
    """Offsets of every pixel from a drawn centre that lies well inside the image."""
    columns, rows = _grid(size)
    middle_x, middle_y = draw.uniform(0.2 * size, 0.8 * size, 2)
    return columns - middle_x, rows - middle_y


def _smooth(noise: Array, scale: float | tuple[float, float]) -> Array:
    """Gaussian blur whose edges meet."""
    from scipy.ndimage import gaussian_filter

    blurred: Array = gaussian_filter(noise, scale, mode="wrap")
    return blurred
