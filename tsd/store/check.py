"""Is everything that was stored still what was stored?"""

from __future__ import annotations

from dataclasses import dataclass

from tsd.store import parts, reading, sweepfile
from tsd.store.artefacts import Artefacts
from tsd.store.errors import ArtefactError
from tsd.store.files import TEMPORARY, Entry, Files
from tsd.store.parts import Part
from tsd.store.sweepfile import FOLDERS
from tsd.store.words import counted

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
    """

    parts: int
    trials: int
    artefacts: int
    damaged: tuple[tuple[str, str], ...]
    moved: tuple[str, ...]
    temporary: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damaged

    def __str__(self) -> str:
        held = f"{counted(self.parts, 'part')} with {counted(self.trials, 'trial')}"
        lines = [f"Sound: {held} and {counted(self.artefacts, 'artefact')}."]
        lines += [f"damaged: {name}: {reason}" for name, reason in self.damaged]
        lines += [f"moved to {name}" for name in self.moved]
        if self.temporary:
            lines.append(f"Writes that were cut off left {counted(len(self.temporary), 'file')}, which nobody reads.")
        if self.moved:
            lines.append("`python -m tsd.sweep run FILE` makes what was moved again.")
        elif self.damaged:
            lines.append(
                "`python -m tsd.sweep check FILE --repair` moves damaged files to damaged/; nothing is deleted."
            )
        return "\n".join(lines)


def check(files: Files, *, repair: bool) -> Report:
    """Read everything; see `Store.check`."""
    sweepfile.require(files)
    found = reading.scan(files, reading.taking(None), curves=parts.verify)
    kept, bad = _artefacts(Artefacts(files))
    moved = _moved(files, [part for part, _ in found.damaged], list(bad)) if repair else []
    return Report(
        parts=len(found.pieces),
        trials=sum(int(mask.sum()) for mask in reading.winners([table for _, table in found.pieces])),
        artefacts=kept,
        damaged=tuple((d.name, d.reason) for _, d in found.damaged) + tuple(bad.values()),
        moved=tuple(moved),
        temporary=tuple(entry.name for entry in left_behind(files, LEFT_BEHIND_S)),
    )


def left_behind(files: Files, older_than_s: float) -> list[Entry]:
    """Temporary files, and curves whose trials never came, of at least this age."""
    temporary = [
        e
        for folder in ("", *FOLDERS, "checkpoints")
        for e in files.listed(folder)
        if e.name.rpartition("/")[2].startswith(TEMPORARY)
    ]
    return [entry for entry in temporary + parts.strays(files) if entry.age_s >= older_than_s]


def _artefacts(artefacts: Artefacts) -> tuple[int, dict[str, tuple[str, str]]]:
    """How many are sound, and of the others, by key, the file and what is wrong."""
    keys, bad = sorted(artefacts.keys()), {}
    for key in keys:
        try:
            artefacts.read(key)
        except ArtefactError:
            bad[key] = (f"artefacts/{key}.safetensors", "it does not match its hash")
    return len(keys) - len(bad), bad


def _moved(files: Files, spoilt: list[Part], keys: list[str]) -> list[str]:
    names = [name for part in spoilt for name in parts.set_aside(files, part)]
    return names + [Artefacts(files).set_aside(key) for key in keys]
