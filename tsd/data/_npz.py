"""Your own data: a NumPy `.npz` file with x_train, y_train, x_test and y_test.

Images may come as (sample, height, width), channels last or channels first; vectors as (sample, feature). What a file
holds is part of a trial only through its path: give a changed file a new name.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tsd.data._base import Images, images
from tsd.errors import UserError

if TYPE_CHECKING:
    from tsd.data._base import Array

KEYS = ("x_train", "y_train", "x_test", "y_test")
EXPECTED = "a NumPy .npz file with the arrays x_train, y_train, x_test and y_test"


def load(path: Path) -> Images:
    """The data set in `path`; read again only when the file has changed.

    Raises:
        UserError: the file is damaged, an array is missing, or its content is no classification data.
    """
    return _load(path.resolve(), path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, _mtime: int) -> Images:
    x_train, y_train, x_test, y_test = _read(path)
    return images(str(path), _channels_first(x_train), _flat(y_train), _channels_first(x_test), _flat(y_test))


def _read(path: Path) -> list[Array]:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            missing = [key for key in KEYS if key not in file.files]
            if missing:
                raise UserError(
                    f"{path} has no {' and no '.join(missing)}; it has {', '.join(file.files) or 'nothing'}. "
                    f"Expected {EXPECTED}."
                )
            return [file[key] for key in KEYS]
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        # Of what it takes for a pickle, NumPy says how to load it all the same.
        reason = "it is no NumPy file" if "unsafely" in str(error) else str(error).rstrip(".")
        raise UserError(
            f"{path} cannot be read: {reason}. It may be cut short, or hold Python objects, which are never loaded. "
            f"Write it again: {EXPECTED}."
        ) from error


def _channels_first(x: Array) -> Array:
    """Images get their channel axis and have it first; whatever else comes is judged by `images`."""
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        return x.transpose(0, 3, 1, 2)
    return x


def _flat(y: Array) -> Array:
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
