"""What the cutting of packs is about: the limits that a machine sets, and the shapes of a sweep's trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log2

import duckdb

from tsd.sweep.sql import quoted

FULL_GPU, SMALLEST_SHARE = 256, 1 / 8
"""Trials from which on a pack keeps a GPU busy, and the least part of one that a pack gets."""


@dataclass(frozen=True)
class Limits:
    """What bounds a pack: `slots` packs run at a time, each on `share` of a GPU; a pack is cut below `smallest` trials
    only where they last or hold too much, and holds at most `largest` before it is known how long they last."""

    slots: int
    smallest: int = 8
    largest: int = 64
    share: float = 1.0

    @classmethod
    def of(cls, slots: int, device: str, share: float = 1.0) -> Limits:
        """A GPU wants hundreds of trials at once, a core a few."""
        return cls(slots, 256, 4096, share) if device == "cuda" else cls(slots)


@dataclass(frozen=True)
class Shape:
    """Trials that may share a pack, and how they are cut.

    Args:
        values: the static values by which they differ from the others.
        size: trials of its largest pack.
        probes: of its packs, those that run first and are small, because nobody has measured such trials yet.
        fits: trials that memory holds at once, by what earlier packs have taken; None where none has told.
        bytes_a_trial, room_bytes: what they have taken of the memory there was.
        quickest: seconds a trial of the quickest pack; a worker's first one also traces and loads, and tells too much.
        way: how stored trials of the shape were stepped.
        resumes: the pack, cut earlier and not finished, that these trials are and stay.
    """

    values: dict[str, object]
    trials: int
    packs: int
    seconds_a_trial: float | None
    size: int = 0
    probes: int = 0
    fits: int | None = None
    bytes_a_trial: float | None = None
    room_bytes: int | None = None
    quickest: float | None = None
    way: str | None = None
    resumes: str | None = None


def gpu_share(connection: duckdb.DuckDBPyConnection, static: Sequence[str]) -> float:
    """The part of a GPU that the largest possible pack of the table `todo` fills: a half, a quarter or an eighth where
    all shapes have few trials, so that several packs share one."""
    listed = ", ".join(quoted(name) for name in static) or "NULL"
    [(most,)] = connection.execute(
        f"SELECT coalesce(max(trials), 1) FROM (SELECT count(*) AS trials FROM todo GROUP BY {listed})"
    ).fetchall()
    return max(SMALLEST_SHARE, min(1.0, 2.0 ** -floor(log2(FULL_GPU / most))))
