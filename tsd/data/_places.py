"""Where image sets lie on this machine, and how files arrive there whole although many workers ask at once."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tsd.errors import UserError

WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def cache() -> Path:
    """The user's own folder for image sets: $XDG_CACHE_HOME/tsd/data, or ~/.cache/tsd/data."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tsd" / "data"


def home() -> Path:
    """The one folder in which image sets are looked for: $TSD_DATA where it is set, else the user's cache."""
    named = os.environ.get("TSD_DATA")
    return Path(named).expanduser() if named else cache()


def holds(place: Path, files: Sequence[str]) -> bool:
    """Whether every one of `files` lies in `place`."""
    return all(os.path.isfile(place / file) for file in files)  # noqa: PTH113 (Path.is_file raises where it may not look)


def writable(place: Path, files: Sequence[str]) -> bool:
    """Whether `files` can be written to `place`, whose folders may not exist yet.

    A folder without a write bit is a mirror and stays as it is, even for root, whom the bits do not stop.
    """
    return all(_open(folder) for folder in {place, *((place / file).parent for file in files)})


def unpacked(place: Path, archives: Sequence[str]) -> Path:
    """The folder of the user's cache for what `archives` of a read-only `place` hold.

    It has another name as soon as one of them is another file, so that what a replaced or truncated archive once held
    is not taken for what it holds.
    """
    digest = hashlib.blake2b(digest_size=8)
    for archive in archives:
        facts = (place / archive).stat()
        digest.update(f"{place.absolute() / archive}|{facts.st_size}|{facts.st_mtime_ns}\n".encode())
    return cache() / f"unpacked-{digest.hexdigest()}"


def bring(place: Path, name: str, files: Sequence[str], make: Callable[[Path], None]) -> None:
    """See to it that `place` holds `files`: `make` writes them into an empty folder and they are renamed into place.

    One process at a time works on `name`; the others wait and find the files there. A process that is killed
    leaves no half-written file behind.

    Raises:
        UserError: `place` cannot be written to, or its disk is full.
    """
    if holds(place, files):
        return
    try:
        if not writable(place, files):
            raise PermissionError("the folder is read-only")
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place / f".{name}.lock"):
            if not holds(place, files):
                _bring(place, name, files, make)
    except OSError as error:
        raise UserError(
            f"{name} could not be written to {place} ({error}). Make room there, or set TSD_DATA to a folder that "
            "holds it unpacked, or XDG_CACHE_HOME to a folder that can be written to."
        ) from error


def unpack(archive: Path, target: Path) -> None:
    """Unpack a `.tar.gz` into the folder of `target`, or a `.gz` to `target` less its ending.

    Raises:
        UserError: the archive is damaged.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if archive.name.endswith(".tar.gz"):
            with tarfile.open(archive) as tar:
                tar.extractall(target.parent, filter="data")
        else:
            with gzip.open(archive) as packed, target.with_suffix("").open("wb") as file:
                shutil.copyfileobj(packed, file)
    except (gzip.BadGzipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(
            f"The archive {archive} is damaged ({error}). Replace it by a whole one, or remove it and run again with "
            "network to download it."
        ) from error


def _open(folder: Path) -> bool:
    """Whether `folder`, or the nearest one above it that exists, takes new files."""
    folder = folder.absolute()
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder.is_dir() and bool(folder.stat().st_mode & WRITE_BITS) and os.access(folder, os.W_OK)


def _bring(place: Path, name: str, files: Sequence[str], make: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{name}.") as folder:
        make(Path(folder))
        for file in files:
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / file).replace(place / file)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
