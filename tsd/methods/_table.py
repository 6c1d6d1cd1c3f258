"""All methods in one table: where each stands among its kin, and what it asks for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from tsd.methods import METHODS

if TYPE_CHECKING:
    from tsd.methods._base import Distillation

WORDS = {
    "labels": "labels",
    "images": "images",
    "features": "features",
    "input_gradients": "input gradients",
    "batch_statistics": "batch statistics",
    "rows": "sample numbers",
}


def table() -> dict[str, dict[str, str]]:
    """By method its taxonomy, and in words what it `needs`: of the data, of the networks, stages, artefacts."""
    methods = {name: METHODS.load(name).Method.of({}) for name in METHODS.names()}
    return {name: asdict(method.taxonomy) | {"needs": ", ".join(_asked(method))} for name, method in methods.items()}


def _asked(method: Distillation) -> list[str]:
    tutor = method.tutor()
    return [
        *(word for need, word in WORDS.items() if getattr(method.needs, need)),
        *(["stages"] if len(method.phases()) > 1 else []),
        *(artefact.name.replace("_", " ") for artefact in (*([tutor.artefact] if tutor else []), *method.artefacts)),
    ]
