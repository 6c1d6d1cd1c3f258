"""What a merged part holds and which parts it replaces: `manifests/<stem>.json`, one for each part that is merged.

It is written once its part was read back from the store, and before the parts that it replaces are deleted; from then
on readers pass over those, however many are gone by now. It never changes: the stem ends with the hash of its bytes, so
that whoever merges the same parts writes the same, and of two manifests neither can be the older one. It says nothing
that the files of its part do not say: without it nothing is hidden, and it can be written again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from tsd import __version__
from tsd.store import parts, schema, seals
from tsd.store.errors import Damaged, StoreError
from tsd.store.files import Files
from tsd.store.names import key
from tsd.store.parts import Part
from tsd.words import counted

FOLDER = "manifests"
_NAME = "compacted"
_NOTE = b"tsd.merged"
"""Where the trials of a merged part say which parts it replaces."""


@dataclass(frozen=True)
class Sealed:
    """A file: its size, and its seal in hexadecimal."""

    bytes: int
    seal: str


@dataclass(frozen=True)
class Manifest:
    """What a merged part holds.

    Args:
        schema_version: of its columns.
        tsd_version: that merged it.
        rows: number of its trials.
        trials, curves: its files; no curves are None.
        replaces: stems of the parts whose rows it holds, or better ones of the same trials, those that were merged
            before among them.
    """

    schema_version: int
    tsd_version: str
    rows: int
    trials: Sealed
    curves: Sealed | None
    replaces: tuple[str, ...]

    @property
    def data(self) -> bytes:
        """The manifest as a file."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    @property
    def stem(self) -> str:
        """The stem of its part, and its own."""
        return parts.stem_of(_NAME, self.data)

    def __str__(self) -> str:
        return f"{counted(self.rows, 'row')} of {counted(len(self.replaces), 'part')}"


def note(replaces: Iterable[str]) -> dict[bytes, bytes]:
    """What the trials of a merged part say of themselves, to be written with them."""
    return {_NOTE: json.dumps({"tsd_version": __version__, "replaces": sorted(replaces)}).encode()}


def replaced_by(metadata: Mapping[bytes, bytes] | None) -> tuple[str, ...]:
    """What a part replaces by the metadata of its trials; nothing where no compaction made it."""
    return told[1] if (told := _noted(metadata)) else ()


def _noted(metadata: Mapping[bytes, bytes] | None) -> tuple[str, tuple[str, ...]] | None:
    """Which tsd merged a part, and what that replaces."""
    try:
        told = json.loads((metadata or {})[_NOTE])
        return str(told["tsd_version"]), tuple(key(stem) for stem in told["replaces"])
    except (KeyError, ValueError, TypeError, RecursionError, StoreError):
        return None


def made(rows: int, trials: bytes, curves: bytes | None, replaces: Iterable[str]) -> Manifest:
    """The manifest of a part that is to be written, with `note(replaces)` in its trials."""
    drawn = Sealed(len(curves), seals.seal_of(curves).hex()) if curves else None
    sealed = Sealed(len(trials), seals.seal_of(trials).hex())
    return Manifest(schema.SCHEMA_VERSION, __version__, rows, sealed, drawn, tuple(sorted(replaces)))


def of(files: Files, part: Part) -> Manifest | None:
    """The manifest of a part that is stored, by its files, of which every byte is verified; None where no compaction
    made it. Raises Damaged, FileNotFoundError and StoreError."""
    drawn = Sealed(part.curves.size, parts.verify(files, part.curves.name)) if part.curves else None
    sealed = Sealed(part.trials.size, parts.verify(files, part.trials.name))
    file = parts.open_footer(files, part.trials.name)
    told = _noted(file.metadata.metadata)
    if told is None:
        return None
    columns = schema.version_in(file.metadata.metadata) or 0
    return Manifest(columns, told[0], file.metadata.num_rows, sealed, drawn, told[1])


def read(files: Files, stem: str) -> Manifest:
    """The manifest of a part. Raises Damaged, FileNotFoundError and StoreError."""
    name = parts.file_of(FOLDER, stem)
    data = files.read(name)
    if parts.stem_of(_NAME, data) != stem:
        raise Damaged(name, "its content does not match its name")
    try:
        known = json.loads(data)
        trials, curves = (known[kind] and Sealed(**known[kind]) for kind in ("trials", "curves"))
        replaces = tuple(key(stem) for stem in known["replaces"])
        return Manifest(**known | {"trials": trials, "curves": curves, "replaces": replaces})
    except (ValueError, KeyError, TypeError, RecursionError, StoreError) as error:
        raise Damaged(name, "it is no manifest of this version of tsd") from error


def sound(files: Files, stem: str) -> Manifest | None:
    """`read`, or None where it is damaged: such a manifest counts for nothing."""
    with suppress(Damaged):
        return read(files, stem)
    return None


def shown(listed: Sequence[Part], held: Iterable[Manifest]) -> list[Part]:
    """The parts that are read: those that none of the merged ones, whose manifests are `held`, replaces."""
    replaced = {stem for manifest in held for stem in manifest.replaces}
    return [part for part in listed if part.stem not in replaced]


def write(files: Files, manifest: Manifest) -> None:
    """Store a manifest, once its part was seen to be sound."""
    files.write(parts.file_of(FOLDER, manifest.stem), manifest.data)
