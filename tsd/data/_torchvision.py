"""Image sets that torchvision knows: found on disk, unpacked from archives, or downloaded.

They are looked for in $TSD_DATA and in the user's cache ($XDG_CACHE_HOME or ~/.cache, folder tsd/data). Where only the
archives lie, on a read-only mirror say, they are unpacked into the cache.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tsd.data._base import Images, images
from tsd.data._operators import datasets
from tsd.data._places import bring, cache, download_place, holding, places, unpack
from tsd.errors import UserError


@dataclass(frozen=True)
class Source:
    """One image set on disk.

    Args:
        title: name of torchvision's class.
        files: what torchvision reads, relative to the root.
        archives: what is published, relative to the root.
    """

    title: str
    files: tuple[str, ...]
    archives: tuple[str, ...]


def idx(title: str) -> Source:
    """The four files of MNIST and its kin."""
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    files = tuple(f"{title}/raw/{name}" for name in names)
    return Source(title, files, tuple(f"{file}.gz" for file in files))


@lru_cache(maxsize=2)
def load(source: Source) -> Images:
    """The image set, normalised.

    Raises:
        UserError: it is neither on disk nor can be downloaded, or a file is damaged.
    """
    root = find(source)
    arrays: list[np.ndarray] = []
    for train in (True, False):
        try:
            part = getattr(datasets(), source.title)(root, train=train)
        except (OSError, RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise _damaged(source, root) from error
        x = np.asarray(part.data)
        arrays += [x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2), np.asarray(part.targets)]
    return images(source.title, *arrays)


def find(source: Source) -> Path:
    """The folder from which torchvision can read the set, after unpacking or downloading where that is needed."""
    if root := holding(source.files):
        return root
    if mirror := holding(source.archives):

        def unpack_all(folder: Path) -> None:
            for archive in source.archives:
                unpack(mirror / archive, folder / archive)

        bring(cache(), source.title, source.files, unpack_all)
        return cache()
    root = download_place()
    bring(root, source.title, source.files, lambda folder: _download(source, folder))
    return root


def _download(source: Source, folder: Path) -> None:
    """Through torchvision, with its progress bar where somebody watches."""
    silent = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with silent:
            getattr(datasets(), source.title)(folder, download=True)
    except (OSError, RuntimeError) as error:
        looked = " and ".join(map(str, places()))
        raise UserError(
            f"{source.title} is not on this machine and could not be downloaded ({_last_line(error)}). "
            f"Looked for {source.files[0]} and the other files, and for {source.archives[0]}, in {looked}. "
            "Set TSD_DATA to a folder that holds them, or run once with network: "
            "`python -m tsd.data fetch NAME`. The data set `digits` needs no download."
        ) from error


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _damaged(source: Source, root: Path) -> UserError:
    bad = [file for file in source.files if not _whole(source, root / file)] or source.files
    return UserError(
        f"{source.title} cannot be read: {', '.join(str(root / file) for file in bad)} is cut short or is not what was "
        "published. Remove it and run again with network to download it, or replace it by a whole one."
    )


def _whole(source: Source, path: Path) -> bool:
    """CIFAR's batches have published md5s; an idx file tells its own length: magic (0, 0, type, axes), sizes, bytes."""
    kind = getattr(datasets(), source.title)
    if hasattr(kind, "train_list"):
        sums = dict([*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])])
        return bool(datasets().utils.check_integrity(path, sums[path.name]))
    head = path.read_bytes()[:16]
    axes = head[3] if len(head) == 16 else 0
    return axes in (1, 3) and path.stat().st_size == 4 + 4 * axes + math.prod(
        struct.unpack(f">{axes}I", head[4 : 4 + 4 * axes])
    )
