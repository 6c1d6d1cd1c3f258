"""Many small parts into few large ones, while a sweep runs or not.

The new part is written first and names the parts that it stands for; these are deleted after. Whenever this is cut
off, the rows are in the old parts, or in the new one and in old ones that readers pass over. Parts never change, so
what is deleted is what was merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tsd.store import parts, reading, schema
from tsd.store.errors import Damaged
from tsd.store.files import Files
from tsd.store.parts import Part

LIMIT = 256 << 20
"""Bytes of a compacted part at most. A part that has half of them is not compacted again."""


@dataclass(frozen=True)
class CompactReport:
    """What a compaction did.

    Args:
        before, after: number of parts.
        bytes_before, bytes_after: their size.
        damaged: parts that were left alone because they cannot be read.
    """

    before: int
    after: int
    bytes_before: int
    bytes_after: int
    damaged: tuple[str, ...] = ()

    def __str__(self) -> str:
        sizes = f"{self.bytes_before / 1e6:.1f} MB", f"{self.bytes_after / 1e6:.1f} MB"
        lines = [f"{self.before} parts ({sizes[0]}) are now {self.after} ({sizes[1]})."]
        lines += [f"{name} is damaged and was left alone; `check --repair` moves it aside." for name in self.damaged]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Member:
    """A part that is to be merged: its schema, what tells its trials apart, and which of its rows are read."""

    part: Part
    columns: pa.Schema
    keys: pa.Table
    mask: np.ndarray


def compact(files: Files) -> CompactReport:
    """Merge parts; see `Store.compact`."""
    before = parts.listed(files)
    damaged = reading.wholly(files, lambda: _compact(files))
    after = parts.listed(files)
    return CompactReport(
        len(before), len(after), sum(p.size for p in before), sum(p.size for p in after), tuple(damaged)
    )


def _compact(files: Files) -> list[str]:
    """Returns the names of damaged files. Raises FileNotFoundError where another compaction was faster."""
    found = reading.scan(files, lambda file: (file.schema_arrow, reading.taking(())(file)))
    damaged = [damage.name for _, damage in found.damaged]
    masks = reading.winners([keys for _, (_, keys) in found.pieces])
    members = []
    for (part, (columns, keys)), mask in zip(found.pieces, masks, strict=True):
        try:
            reading.curves_of(files, part, keys, mask)
        except Damaged as damage:
            damaged.append(damage.name)
        else:
            members.append(_Member(part, columns, keys, mask))
    if not damaged:
        for part in found.superseded:
            parts.discard(files, part)
    for group in _groups([m for m in members if m.part.size < LIMIT // 2]):
        _merge(files, group)
    return damaged


def _groups(members: Sequence[_Member]) -> Iterator[list[_Member]]:
    """Neighbours of `LIMIT` bytes together; a part that would stay alone is left as it is."""
    group: list[_Member] = []
    for member in members:
        if sum(m.part.size for m in group) + member.part.size > LIMIT:
            yield from [group] if len(group) > 1 else []
            group = []
        group.append(member)
    yield from [group] if len(group) > 1 else []


def _merge(files: Files, group: Sequence[_Member]) -> None:
    """Write one part that stands for those of `group`, see that it can be read, and delete them."""
    whole = reading.unified([(m.part, m.columns) for m in group])
    rows = parts.encode((_rows(files, m, whole) for m in group), whole, replaces=[m.part.stem for m in group])
    tables = (reading.curves_of(files, m.part, m.keys, m.mask) for m in group)
    curves = parts.encode(tables, schema.CURVES) if any(m.part.curves for m in group) else None
    stem = parts.write(files, "compacted", rows, curves)
    for folder in ("trials", "curves") if curves else ("trials",):
        parts.open_sealed(files, f"{folder}/{stem}{parts.SUFFIX}")
    for member in group:
        parts.discard(files, member.part)


def _rows(files: Files, member: _Member, whole: pa.Schema) -> pa.Table:
    table = parts.open_sealed(files, member.part.trials.name).read()
    return schema.conform(table.filter(pa.array(member.mask)), whole)
