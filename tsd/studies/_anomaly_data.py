"""What `anomaly` learns from and is judged on: feature maps of good samples, and of good and defective ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tsd.data import _mvtec
from tsd.data._surfaces import Counts, surfaces
from tsd.engine.rng import Streams
from tsd.lazy import torch
from tsd.studies import _anomaly_features as features

if TYPE_CHECKING:
    from torch import Tensor

DRAWN = ("surfaces", "manifold")
DIMS, THICKNESS = 8, 0.1
"""Dimensions of the manifold's space, and the spread around it along x₂."""


@dataclass(frozen=True)
class Source:
    """The trial's fields that its data depend on; see `anomaly.Trial`."""

    dataset: str
    texture: str
    image_size: int
    counts: Counts
    strength: float
    extractor: str
    extractor_layer: str
    map_size: int


@dataclass(frozen=True, eq=False)
class Samples:
    """Feature maps, each channel with mean 0 and variance 1 over the training set.

    Args:
        train, test: shape (sample, channel, height, width).
        mask: bool, (test sample, side, side): defective pixels of the image; for the manifold, of its only "pixel".
        defective: bool, (test sample,).
        fingerprint: see `Inspection`.
    """

    train: Tensor
    test: Tensor
    mask: Tensor
    defective: Tensor
    fingerprint: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of a map."""
        channels, height, width = self.train.shape[1:]
        return channels, height, width


def check(dataset: str) -> None:
    """Say early that a data set cannot be meant.

    Raises:
        UserError: it is none that is drawn, and no folder in MVTec's layout.
    """
    if dataset not in DRAWN:
        _mvtec.check(dataset)


def of_trial(trial: Any, streams: Streams) -> Samples:
    """The samples of a trial of `anomaly`."""
    counts = Counts(trial.train_samples, trial.test_good, trial.test_defective)
    return samples(source(trial, counts), streams.seeds.get("teacher", 0))


def source(trial: Any, counts: Counts) -> Source:
    """What a trial's data depend on, with `counts` of them."""
    return Source(
        trial.dataset,
        trial.texture,
        trial.image_size,
        counts,
        trial.defect_strength,
        trial.extractor,
        trial.extractor_layer,
        trial.map_size,
    )


@lru_cache(maxsize=8)
def samples(source: Source, seed: int) -> Samples:
    """The samples of a source; what is drawn comes from index `seed` of the stream `teacher`.

    Raises:
        UserError: the images cannot be read, or the features cannot be had from them.
    """
    streams = Streams({"teacher": seed})
    if source.dataset == "manifold":
        return _manifold(source.counts, source.strength, streams)
    if source.dataset == "surfaces":
        images = surfaces(source.texture, source.image_size, source.counts, strength=source.strength, streams=streams)
    else:
        images = _mvtec.load(source.dataset, source.image_size)
    train, test = (
        features.extract(part, source.extractor, source.extractor_layer, source.map_size)
        for part in (images.train, images.test)
    )
    return _standardised(train, test, images.mask, torch.tensor(images.defective), images.fingerprint)


def _manifold(counts: Counts, strength: float, streams: Streams) -> Samples:
    """Points x ~ N(0, I₈) but for x₂ = x₁² + noise; defective ones lie `strength`/2 to `strength` off along x₂."""

    def points(part: str, count: int) -> np.ndarray:
        draw = streams.generator("teacher", f"manifold.{part}")
        x = draw.normal(size=(count, DIMS))
        x[:, 1] = x[:, 0] ** 2 + THICKNESS * x[:, 1]
        return x

    off = points("defective", counts.defective)
    draw = streams.generator("teacher", "manifold.distance")
    off[:, 1] += strength * draw.uniform(0.5, 1, counts.defective) * draw.choice([-1, 1], counts.defective)
    raw = points("train", counts.train), np.concatenate([points("good", counts.good), off])
    train, test = (torch.from_numpy(x.astype(np.float32)).view(-1, DIMS, 1, 1) for x in raw)
    defective = torch.arange(len(test)) >= counts.good
    return _standardised(train, test, defective.view(-1, 1, 1), defective, "manifold")


def _standardised(train: Tensor, test: Tensor, mask: Tensor, defective: Tensor, fingerprint: str) -> Samples:
    mean, std = train.mean((0, 2, 3), keepdim=True), train.std((0, 2, 3), keepdim=True, correction=0)
    scale = torch.where(std > 0, std, 1.0)
    return Samples((train - mean) / scale, (test - mean) / scale, mask, defective, fingerprint)
