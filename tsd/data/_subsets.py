"""Parts of a training set: few balanced samples of it, and samples that are held out for validation."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsd.data._base import Images
from tsd.engine.rng import Streams
from tsd.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor


def balanced_subset(y: ArrayLike, per_class: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Indices of `per_class` samples of every class, ascending.

    Equal generators give equal subsets, and a smaller subset lies inside a larger one: a curve over the number of
    samples adds samples and never exchanges them.

    Args:
        y: labels 0 … C − 1, shape (sample,).
        per_class: samples of each class, ≥ 0.
    Raises:
        UserError: a class has fewer samples, or none.
    """
    labels = np.asarray(y)
    members = [np.flatnonzero(labels == c) for c in range(int(labels.max(initial=-1)) + 1)]
    short = {c: len(m) for c, m in enumerate(members) if len(m) < per_class}
    if short:
        c, found = min(short.items(), key=lambda item: item[1])
        raise UserError(
            f"{per_class} samples of each class were asked for, but class {c} has {found}. "
            f"Ask for {min(len(m) for m in members)} or fewer, or use a larger data set."
        )
    chosen = [generator.permutation(m)[:per_class] for m in members]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)


def digest(numbers: Tensor) -> str:
    """Sixteen hexadecimal digits by which a subset is known, of the `numbers` of its samples, shape (sample,)."""
    return hashlib.blake2b(numbers.cpu().numpy().astype("<i8").tobytes(), digest_size=8).hexdigest()


@lru_cache(maxsize=2)
def hold_out(images: Images, per_class: int) -> tuple[Images, Tensor, Tensor]:
    """The data set without `per_class` training samples of every class; and inputs and labels of those.

    The same samples are held out whatever the seeds of a trial; asked again, the same tensors come back.

    Raises:
        UserError: a class has fewer samples.
    """
    if per_class == 0:
        return images, images.x_train[:0], images.y_train[:0]
    out = balanced_subset(images.y_train, per_class, Streams({}).generator("data", "validation"))
    left = np.setdiff1d(np.arange(len(images.y_train)), out)
    rest = replace(images, x_train=images.x_train[left], y_train=images.y_train[left])
    return rest, images.x_train[out], images.y_train[out]
