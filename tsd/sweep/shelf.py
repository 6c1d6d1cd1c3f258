"""Artefacts by content: what a trial needs trained beforehand, found by the fields and seeds that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsd.engine.checkpoint import Keep
    from tsd.engine.rng import Streams
    from tsd.store import Store
    from tsd.studies._base import Artefact, Kept


def recipe(study: str, version: int, artefact: Artefact, values: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides an artefact. `values` holds the trial's fields and its `seed_<stream>` columns."""
    return {
        "artefact": artefact.name,
        "study": study,
        "version": version,
        "fields": {name: values[name] for name in artefact.fields},
        "seeds": {stream: values[f"seed_{stream}"] for stream in artefact.streams},
    }


def key(recipe: Mapping[str, Any]) -> str:
    """The artefact's name in the store: blake2b-128 of its recipe as canonical JSON."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass
class StoreShelf:
    """Artefacts of one study in one results folder. A worker keeps the few that it used last.

    Args:
        study: the study's module.
        name: its name.
        store: where artefacts are kept.
        capacity: artefacts held in memory.
        keep: where the training of the artefact that is being made is kept now and then.
    """

    study: ModuleType
    name: str
    store: Store
    capacity: int = 8
    keep: Keep | None = None
    _recent: OrderedDict[str, Kept] = field(default_factory=OrderedDict)

    def get(self, artefact: Artefact, trial: Any, streams: Streams) -> Kept:
        """Arrays and facts of the artefact that `trial` needs; trained, and kept for the others, where it is
        missing."""
        own = trial.values()
        values = {name: own.get(name) for name in artefact.fields}
        values |= {f"seed_{stream}": streams.seeds.get(stream, 0) for stream in artefact.streams}
        made_from = recipe(self.name, self.study.VERSION, artefact, values)
        name = key(made_from)
        if name not in self._recent:
            at_hand = self.store.artefacts.read(name) if artefact.stored else None
            self._recent[name] = at_hand or self._make(name, made_from, artefact, trial, streams)
        self._recent.move_to_end(name)
        while len(self._recent) > self.capacity:
            self._recent.popitem(last=False)
        return self._recent[name]

    def _make(self, name: str, made_from: dict[str, Any], artefact: Artefact, trial: Any, streams: Streams) -> Kept:
        if not artefact.stored:
            return artefact.make(trial, streams, self)
        keep = self.store.checkpoints.of(name)
        arrays, facts = artefact.make(trial, streams, replace(self, keep=keep))
        self.store.artefacts.write(name, arrays, facts, made_from)
        keep.clear()
        return arrays, facts
