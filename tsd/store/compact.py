"""Many small parts into few large ones, while a sweep runs or not, and however many do so at once.

Parts never change. A new part is written first and holds the best row of every trial of the old ones; it is read back;
its manifest is written, see `tsd.store.manifests`; then the old ones are deleted. So a row goes only after one as good
or better was stored. Cut off in between, rows are stored twice, readers take each once, and the next compaction
finishes what is left to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tsd.store import manifests, parts, reading, schema, sweepfile
from tsd.store.encoding import encode
from tsd.store.errors import Damaged
from tsd.store.files import Files
from tsd.store.parts import Part
from tsd.store.unfinished import unfinished
from tsd.words import counted, size

LIMIT = 256 << 20
"""Bytes of a compacted part at most. A part that has half of them is not compacted again."""

_Member = tuple[Part, pa.Table]
"""A part, and what tells rows of one trial apart in it."""


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
        before = f"{counted(self.before, 'part')} ({size(self.bytes_before)})"
        lines = [f"{before} {'is' if self.before == 1 else 'are'} now {self.after} ({size(self.bytes_after)})."]
        lines += [f"{name} is damaged and was left alone; `check --repair` moves it aside." for name in self.damaged]
        return "\n".join(lines)


def compact(files: Files) -> CompactReport:
    """Merge parts; see `Store.compact`."""
    sweepfile.require(files)
    before = parts.listed(files)
    damaged = reading.wholly(files, lambda: _compact(files))
    after = parts.listed(files)
    return CompactReport(
        len(before), len(after), sum(p.size for p in before), sum(p.size for p in after), tuple(damaged)
    )


def _compact(files: Files) -> list[str]:
    """Returns the names of damaged files. Raises FileNotFoundError where another compaction was faster."""
    found = reading.scan(files, reading.taking(()))
    if rest := unfinished(files, found):
        rest.finish(files)
        found = reading.scan(files, reading.taking(()))
    damaged = [damage.name for _, damage in found.damaged]
    small = []
    for part, keys in found.pieces:
        try:
            if part.size < LIMIT // 2:
                reading.curves_of(files, part)
                small.append((part, keys))
        except Damaged as damage:
            damaged.append(damage.name)
    for group in _groups(small):
        _merge(files, group)
    return damaged


def _groups(small: Sequence[_Member]) -> Iterator[list[_Member]]:
    """Neighbours of `LIMIT` bytes together; a part that would stay alone is left as it is."""
    group: list[_Member] = []
    held = 0
    for part, keys in small:
        if held + part.size > LIMIT:
            yield from [group] if len(group) > 1 else []
            group, held = [], 0
        group.append((part, keys))
        held += part.size
    yield from [group] if len(group) > 1 else []


def _merge(files: Files, group: Sequence[_Member]) -> None:
    """Write one part that holds what readers take of `group`, see that it is stored, and delete them."""
    masks = reading.winners([keys for _, keys in group])
    whole = reading.unified([(part, parts.open_sealed(files, part.trials.name).schema_arrow) for part, _ in group])
    kept = (_rows(files, part, mask, whole) for (part, _), mask in zip(group, masks, strict=True))
    drawn = any(part.curves for part, _ in group)
    replaces = {part.stem for part, _ in group}
    for _, keys in group:
        replaces.update(manifests.replaced_by(keys.schema.metadata))
    rows = encode(kept, whole, drawn=drawn, note=manifests.note(replaces))
    lines = (reading.curves_of(files, part, keys, mask) for (part, keys), mask in zip(group, masks, strict=True))
    curves = encode(lines, schema.CURVES) if drawn else None
    manifest = manifests.made(sum(int(mask.sum()) for mask in masks), rows, curves, replaces)
    merged = parts.write(files, manifest.stem, rows, curves)
    if manifests.of(files, merged) != manifest:
        raise Damaged(merged.trials.name, "it is not what was written")
    manifests.write(files, manifest)
    for part, _ in group:
        parts.discard(files, part)


def _rows(files: Files, part: Part, mask: np.ndarray, whole: pa.Schema) -> pa.Table:
    table = parts.open_sealed(files, part.trials.name).read()
    return schema.conform(table.filter(pa.array(mask)), whole)
