"""Packs that last long, kept while they run: another worker goes on from here.

    checkpoints/<pack>.json                    the trials of the pack
    checkpoints/<pack>-<stack>.safetensors     the state of one of its stacks, as artefacts are kept
    checkpoints/<key>-<stack>.safetensors      the state of an artefact that is being trained

Nothing else depends on them: one that is missing or damaged costs time. They are gone once the pack has its part, the
artefact its file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tsd.store.artefacts import Arrays, Artefacts, Facts
from tsd.store.errors import ArtefactError, StoreError
from tsd.store.files import Files
from tsd.store.names import key

FOLDER = "checkpoints"
EVERY_S = 150.0
"""A pack that lasts longer is kept every so many seconds, which is what the death of its worker costs at most."""


@dataclass(frozen=True)
class Checkpoints:
    """The unfinished packs of one results folder."""

    files: Files

    def packs(self) -> dict[str, list[str]]:
        """Unfinished packs and their trials."""
        found = {}
        for entry in self.files.listed(FOLDER):
            if entry.name.endswith(".json"):
                with suppress(FileNotFoundError, ValueError, RecursionError):  # finished meanwhile, or damaged
                    trials = json.loads(self.files.read(entry.name))
                    if isinstance(trials, list) and all(isinstance(trial, str) for trial in trials):
                        found[entry.name.partition("/")[2].removesuffix(".json")] = trials
        return found

    def artefacts(self) -> set[str]:
        """Keys of artefacts with a state: what is no pack."""
        names = {entry.name.partition("/")[2].partition("-")[0] for entry in self.files.listed(FOLDER)}
        return {name for name in names if "." not in name} - self.packs().keys()

    def of(self, pack: str, trials: Sequence[str] = ()) -> Keeper:
        """Where the states of a pack of these trials are kept, or of an artefact, which has none."""
        return Keeper(self.files, key(pack), trials)

    def remove(self, pack: str) -> None:
        """Forget a pack, its trials last: as long as they are there, it is known that something is left."""
        names = [entry.name for entry in self.files.listed(FOLDER)]
        for name in sorted(names, key=lambda name: name.endswith(".json")):
            if name.startswith((f"{FOLDER}/{pack}-", f"{FOLDER}/{pack}.json")):
                self.files.delete(name)


class Keeper:
    """Keeps the states of one pack. A store that takes none leaves the pack at work.

    Args:
        files: where.
        pack: its name, or the key of an artefact.
        trials: its members; an artefact has none.
        every_s: seconds from one state to the next.
    """

    def __init__(self, files: Files, pack: str, trials: Sequence[str], every_s: float | None = None) -> None:
        self._states = Artefacts(files, FOLDER)
        self._pack, self._trials = pack, list(trials)
        self._every_s = EVERY_S if every_s is None else every_s
        self._since = time.monotonic()
        self._known: set[str] | None = None

    def _stacks(self) -> set[str]:
        """Stacks of which there is a state, by one look at the folder."""
        if self._known is None:
            self._known = {stack for stack in self._states.keys() if stack.startswith(f"{self._pack}-")}  # noqa: SIM118
        return self._known

    def due(self) -> bool:
        """Whether it is time to keep the state."""
        return time.monotonic() - self._since >= self._every_s

    def read(self, name: str) -> tuple[Arrays, Facts] | None:
        """What was kept last of a stack; None where there is nothing, or nothing whole."""
        stack = f"{self._pack}-{name}"
        if stack not in self._stacks():
            return None
        with suppress(ArtefactError):
            return self._states.read(stack)
        return None

    def write(self, states: Mapping[str, tuple[Arrays, Facts]]) -> None:
        """Keep the states of some stacks."""
        with suppress(StoreError):
            if self._trials and not self._stacks():
                self._states.files.write(f"{FOLDER}/{self._pack}.json", json.dumps(self._trials).encode())
            for name, (arrays, facts) in states.items():
                self._stacks().add(f"{self._pack}-{name}")
                self._states.write(f"{self._pack}-{name}", arrays, facts, {})
        self._since = time.monotonic()

    def clear(self) -> None:
        """The pack has its part, the artefact its file: forget it."""
        if self._known:
            with suppress(StoreError):
                Checkpoints(self._states.files).remove(self._pack)
