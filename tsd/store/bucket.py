"""Files in an object store, or in anything else that pyarrow opens by URI.

A file in an object store is one PUT, which is atomic there; elsewhere (hdfs) it is written beside its place and
renamed.
"""

from __future__ import annotations

import errno
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pyarrow import ArrowException, fs

from tsd.store.errors import StoreError, told_remote
from tsd.store.files import TEMPORARY, Entry
from tsd.store.names import below, relative, shown

_OBJECT_STORES = ("s3", "gcs", "abfs")
_DELAYED = "allow_delayed_open"


@dataclass(frozen=True)
class Bucket:
    """Files below `base` of a pyarrow file system; see `tsd.store.files.Files`.

    Args:
        system: the pyarrow file system.
        base: path of the root in it.
        name: the root as a person would name it.
        puts: whether a file appears whole, in one PUT.
    """

    system: Any
    base: str
    name: str
    puts: bool
    appends = False

    @classmethod
    def of(cls, uri: str) -> Bucket:
        """Open `uri`. Raises StoreError where that names nothing that can be opened."""
        try:
            system, base = fs.FileSystem.from_uri(_in_one_put(uri))
        except (ArrowException, OSError, ValueError) as error:
            raise told_remote(error, "open", shown(uri)) from None
        if not base.strip("/"):
            raise StoreError(
                f"{shown(uri)} names no bucket. Write `scheme://bucket/folder`, such as s3://my-bucket/results."
            )
        return cls(system, base.rstrip("/"), shown(uri), system.type_name in _OBJECT_STORES)

    def where(self, name: str = "") -> str:
        return f"{self.name}/{name}".rstrip("/")

    def read(self, name: str) -> bytes:
        path = self._path(name)
        with self._told("read", name, missing=True), self.system.open_input_stream(path, compression=None) as stream:
            return bytes(stream.read())

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        with self._told("write", name):
            if self.puts:
                self._put(path, data)
                return
            folder = path.rpartition("/")[0]
            temporary = f"{folder}/{TEMPORARY}{uuid.uuid4().hex}"
            self.system.create_dir(folder, recursive=True)
            self._put(temporary, data)
            self.system.move(temporary, path)

    def append(self, name: str, data: bytes) -> None:
        raise NotImplementedError("an object store has whole files only")

    def listed(self, folder: str) -> list[Entry]:
        now = time.time()
        with self._told("read", folder):
            infos = self.system.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))
        files = [info for info in infos if info.type == fs.FileType.File]
        found = [Entry(below(folder, info.base_name), info.size, now - info.mtime_ns / 1e9) for info in files]
        return sorted(found, key=lambda e: e.name)

    def delete(self, name: str) -> None:
        with self._told("delete", name), suppress(FileNotFoundError):
            self.system.delete_file(self._path(name))

    def move(self, name: str, to: str) -> None:
        source, target = self._path(name), self._path(to)
        with self._told("move", name, missing=True):
            if self.system.get_file_info(source).type == fs.FileType.NotFound:
                raise FileNotFoundError(errno.ENOENT, "no such file", source)
            if not self.puts:
                self.system.create_dir(target.rpartition("/")[0], recursive=True)
            self.system.move(source, target)

    def prepare(self, folders: tuple[str, ...]) -> None:
        """Nothing to make: there are no folders, and the first file shows whether one can be written."""

    def arrow(self) -> tuple[Any, str]:
        return self.system, self.base

    def _put(self, path: str, data: bytes) -> None:
        with self.system.open_output_stream(path, compression=None) as stream:
            stream.write(data)

    def _path(self, name: str) -> str:
        return f"{self.base}/{relative(name)}" if name else self.base

    @contextmanager
    def _told(self, action: str, name: str, *, missing: bool = False) -> Iterator[None]:
        """What the storage raises becomes a StoreError; a missing file stays one where `missing`."""
        try:
            yield
        except (OSError, ArrowException) as error:
            if missing and isinstance(error, FileNotFoundError):
                raise
            raise told_remote(error, action, self.where(name)) from error


def _in_one_put(uri: str) -> str:
    """On S3 pyarrow begins a multipart upload for the smallest file unless told to see first how much there is."""
    parts = urlsplit(uri)
    if parts.scheme.lower() != "s3" or _DELAYED in parts.query:
        return uri
    return urlunsplit(parts._replace(query=f"{parts.query}&{_DELAYED}=true".lstrip("&")))
