"""What a data set is, and the checks and the normalisation that every one of them goes through."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsd.errors import UserError
from tsd.lazy import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Images:
    """Inputs and labels of one data set.

    Args:
        x_train, x_test: float32, shape (sample, channel, height, width) or (sample, feature).
        y_train, y_test: int64, shape (sample,), labels 0 … classes − 1.
        classes: number of classes.
        fingerprint: changes with the data: a file that was changed under its old name is noticed by it.
    """

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: int
    fingerprint: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (channel, height, width) or (feature,)."""
        return tuple(self.x_train.shape[1:])


@dataclass(frozen=True)
class Drawn:
    """What a data set depends on that is drawn rather than read.

    Args:
        dim: length of an input.
        classes: number of classes.
        samples: training samples.
        seed: index of the stream `teacher`, from which the set is drawn. Which of its samples a student sees is, as for
            every set, up to the stream `data`.
    """

    dim: int = 32
    classes: int = 10
    samples: int = 10_000
    seed: int = 0


def images(where: str, x_train: Array, y_train: Array, x_test: Array, y_test: Array) -> Images:
    """Checked and normalised `Images` from raw arrays: pixels of any range, channels first; labels 0 … C − 1.

    Every channel (every feature of a flat input) is shifted and scaled to mean 0 and variance 1 over the training set;
    one that never varies is only shifted.

    Raises:
        UserError: shapes disagree, an input is not finite, or labels are not 0 … C − 1. `where` names the source.
    """
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        _check_shapes(where, part, x, y)
        _check_finite(where, part, x)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise UserError(
            f"{where}: an input of x_train has shape {x_train.shape[1:]} and one of x_test {x_test.shape[1:]}; "
            "they must be equal."
        )
    classes = _count_classes(where, y_train, y_test)
    train, test = _normalise(x_train, x_test)
    return Images(
        torch.from_numpy(train),
        torch.from_numpy(y_train.astype(np.int64)),
        torch.from_numpy(test),
        torch.from_numpy(y_test.astype(np.int64)),
        classes,
        _digest(x_train, y_train, x_test, y_test),
    )


def _check_shapes(where: str, part: str, x: Array, y: Array) -> None:
    if x.ndim not in (2, 4) or 0 in x.shape or x.dtype.kind not in "buif":
        raise UserError(
            f"{where}: x_{part} has shape {x.shape} and type {x.dtype}; expected numbers: images (sample, channel, "
            "height, width) or vectors (sample, feature), with at least one sample."
        )
    if y.shape != x.shape[:1]:
        raise UserError(
            f"{where}: x_{part} has {x.shape[0]} samples but y_{part} has shape {y.shape}; "
            f"expected one label a sample, shape ({x.shape[0]},)."
        )
    if y.dtype.kind not in "iu":
        raise UserError(f"{where}: y_{part} has type {y.dtype}; expected whole numbers, the index of each class.")


def _count_classes(where: str, y_train: Array, y_test: Array) -> int:
    present = np.unique(y_train)
    classes = len(present)
    if classes < 2 or not np.array_equal(present, np.arange(classes)):
        shown = ", ".join(map(str, present[:8])) + (" …" if classes > 8 else "")
        raise UserError(
            f"{where}: y_train has the labels {shown}; expected at least two classes, "
            "numbered 0, 1, 2 … without a gap. Renumber them."
        )
    if y_test.min() < 0 or y_test.max() >= classes:
        raise UserError(
            f"{where}: y_test has labels from {y_test.min()} to {y_test.max()}; "
            f"expected 0 to {classes - 1}, the classes of y_train."
        )
    return classes


def _check_finite(where: str, part: str, x: Array) -> None:
    bad = ~np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
    if bad.any():
        raise UserError(
            f"{where}: x_{part} holds NaN or infinite values, first in sample {bad.argmax()}. Remove or mend them."
        )


def _normalise(x_train: Array, x_test: Array) -> tuple[Array, Array]:
    others = tuple(axis for axis in range(x_train.ndim) if axis != 1)
    mean = x_train.mean(axis=others, keepdims=True, dtype=np.float64)
    std = x_train.std(axis=others, keepdims=True, dtype=np.float64)
    precision = np.result_type(x_train.dtype, np.float32)
    shift, scale = mean.astype(precision), np.where(std > 0, std, 1.0).astype(precision)
    train, test = ((x - shift) / scale for x in (x_train, x_test))
    return np.ascontiguousarray(train, dtype=np.float32), np.ascontiguousarray(test, dtype=np.float32)


def _digest(*raw: Array) -> str:
    """Of the raw arrays: normalised ones may differ in their last bit from one processor to the next."""
    digest = hashlib.blake2b(digest_size=16)
    for array in raw:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
