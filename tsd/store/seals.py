"""Seals: 16 bytes in a Parquet file, between its pages and its footer where readers never look, that hash all the rest.

A file that was cut short or changed in a single bit no longer fits its seal. Seals tell accidents from what was
stored, not friend from foe: who can write a file can seal it. They are XXH3 hashes, at the speed of memory; files that
were sealed before that bear blake2b ones and are read as ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

import xxhash

from tsd.store.errors import Damaged

if TYPE_CHECKING:
    import pyarrow as pa

PIECE = 1 << 22
"""Bytes of a file in memory at once while it is compared, or twice as many at its end."""
_SIZE = 16
_TAIL = 8
"""A Parquet file ends with the length of its footer, four bytes, and the letters PAR1."""
LEAST = 4 + _SIZE + _TAIL
"""Bytes of the letters PAR1 at the beginning, a seal, and the end."""


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


_Hash = Callable[[], _Digest]
_EARLIER: _Hash = partial(hashlib.blake2b, digest_size=_SIZE)


def sealed(data: bytes) -> bytes:
    """A Parquet file with its seal."""
    at = _footer(len(data), data[-_TAIL:])
    return data[:at] + xxhash.xxh3_128_digest(data) + data[at:]


def seal_of(data: bytes) -> bytes:
    """The seal that `sealed` gave, uncompared."""
    at = _footer(len(data), data[-_TAIL:])
    return data[at - _SIZE : at]


def compared(source: pa.NativeFile, name: str) -> bytes:
    """The seal of a file. Raises Damaged where it is not the hash of everything but itself."""
    for kind in (xxhash.xxh3_128, _EARLIER):
        digest, seal = _hashed(source, kind)
        if digest == seal:
            return seal
    raise Damaged(name, "its content does not match its seal")


def _hashed(source: pa.NativeFile, kind: _Hash) -> tuple[bytes, bytes]:
    """The hash of everything but the seal, and the seal.

    No read is small: where an object store refuses a request, the refusal must fit into what it was to fill, or pyarrow
    gives up in the place of asking again.
    """
    size = source.size()
    last = max(0, min(size - _TAIL, (size // PIECE - 1) * PIECE))
    tail = _read(source, last, size - last)
    at = _footer(size, bytes(tail[-_TAIL:]))
    digest, seal = kind(), b""
    for start in (*range(0, last, PIECE), last):
        piece = tail if start == last else _read(source, start, min(PIECE, last - start))
        begin, end = (min(max(0, edge - start), len(piece)) for edge in (at - _SIZE, at))
        digest.update(piece[:begin])
        seal += piece[begin:end]
        digest.update(piece[end:])
    return digest.digest(), seal


def _read(source: pa.NativeFile, start: int, count: int) -> memoryview:
    source.seek(start)
    return memoryview(source.read_buffer(count))


def _footer(size: int, tail: bytes) -> int:
    """Where the footer of a file of `size` bytes begins, by its last eight; below zero where these are nonsense."""
    return size - _TAIL - int.from_bytes(tail[:4], "little")
