"""Artefacts: arrays that were trained once and that many trials share, in safetensors files that name their own hash.

The metadata of `artefacts/<key>.safetensors` holds the recipe from which it was made, facts about it (its accuracy),
and a blake2b hash of arrays, facts and recipe. Reading it again computes the hash again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tsd.store.errors import ArtefactError
from tsd.store.files import Files
from tsd.store.names import key as checked

SUFFIX = ".safetensors"
Arrays = dict[str, np.ndarray]
Facts = dict[str, float | int | str]


@dataclass(frozen=True)
class Artefacts:
    """The artefacts of one results folder, each under its key in `folder`."""

    files: Files
    folder: str = "artefacts"

    def read(self, key: str) -> tuple[Arrays, Facts] | None:
        """Arrays and facts; None where there is no such artefact. Raises ArtefactError where it was changed."""
        name = self._name(key)
        try:
            data = self.files.read(name)
        except FileNotFoundError:
            return None
        try:
            arrays, kept = load(data), _metadata(data)
            facts, recipe = json.loads(kept["facts"]), json.loads(kept["recipe"])
            intact = kept["hash"] == _hash(arrays, facts, recipe)
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            intact = False
        if not intact:
            raise ArtefactError(
                f"The artefact {self.files.where(name)} no longer matches the hash that it was stored with: it was "
                "cut short or changed. Nothing else was touched. Move the file away, or let `python -m tsd.sweep check "
                "FILE --repair` do so; the next run trains it again."
            )
        return arrays, facts

    def write(self, key: str, arrays: Mapping[str, np.ndarray], facts: Facts, recipe: Mapping[str, Any]) -> None:
        """Store an artefact under `key`, with the recipe from which another would be made. Raises StoreError."""
        whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        kept = {"hash": _hash(whole, facts, recipe), "facts": _text(facts), "recipe": _text(recipe)}
        self.files.write(self._name(key), save(whole, kept))

    def keys(self) -> set[str]:
        """The keys of all artefacts, unverified."""
        names = (entry.name.partition("/")[2] for entry in self.files.listed(self.folder))
        return {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}

    def verify(self, key: str) -> None:
        """Raises ArtefactError where the artefact is not what was stored, KeyError where there is none."""
        if self.read(key) is None:
            raise KeyError(key)

    def set_aside(self, key: str) -> str:
        """Move an artefact to `damaged/` and say where it is now."""
        name = self._name(key)
        self.files.move(name, f"damaged/{name}")
        return f"damaged/{name}"

    def _name(self, key: str) -> str:
        return f"{self.folder}/{checked(key)}{SUFFIX}"


def _metadata(data: bytes) -> dict[str, str]:
    """What safetensors keeps beside the arrays: the header is its length, eight bytes, and JSON."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _hash(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """blake2b over facts, recipe, and name, type, shape and bytes of each array, in the order of their names."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(_text([facts, recipe]).encode())
    for name, array in sorted(arrays.items()):
        digest.update(_text([name, array.dtype.name, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
