"""Where image sets lie on this machine, and how files arrive there whole although many workers ask at once."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
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


def places() -> list[Path]:
    """Where image sets are looked for: $TSD_DATA, where it is set, then the user's cache."""
    named = os.environ.get("TSD_DATA")
    return [Path(named).expanduser(), cache()] if named else [cache()]


def holding(files: Sequence[str]) -> Path | None:
    """The first of `places()` that holds every one of `files`."""
    return next((place for place in places() if all((place / file).is_file() for file in files)), None)


def download_place() -> Path:
    """The first of `places()` that can be written to. Raises UserError where none can.

    A folder without a write bit is a mirror and stays as it is, even for root, whom the bits do not stop.
    """
    for place in places():
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            if place.stat().st_mode & WRITE_BITS and os.access(place, os.W_OK):
                return place
    raise UserError(
        f"No folder for image sets can be written to (tried {_listed(places())}). "
        "Set TSD_DATA to a folder that holds the data set, or to one that can be written to."
    )


def bring(place: Path, name: str, files: Sequence[str], make: Callable[[Path], None]) -> None:
    """See to it that `place` holds `files`: `make` writes them into an empty folder and they are renamed into place.

    One process at a time works on `name`; the others wait and find the files there. A process that is killed
    leaves no half-written file behind.

    Raises:
        UserError: `place` cannot be written to, or its disk is full.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place / f".{name}.lock"):
            if not all((place / file).is_file() for file in files):
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
            f"The archive {archive} is damaged ({error}). Remove it and run again with network to download it, "
            "or replace it by a whole one."
        ) from error


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


def _listed(paths: Sequence[Path]) -> str:
    return " and ".join(map(str, paths))
