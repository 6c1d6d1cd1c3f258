"""Teacher-labelled Gaussians: x ~ N(0, I), label = the largest output of a random network with one hidden layer.

Every output of that network is brought to mean 0 and variance 1 over the training inputs, so that no class starves.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from tsd.data._base import Drawn, Images
from tsd.engine.rng import Streams

HIDDEN = 64
TEST_SAMPLES = 5_000


@lru_cache(maxsize=4)
def load(drawn: Drawn) -> Images:
    """`drawn.samples` training and 5,000 test inputs, shape (sample, drawn.dim)."""

    def draw(purpose: str, *shape: int) -> NDArray[np.float32]:
        generator = Streams({"teacher": drawn.seed}).generator("teacher", f"gaussian.{purpose}")
        return generator.standard_normal(shape, dtype=np.float32)

    x_train, x_test = draw("train", drawn.samples, drawn.dim), draw("test", TEST_SAMPLES, drawn.dim)
    first, second = draw("first", drawn.dim, HIDDEN) / drawn.dim**0.5, draw("second", HIDDEN, drawn.classes)
    train, test = np.tanh(x_train @ first) @ second, np.tanh(x_test @ first) @ second
    mean, std = train.mean(0), train.std(0)
    return Images(
        torch.from_numpy(x_train),
        torch.from_numpy(((train - mean) / std).argmax(1)),
        torch.from_numpy(x_test),
        torch.from_numpy(((test - mean) / std).argmax(1)),
        drawn.classes,
        fingerprint=repr(drawn),
    )
