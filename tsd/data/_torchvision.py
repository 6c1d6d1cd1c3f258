"""Image sets that torchvision knows: found on disk, unpacked from archives, or downloaded.

They are looked for, unpacked and downloaded in $TSD_DATA where it is set, else in the user's cache ($XDG_CACHE_HOME or
~/.cache, folder tsd/data). A $TSD_DATA that cannot be written to is a mirror: its archives are unpacked into the cache.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import struct
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tsd.data._base import Images, images
from tsd.data._operators import datasets
from tsd.data._places import bring, holds, home, unpack, unpacked, writable
from tsd.errors import UserError


@dataclass(frozen=True)
class Source:
    """One image set on disk.

    Args:
        name: of the data set, as users write it.
        title: name of torchvision's class.
        files: what torchvision reads, relative to the root.
        archives: what is published, relative to the root.
    """

    name: str
    title: str
    files: tuple[str, ...]
    archives: tuple[str, ...]


def idx(name: str, title: str) -> Source:
    """The four files of MNIST and its kin."""
    parts = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    files = tuple(f"{title}/raw/{part}" for part in parts)
    return Source(name, title, files, tuple(f"{file}.gz" for file in files))


def load(source: Source) -> Images:
    """The image set, normalised.

    Raises:
        UserError: it is neither on disk nor can be downloaded, or a file is damaged.
    """
    return _load(source, home())


@lru_cache(maxsize=2)
def _load(source: Source, place: Path) -> Images:
    root = find(source, place)
    arrays: list[np.ndarray] = []
    for train in (True, False):
        try:
            part = getattr(datasets(), source.title)(root, train=train)
        except (OSError, RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise _damaged(source, root) from error
        x = np.asarray(part.data)
        arrays += [x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2), np.asarray(part.targets)]
    return images(f"{source.title} in {root}", *arrays)


def find(source: Source, place: Path) -> Path:
    """The folder from which torchvision can read the set that `place` holds, after unpacking or downloading it there.

    Raises:
        UserError: `place` does not hold it and it cannot be downloaded, or an archive is damaged.
    """
    if holds(place, source.files):
        return place
    free = writable(place, source.files)
    if holds(place, source.archives):
        root = place if free else unpacked(place, source.archives)
        bring(root, source.title, source.files, lambda folder: _unpack(source, place, folder))
        return root
    if not free:
        raise _absent(source, place, "that folder is read-only, so nothing is downloaded to it")
    bring(place, source.title, source.files, lambda folder: _download(source, place, folder))
    return place


def _unpack(source: Source, place: Path, folder: Path) -> None:
    for archive in source.archives:
        unpack(place / archive, folder / archive)


def _download(source: Source, place: Path, folder: Path) -> None:
    """Through torchvision, with its progress bar where somebody watches."""
    silent = contextlib.nullcontext() if sys.stderr.isatty() else contextlib.redirect_stderr(io.StringIO())
    try:
        with silent:
            getattr(datasets(), source.title)(folder, download=True)
    except (OSError, RuntimeError) as error:
        raise _absent(source, place, f"it could not be downloaded: {_in_words(error)}") from error


def _absent(source: Source, place: Path, why: str) -> UserError:
    return UserError(
        f"{source.title} is not in {place}, and {why}. Looked there for {source.files[0]} and the other files, and for "
        f"{source.archives[0]}. Set TSD_DATA to a folder that holds them; or, with network and TSD_DATA unset or a "
        f"folder that can be written to, run once `python -m tsd.data fetch {source.name}`. "
        "The data set `digits` needs no download."
    )


def _in_words(error: Exception) -> str:
    """The last line of an error, without the wrapping of urllib and the system's numbers."""
    lines = str(error).strip().splitlines()
    last = re.sub(r"\[Errno -?\d+\] ", "", lines[-1] if lines else type(error).__name__)
    return re.sub(r"<urlopen error (.*)>", r"no network to where it is published (\1)", last)


def _damaged(source: Source, root: Path) -> UserError:
    bad = [file for file in source.files if not _whole(source, root / file)] or source.files
    return UserError(
        f"{source.title} cannot be read: {', '.join(str(root / file) for file in bad)} is cut short, not what was "
        "published, or not yours to read. Replace it by a whole one, or remove it and run again, with network where it "
        "has to be downloaded."
    )


def _whole(source: Source, path: Path) -> bool:
    """CIFAR's batches have published md5s; an idx file tells its own length: magic (0, 0, type, axes), sizes, bytes."""
    if not os.access(path, os.R_OK):
        return False
    kind = getattr(datasets(), source.title)
    if hasattr(kind, "train_list"):
        sums = dict([*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])])
        return bool(datasets().utils.check_integrity(path, sums[path.name]))
    head = path.read_bytes()[:16]
    axes = head[3] if len(head) == 16 else 0
    return axes in (1, 3) and path.stat().st_size == 4 + 4 * axes + math.prod(
        struct.unpack(f">{axes}I", head[4 : 4 + 4 * axes])
    )
