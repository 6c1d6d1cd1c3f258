"""Is everything that was stored still what was stored?"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from tsd.store import manifests, parts, reading, sweepfile
from tsd.store.artefacts import Artefacts
from tsd.store.errors import ArtefactError, Damaged
from tsd.store.files import TEMPORARY, Entry, Files
from tsd.store.manifests import Manifest
from tsd.store.parts import Part
from tsd.store.reading import Scan
from tsd.store.sweepfile import FOLDERS
from tsd.store.unfinished import Unfinished, unfinished
from tsd.words import counted

LEFT_BEHIND_S = 3600.0
"""A temporary file of this age belongs to no write that is still under way."""


@dataclass(frozen=True)
class Report:
    """What a check found.

    Args:
        parts, trials, artefacts: how many there are that are sound.
        damaged: files that are not what was stored, each with what is wrong.
        moved: where damaged files are now.
        temporary: what writes that were cut off have left behind; nobody reads it.
        replaced: files that a compaction which was cut off, or is under way, left to delete; nobody reads them.
        unlisted: manifests that it left to write.
        repaired: whether all of this was mended.
    """

    parts: int
    trials: int
    artefacts: int
    damaged: tuple[tuple[str, str], ...]
    moved: tuple[str, ...]
    temporary: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    repaired: bool = False

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged

    def __str__(self) -> str:
        held = f"{counted(self.parts, 'part')} with {counted(self.trials, 'trial')}"
        lines = [f"Sound: {held} and {counted(self.artefacts, 'artefact')}."]
        lines += [f"damaged: {name}: {reason}" for name, reason in self.damaged]
        lines += [f"moved to {name}" for name in self.moved]
        lines += [f"{text} {'Mended.' if self.repaired else '--repair mends that.'}" for text in self._left()]
        if self.moved:
            lines.append("`python -m tsd.sweep run FILE` makes what was moved again.")
        elif self.damaged:
            lines.append("`python -m tsd.sweep check FILE --repair` moves damaged files to damaged/.")
        return "\n".join(lines)

    def _left(self) -> list[str]:
        """What writes and compactions that were cut off left to do."""
        left = (
            (self.temporary, "file", "of writes that were cut off, which nobody reads"),
            (self.replaced, "file", "of parts that were merged, which nobody reads"),
            (self.unlisted, "manifest", "that a compaction did not write"),
        )
        return [f"Left over: {counted(len(names), noun)} {what}." for names, noun, what in left if names]


def check(files: Files, *, repair: bool) -> Report:
    """Read everything; see `Store.check`."""
    sweepfile.require(files)
    found, rest = reading.steadily(lambda: _parts(files))
    kept, bad = _artefacts(Artefacts(files))
    lost = _manifests(files)
    left = [entry for entry in left_behind(files) if entry.name not in rest.stale]
    moved = []
    if repair:
        moved = _moved(files, [part for part, _ in found.damaged], [damage.name for damage in lost], list(bad))
        _tidied(files, rest, left)
    there = {part.stem for part, _ in found.pieces}
    told = [(damage.name, _with_rows(damage, found.manifests.get(part.stem), there)) for part, damage in found.damaged]
    return Report(
        parts=len(found.pieces),
        trials=sum(int(mask.sum()) for mask in reading.winners([table for _, table in found.pieces])),
        artefacts=kept,
        damaged=(*told, *((damage.name, damage.reason) for damage in lost), *bad.values()),
        moved=tuple(moved),
        temporary=tuple(entry.name for entry in left),
        replaced=tuple(rest.files),
        unlisted=tuple(parts.file_of(manifests.FOLDER, manifest.stem) for manifest in rest.missing),
        repaired=repair,
    )


def left_behind(files: Files) -> list[Entry]:
    """Temporary files, and curves whose trials never came, of at least `LEFT_BEHIND_S`."""
    temporary = [
        e
        for folder in ("", *FOLDERS, manifests.FOLDER, "checkpoints")
        for e in files.listed(folder)
        if e.name.rpartition("/")[2].startswith(TEMPORARY)
    ]
    return [entry for entry in temporary + parts.strays(files) if entry.age_s >= LEFT_BEHIND_S]


def _parts(files: Files) -> tuple[Scan[pa.Table], Unfinished]:
    """What is stored, and what is left to do. Raises FileNotFoundError where a compaction was faster."""
    found = reading.scan(files, reading.taking(None), curves=_as_told)
    return found, unfinished(files, found)


def _as_told(files: Files, part: Part) -> None:
    """Verify the curves of a part, and that it is what its manifest says, if it has a sound one. Raises Damaged."""
    told = manifests.sound(files, part.stem) if part.manifest else None
    if told is None:
        parts.verify_curves(files, part)
    elif manifests.of(files, part) != told:
        raise Damaged(part.trials.name, "it is not the part that its manifest tells of")


def _manifests(files: Files) -> list[Damaged]:
    """Manifests that are damaged, and those whose part is gone though no other one replaces it.

    A part comes before its manifest and goes after it, so what comes or goes meanwhile is not missed.
    """
    sound, damaged = dict[str, Manifest](), []
    for stem in parts.stems(files, manifests.FOLDER):
        try:
            sound[stem] = manifests.read(files, stem)
        except Damaged as damage:
            damaged.append(damage)
        except FileNotFoundError:
            continue
    replaced = {stem for manifest in sound.values() for stem in manifest.replaces}
    trials, still = parts.stems(files, "trials"), parts.stems(files, manifests.FOLDER)
    lost = (sound.keys() & still.keys()) - replaced - trials.keys()
    return damaged + [Damaged(still[stem].name, f"its part is gone, with {sound[stem]}") for stem in sorted(lost)]


def _with_rows(damage: Damaged, told: Manifest | None, there: set[str]) -> str:
    """What is wrong with a part and, where it has a manifest, which rows that concerns."""
    kept = sum(stem in there for stem in told.replaces) if told else 0
    return f"{damage.reason}; it held {told}, {kept} of which are still there" if told else damage.reason


def _artefacts(artefacts: Artefacts) -> tuple[int, dict[str, tuple[str, str]]]:
    """How many are sound, and of the others, by key, the file and what is wrong."""
    keys, bad = sorted(artefacts.keys()), {}
    for key in keys:
        try:
            artefacts.read(key)
        except ArtefactError:
            bad[key] = (f"artefacts/{key}.safetensors", "it does not match its hash")
    return len(keys) - len(bad), bad


def _moved(files: Files, spoilt: list[Part], names: list[str], keys: list[str]) -> list[str]:
    moved = [name for part in spoilt for name in parts.set_aside(files, part)]
    moved += [to for name in names for to in parts.aside(files, name)]
    return moved + [Artefacts(files).set_aside(key) for key in keys]


def _tidied(files: Files, rest: Unfinished, left: list[Entry]) -> None:
    """Finish what was cut off."""
    rest.finish(files)
    for entry in left:
        files.delete(entry.name)
