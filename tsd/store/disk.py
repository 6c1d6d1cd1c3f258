"""Files on a local or a network disk.

A file is written under a temporary name in its own folder, synced, and renamed; then the folder is synced.
"""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsd.store.errors import told
from tsd.store.files import TEMPORARY, Entry
from tsd.store.names import below, relative


@dataclass(frozen=True)
class Disk:
    """Files below the folder `root`; see `tsd.store.files.Files`."""

    root: Path
    appends = True

    def where(self, name: str = "") -> str:
        return str(self.root / name)

    def read(self, name: str) -> bytes:
        with self._told("read", name, missing=True):
            return self._path(name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        temporary = path.with_name(TEMPORARY + uuid.uuid4().hex)
        with self._told("write", name):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write(temporary, data, os.O_CREAT | os.O_EXCL, sync=True)
                temporary.replace(path)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise
            _sync(path.parent)

    def append(self, name: str, data: bytes) -> None:
        path = self._path(name)
        with self._told("write", name):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, data, os.O_CREAT | os.O_APPEND, sync=False)

    def listed(self, folder: str) -> list[Entry]:
        now, found = time.time(), []
        with self._told("read", folder), suppress(FileNotFoundError), os.scandir(self._path(folder)) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_file():
                        stat = entry.stat()
                        found.append(Entry(below(folder, entry.name), stat.st_size, now - stat.st_mtime))
        return sorted(found, key=lambda e: e.name)

    def delete(self, name: str) -> None:
        with self._told("delete", name):
            self._path(name).unlink(missing_ok=True)

    def move(self, name: str, to: str) -> None:
        source, target = self._path(name), self._path(to)
        with self._told("move", name, missing=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
            _sync(target.parent)
            _sync(source.parent)

    def prepare(self, folders: tuple[str, ...]) -> None:
        for path in (self.root, *(self.root / folder for folder in folders)):
            with self._told("write to", str(path)):
                path.mkdir(parents=True, exist_ok=True)
                if not os.access(path, os.W_OK | os.X_OK):
                    raise OSError(errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES, "no access")

    def arrow(self) -> tuple[Any, str]:
        from pyarrow import fs

        return fs.LocalFileSystem(), str(self.root)

    def _path(self, name: str) -> Path:
        return self.root / relative(name) if name else self.root

    @contextmanager
    def _told(self, action: str, name: str, *, missing: bool = False) -> Iterator[None]:
        """An OSError becomes a StoreError; a missing file stays one where `missing`."""
        try:
            yield
        except OSError as error:
            if missing and isinstance(error, FileNotFoundError):
                raise
            raise told(error, action, self.where(name)) from error


def _write(path: Path, data: bytes, flags: int, *, sync: bool) -> None:
    handle = os.open(path, os.O_WRONLY | flags, 0o666)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        if sync:
            os.fsync(handle)
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    """Make a rename in `folder` last; some network disks cannot, and need not."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
