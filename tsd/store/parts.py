"""A part: what one pack, or one compaction, adds to the store, and never changes again.

It is `trials/<stem>.parquet` and, where there are curves, `curves/<stem>.parquet`. The curves are written first and
count only beside their trials, so a part is there as a whole or not at all. The stem ends with a hash of the content:
equal rows make the same files, other rows of the same pack make other files, and readers choose trial by trial.

Every file bears a seal: 16 bytes between its pages and its footer, where Parquet readers never look, that hash all
the rest. A file that was cut short or changed in a single bit does not open. `verify` compares a file with its seal a
piece at a time, for those who need not read it; `glance` looks at its size alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from tsd.store import schema
from tsd.store.errors import Damaged, StoreError, told, told_remote
from tsd.store.files import Entry, Files
from tsd.store.names import key

SUFFIX = ".parquet"
ROWS_A_GROUP = 1 << 17
PIECE = 1 << 22
"""Bytes of a file in memory at once while it is verified, or twice as many at its end."""
_DRAWN = {b"tsd.curves": b"beside"}
"""What trials say in their metadata that have curves."""

_SEAL = 16
_TAIL = 8
"""A Parquet file ends with the length of its footer, four bytes, and the letters PAR1."""
_LEAST = 4 + _SEAL + _TAIL
"""Bytes of the letters PAR1 at the beginning, a seal, and the end."""


@dataclass(frozen=True)
class Part:
    """The files of one part; `curves` is None where it has none."""

    stem: str
    trials: Entry
    curves: Entry | None

    @property
    def size(self) -> int:
        """Bytes of both files."""
        return self.trials.size + (self.curves.size if self.curves else 0)


Opener = Callable[[Files, str], pq.ParquetFile]
Verifier = Callable[[Files, Entry], None]


def write(files: Files, name: str, rows: bytes, curves: bytes | None) -> str:
    """Store a part of encoded tables and return its stem, `name` and a hash of the content."""
    stem = f"{key(name)}-{hashlib.blake2b(rows + (curves or b''), digest_size=8).hexdigest()}"
    if curves is not None:
        files.write(_file("curves", stem), curves)
    files.write(_file("trials", stem), rows)
    return stem


def listed(files: Files) -> list[Part]:
    """Every part, the damaged among them, sorted by stem.

    Curves come before their trials and go after them, so who lists the trials first misses no curves.
    """
    stems = {_stem(e.name): e for e in _entries(files, "trials")}
    curves = {e.name: e for e in _entries(files, "curves")}
    return [Part(stem, entry, curves.get(_file("curves", stem))) for stem, entry in sorted(stems.items())]


def strays(files: Files) -> list[Entry]:
    """Curves without their trials: a write that was cut off, or one that is under way."""
    curves = _entries(files, "curves")
    stems = {_stem(e.name) for e in _entries(files, "trials")}
    return [e for e in curves if _stem(e.name) not in stems]


def set_aside(files: Files, part: Part) -> list[str]:
    """Move a part to `damaged/` and say where its files are now. Its trials go first, so it is gone as a whole."""
    moved = []
    for entry in (part.trials, part.curves):
        if entry is None:
            continue
        try:
            files.move(entry.name, f"damaged/{entry.name}")
        except FileNotFoundError:
            continue
        moved.append(f"damaged/{entry.name}")
    return moved


def discard(files: Files, part: Part) -> None:
    """Delete a part whose rows are elsewhere. Its trials go first, so it is gone as a whole."""
    for entry in (part.trials, part.curves):
        if entry is not None:
            files.delete(entry.name)


def encode(tables: Iterable[pa.Table], columns: pa.Schema, *, drawn: bool = False) -> bytes:
    """A sealed Parquet file of `tables`, one row group for every 131,072 rows.

    Args:
        tables: in the schema `columns`.
        columns: schema of the file.
        drawn: whether curves lie beside these trials; the file says so, so that they cannot go unnoticed.
    """
    sink = pa.BufferOutputStream()
    # Arrow's own copy of the schema would double a small file and tells nothing that Parquet does not.
    options = {"compression": "zstd", "write_page_checksum": True, "store_schema": False}
    with pq.ParquetWriter(sink, columns, **options) as writer:
        writer.add_key_value_metadata({**columns.metadata, **(_DRAWN if drawn else {})})
        held: list[pa.Table] = []
        for table in tables:
            held.append(table)
            if sum(t.num_rows for t in held) >= ROWS_A_GROUP:
                writer.write_table(pa.concat_tables(held))
                held = []
        if held:
            writer.write_table(pa.concat_tables(held))
    return _sealed(sink.getvalue().to_pybytes())


def open_sealed(files: Files, name: str) -> pq.ParquetFile:
    """A file, read whole and verified. Raises Damaged, FileNotFoundError and StoreError."""
    source = pa.BufferReader(files.read(name))
    _compare(source, name)
    return _opened(source, files, name)


def open_verified(files: Files, name: str) -> pq.ParquetFile:
    """A file, verified `PIECE` bytes at a time, of which only the footer is kept. Raises as `open_sealed` does."""
    with _reading(files, name):
        source = _source(files, name)
        _compare(source, name)
    return _opened(source, files, name)


def open_footer(files: Files, name: str) -> pq.ParquetFile:
    """A file of which only the footer is read; the storage is trusted with the rest. Raises as `open_sealed` does."""
    with _reading(files, name):
        source = _source(files, name)
    return _opened(source, files, name)


def see_curves(part: Part, trials: pq.ParquetFile) -> None:
    """Raises Damaged where the trials of a part say that they have curves, and there are none."""
    if part.curves is None and _DRAWN.items() <= (trials.metadata.metadata or {}).items():
        raise Damaged(part.trials.name, "its curves are gone")


def verify(files: Files, entry: Entry) -> None:
    """See that a file is what was stored, `PIECE` bytes at a time. Raises Damaged, FileNotFoundError and StoreError."""
    with _reading(files, entry.name), _source(files, entry.name) as source:
        _compare(source, entry.name)


def glance(files: Files, entry: Entry) -> None:
    """See that a file may be what was stored, without opening it. Raises Damaged where it has no room for a seal."""
    if entry.size < _LEAST:
        raise Damaged(entry.name, "it is cut short")


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
    version = schema.version_of(file.schema_arrow)
    if version is None:
        raise Damaged(name, "it was not written by tsd")
    if version > schema.SCHEMA_VERSION:
        raise StoreError(
            f"{files.where(name)} was written by a newer tsd (schema version {version}; this one reads up to "
            f"{schema.SCHEMA_VERSION}). Nothing was touched. Update tsd here, or use another --results."
        )
    return file


def _sealed(data: bytes) -> bytes:
    at = _footer(len(data), data[-_TAIL:])
    return data[:at] + hashlib.blake2b(data, digest_size=_SEAL).digest() + data[at:]


def _compare(source: pa.NativeFile, name: str) -> None:
    """Raises Damaged where the seal is not the hash of everything but itself.

    No read is small: where an object store refuses a request, the refusal must fit into what it was to fill, or pyarrow
    gives up in the place of asking again.
    """
    size = source.size()
    last = max(0, min(size - _TAIL, (size // PIECE - 1) * PIECE))
    tail = _read(source, last, size - last)
    at = _footer(size, bytes(tail[-_TAIL:]))
    digest, seal = hashlib.blake2b(digest_size=_SEAL), b""
    for start in (*range(0, last, PIECE), last):
        piece = tail if start == last else _read(source, start, min(PIECE, last - start))
        begin, end = (min(max(0, edge - start), len(piece)) for edge in (at - _SEAL, at))
        digest.update(piece[:begin])
        seal += piece[begin:end]
        digest.update(piece[end:])
    if digest.digest() != seal:
        raise Damaged(name, "its content does not match its seal")


def _read(source: pa.NativeFile, start: int, count: int) -> memoryview:
    source.seek(start)
    return memoryview(source.read_buffer(count))


def _footer(size: int, tail: bytes) -> int:
    """Where the footer of a file of `size` bytes begins, by its last eight; below zero where these are nonsense."""
    return size - _TAIL - int.from_bytes(tail[:4], "little")


def _entries(files: Files, folder: str) -> list[Entry]:
    """The Parquet files of a folder; temporary ones begin with a dot."""
    return [e for e in files.listed(folder) if e.name.endswith(SUFFIX) and not e.name.startswith(f"{folder}/.")]


def _file(folder: str, stem: str) -> str:
    return f"{folder}/{stem}{SUFFIX}"


def _stem(name: str) -> str:
    return name.partition("/")[2].removesuffix(SUFFIX)
