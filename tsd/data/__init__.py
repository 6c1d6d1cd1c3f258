"""Where inputs and labels come from: one file = one data set, and any `.npz` file by its path.

    images = load("fashion_mnist")
    images = load("mine/shells.npz")

Sets that are read are kept in memory, so every trial of a process holds the same tensors.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from tsd.data import _npz
from tsd.data._augment import AUGMENTATIONS, augment, check_augmentation
from tsd.data._base import Drawn, Images
from tsd.data._subsets import balanced_subset, digest, hold_out
from tsd.errors import UserError
from tsd.families import Family

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "Drawn",
    "Images",
    "augment",
    "balanced_subset",
    "check",
    "check_augmentation",
    "digest",
    "hold_out",
    "load",
    "names",
]

DATASETS = Family("tsd.data", "data set")
DEFAULT = Drawn()


def names() -> list[str]:
    """Every data set that has a name; a path that ends in `.npz` is a data set too."""
    return DATASETS.names()


def check(dataset: str) -> None:
    """Say early, and without torch, that a data set cannot be meant.

    Raises:
        UserError: no data set has this name, or the `.npz` file does not exist.
    """
    if dataset.endswith(".npz"):
        if not Path(dataset).expanduser().is_file():
            raise UserError(
                f"The data file {dataset} does not exist (looked in {Path.cwd()}). "
                f"Give its path from there or a full path: {_npz.EXPECTED}."
            )
    elif dataset not in names():
        near = difflib.get_close_matches(dataset, names(), n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise UserError(
            f"There is no data set `{dataset}`; there are {', '.join(f'`{n}`' for n in names())}, "
            f"and the path of an .npz file.{hint}"
        )


def load(dataset: str, drawn: Drawn = DEFAULT) -> Images:
    """The data set called `dataset`, normalised: every channel has mean 0 and variance 1 over the training set.

    Args:
        dataset: a name of `names()` or the path of an `.npz` file.
        drawn: sizes and seeds of a set that is drawn (`gaussian`); sets that are read do not look at it.
    Raises:
        UserError: the set is unknown, cannot be found or downloaded, or is damaged.
    """
    check(dataset)
    if dataset.endswith(".npz"):
        return _npz.load(Path(dataset).expanduser())
    return DATASETS.load(dataset).load(drawn)
