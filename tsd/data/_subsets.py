"""Few-sample training sets: balanced, deterministic, and nested in one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsd.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


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
