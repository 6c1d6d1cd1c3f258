"""A part: what one pack, or one compaction, adds to the store, and never changes again.

It is `trials/<stem>.parquet` and, where there are curves, `curves/<stem>.parquet`. The curves are written first and
count only beside their trials, so a part is there as a whole or not at all. The stem ends with a hash of the content:
equal rows make the same files, other rows of the same pack make other files, and readers choose trial by trial. A part
that a compaction made has a manifest too, see `tsd.store.manifests`.

Every file bears a seal, see `tsd.store.seals`: one that was cut short or changed in a single bit does not open.
`verify` compares a file with its seal a piece at a time, for those who need not read it; `glance` looks at its size
alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from tsd.store import schema, seals
from tsd.store.encoding import DRAWN
from tsd.store.errors import Damaged, StoreError, told, told_remote
from tsd.store.files import Entry, Files
from tsd.store.names import key

_SUFFIXES = {"trials": ".parquet", "curves": ".parquet", "manifests": ".json"}


@dataclass(frozen=True)
class Part:
    """The files of one part; `curves` and `manifest` are None where it has none."""

    stem: str
    trials: Entry
    curves: Entry | None
    manifest: Entry | None = None

    @property
    def size(self) -> int:
        """Bytes of trials and curves."""
        return self.trials.size + (self.curves.size if self.curves else 0)


Opener = Callable[[Files, str], pq.ParquetFile]
Verifier = Callable[[Files, Part], object]


def stem_of(name: str, *contents: bytes) -> str:
    """`name` and a hash of the content."""
    digest = hashlib.blake2b(digest_size=8)
    for content in contents:
        digest.update(content)
    return f"{key(name)}-{digest.hexdigest()}"


def write(files: Files, stem: str, rows: bytes, curves: bytes | None) -> Part:
    """Store a part of encoded tables."""
    drawn = None
    if curves is not None:
        drawn = Entry(file_of("curves", stem), len(curves), 0.0)
        files.write(drawn.name, curves)
    trials = Entry(file_of("trials", stem), len(rows), 0.0)
    files.write(trials.name, rows)
    return Part(stem, trials, drawn)


def listed(files: Files) -> list[Part]:
    """Every part, the damaged among them, sorted by stem.

    Curves come before their trials and go after them, so who lists the trials first misses no curves.
    """
    trials, curves, manifests = (stems(files, folder) for folder in _SUFFIXES)
    return [Part(stem, trials[stem], curves.get(stem), manifests.get(stem)) for stem in sorted(trials)]


def strays(files: Files) -> list[Entry]:
    """Curves without their trials: a write that was cut off, or one that is under way."""
    curves, trials = stems(files, "curves"), stems(files, "trials")
    return [entry for stem, entry in curves.items() if stem not in trials]


def stems(files: Files, folder: str) -> dict[str, Entry]:
    """The files in trials/, curves/ or manifests/ by the stem of their part; temporary ones begin with a dot."""
    suffix, start = _SUFFIXES[folder], len(folder) + 1
    names = ((entry.name[start:], entry) for entry in files.listed(folder))
    return {n.removesuffix(suffix): entry for n, entry in names if n.endswith(suffix) and not n.startswith(".")}


def file_of(folder: str, stem: str) -> str:
    """The name of a part's file in trials/, curves/ or manifests/."""
    return f"{folder}/{stem}{_SUFFIXES[folder]}"


def set_aside(files: Files, part: Part) -> list[str]:
    """Move a part to `damaged/` and say where its files are now. Its trials go before its curves, so it is gone as a
    whole, and its manifest before them, so that nobody misses the part."""
    return [name for entry in (part.manifest, part.trials, part.curves) if entry for name in aside(files, entry.name)]


def aside(files: Files, name: str) -> list[str]:
    """Move a file to `damaged/` and say where it is now; nothing where it is gone."""
    try:
        files.move(name, f"damaged/{name}")
    except FileNotFoundError:
        return []
    return [f"damaged/{name}"]


def discard(files: Files, part: Part) -> None:
    """Delete a part whose rows are elsewhere, in the order of `set_aside`."""
    for entry in (part.manifest, part.trials, part.curves):
        if entry is not None:
            files.delete(entry.name)


def open_sealed(files: Files, name: str) -> pq.ParquetFile:
    """A file, read whole and verified. Raises Damaged, FileNotFoundError and StoreError."""
    source = pa.BufferReader(files.read(name))
    seals.compared(source, name)
    return _opened(source, files, name)


def open_verified(files: Files, name: str) -> pq.ParquetFile:
    """A file, verified a piece at a time, of which only the footer is kept. Raises as `open_sealed` does."""
    with _reading(files, name):
        source = _source(files, name)
        seals.compared(source, name)
    return _opened(source, files, name)


def open_footer(files: Files, name: str) -> pq.ParquetFile:
    """A file of which only the footer is read; the storage is trusted with the rest. Raises as `open_sealed` does."""
    with _reading(files, name):
        source = _source(files, name)
    return _opened(source, files, name)


def see_curves(part: Part, trials: pq.ParquetFile) -> None:
    """Raises Damaged where the trials of a part say that they have curves, and there are none."""
    if part.curves is None and DRAWN.items() <= (trials.metadata.metadata or {}).items():
        raise Damaged(part.trials.name, "its curves are gone")


def verify(files: Files, name: str) -> str:
    """See that a file is what was stored, a piece at a time, and return its seal in hexadecimal. Raises Damaged,
    FileNotFoundError and StoreError."""
    with _reading(files, name), _source(files, name) as source:
        return seals.compared(source, name).hex()


def verify_curves(files: Files, part: Part) -> None:
    """`verify` the curves of a part."""
    if part.curves:
        verify(files, part.curves.name)


def trust(files: Files, part: Part) -> None:
    """Take the curves of a part for sound, unseen."""


def glance(files: Files, part: Part) -> None:
    """See that curves may be what was stored, without opening them. Raises Damaged where they are too short."""
    if part.curves and part.curves.size < seals.LEAST:
        raise Damaged(part.curves.name, "it is cut short")


def _source(files: Files, name: str) -> pa.NativeFile:
    system, base = files.arrow()
    return system.open_input_file(f"{base}/{name}")


@contextmanager
def _reading(files: Files, name: str) -> Iterator[None]:
    """What the storage raises becomes a StoreError; a missing file stays one."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        tell = told if error.errno else told_remote
        raise tell(error, "read", files.where(name)) from error


def _opened(source: pa.NativeFile, files: Files, name: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(source, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise Damaged(name, f"it is no complete Parquet file ({error})") from error
    version = schema.version_in(file.metadata.metadata)
    if version is None:
        raise Damaged(name, "it was not written by tsd")
    if version > schema.SCHEMA_VERSION:
        raise StoreError(
            f"{files.where(name)} was written by a newer tsd (schema version {version}; this one reads up to "
            f"{schema.SCHEMA_VERSION}). Nothing was touched. Update tsd here, or use another --results."
        )
    return file
