"""What a compaction that was cut off left to do; the next one does it, and so does `check --repair`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from tsd.store import manifests, parts
from tsd.store.errors import Damaged
from tsd.store.files import Files
from tsd.store.manifests import Manifest
from tsd.store.parts import Part
from tsd.store.reading import Scan


@dataclass(frozen=True)
class Unfinished:
    """What is left to do.

    Args:
        missing: manifests that merged parts lack.
        replaced: parts whose rows are in merged ones that were verified.
        stale: what is left of parts that were replaced and whose trials are gone.
    """

    missing: tuple[Manifest, ...]
    replaced: tuple[Part, ...]
    stale: tuple[str, ...]

    def __bool__(self) -> bool:
        return any((self.missing, self.replaced, self.stale))

    @property
    def files(self) -> list[str]:
        """Names of the files that nobody reads any more."""
        entries = [entry for part in self.replaced for entry in (part.manifest, part.trials, part.curves) if entry]
        return [*(entry.name for entry in entries), *self.stale]

    def finish(self, files: Files) -> None:
        """Do it."""
        for manifest in self.missing:
            manifests.write(files, manifest)
        for part in self.replaced:
            parts.discard(files, part)
        for name in self.stale:
            files.delete(name)


def unfinished(files: Files, found: Scan[pa.Table]) -> Unfinished:
    """What is left to do where `found` is stored. Raises FileNotFoundError and StoreError."""
    sound = {part.stem: part for part, _ in found.pieces}
    listed = sound | {part.stem: part for part in found.replaced}
    known = {stem: manifest for stem, manifest in found.manifests.items() if stem in sound}
    merged = [part for part, table in found.pieces if manifests.replaced_by(table.schema.metadata)]
    open_ = [p for p in merged if p.stem not in known or not listed.keys().isdisjoint(known[p.stem].replaces)]
    proven = [manifest for part in open_ if (manifest := _proven(files, part))]
    gone = {stem for manifest in proven for stem in manifest.replaces}
    return Unfinished(
        missing=tuple(manifest for manifest in proven if manifest.stem not in gone.union(known)),
        replaced=tuple(listed[stem] for stem in sorted(gone & listed.keys())),
        stale=tuple(_stale(files, gone.union(*(manifest.replaces for manifest in known.values())))),
    )


def _stale(files: Files, replaced: set[str]) -> Iterator[str]:
    """Manifests and curves of parts that were replaced and whose trials are gone."""
    there = parts.stems(files, "trials")
    for folder in (manifests.FOLDER, "curves"):
        for stem, entry in parts.stems(files, folder).items():
            if stem in replaced and stem not in there:
                yield entry.name


def _proven(files: Files, part: Part) -> Manifest | None:
    """The manifest of a merged part, where every byte of its files is what that says."""
    try:
        manifest = manifests.of(files, part)
    except Damaged:
        return None
    return manifest if manifest and manifest.stem == part.stem else None
