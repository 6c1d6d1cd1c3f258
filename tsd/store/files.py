"""Whole files under one root, on a disk or in an object store; a reader sees the old file or the new one, never half.

Names are relative to the root, with `/` between folder and file. What fails is told as a StoreError.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tsd.store.names import is_uri

TEMPORARY = ".tmp-"


@dataclass(frozen=True)
class Entry:
    """A file: its name, its size in bytes, and how long ago it was last written, in seconds."""

    name: str
    size: int
    age_s: float


class Files(Protocol):
    """What the store needs of the place where it lies."""

    @property
    def appends(self) -> bool:
        """Whether `append` is there; an object store has whole files only."""
        ...

    def where(self, name: str = "") -> str:
        """The file, or the root, as a person would name it; never with a password."""
        ...

    def read(self, name: str) -> bytes:
        """The whole file. Raises FileNotFoundError."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Make or replace the whole file at once; it outlasts a power cut once this returns."""
        ...

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file."""
        ...

    def listed(self, folder: str) -> list[Entry]:
        """The files of a folder ("" is the root) by name, temporary ones too; none where it does not exist."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that is gone already is fine."""
        ...

    def move(self, name: str, to: str) -> None:
        """Rename a file within the root. Raises FileNotFoundError."""
        ...

    def prepare(self, folders: tuple[str, ...]) -> None:
        """Make the root and its folders and see that they can be written to."""
        ...

    def arrow(self) -> tuple[Any, str]:
        """The place as a pyarrow file system and the path of the root in it."""
        ...


def open_root(root: str) -> Files:
    """The files under a local path or a URI. Raises StoreError where the URI leads nowhere."""
    if is_uri(root):
        from tsd.store.bucket import Bucket

        return Bucket.of(root)
    from tsd.store.disk import Disk

    return Disk(Path(root))
