"""What stands under every figure and table: n, what the interval is, what is missing, and where it came from.

Once in words, for the reader of the paper, and once as JSON inside the file, for programs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from analysis.data.cells import Cells
from analysis.data.rows import Source
from analysis.data.tally import Totals
from analysis.statistics.intervals import LEVEL, half_width
from tsd.words import counted, number

NO_INTERVAL = "No interval: one seed says nothing of the spread."


@dataclass(frozen=True)
class Provenance:
    """Sentences and facts about one figure or table.

    Args:
        notes: sentences, most important first; the last one names the source.
        facts: the same for programs; holds JSON types only.
    """

    notes: tuple[str, ...]
    facts: dict[str, Any]

    def text(self) -> str:
        """The notes as one paragraph."""
        return " ".join(self.notes)

    def json(self) -> str:
        """The facts on one line."""
        return json.dumps(self.facts, ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class Told:
    """What a figure or table says of itself.

    Args:
        verb, asked: what made it, and with which options.
        interval: what its intervals are, as a sentence; left out where no cell has two seeds.
        kind: the interval for programs, "t" or "bootstrap".
        more: further sentences.
        missing: places in which no trial ran.
        place: what a mean belongs to, "cell" or "point".
        lock: hashes of what it was made of; see `analysis.data.lock`.
    """

    verb: str
    asked: Mapping[str, Any]
    interval: str
    kind: str = "t"
    more: Sequence[str] = ()
    missing: int = 0
    place: str = "cell"
    lock: Mapping[str, Any] = field(default_factory=dict)


def provenance(told: Told, cells: Cells, source: Source) -> Provenance:
    """What is to be said under `cells` drawn from `source`."""
    low, high = cells.seeds()
    notes = [
        f"{counted(cells.totals.trials, 'trial')}, {_seeds(cells)} a {told.place}.",
        told.interval if high > 1 else cells.lack() or NO_INTERVAL,
        *told.more,
        _lost(cells.totals, cells.value, told.missing),
        _averaged(cells),
        _mixed(told.lock),
        f"Only where {source.where}." if source.where else "",
        _origin(source),
    ]
    facts = _facts(told, source, cells.totals)
    facts["counts"] |= {"missing_cells": told.missing}
    facts |= {
        "seeds_per_cell": [low, high],
        "seeds": cells.streams,
        "averaged_over": list(cells.pooled),
        "interval": {"kind": told.kind, "level": LEVEL} if high > 1 else None,
    }
    return Provenance(tuple(n for n in notes if n), _plain(facts))


def pooled(told: Told, totals: Totals, value: str, source: Source) -> Provenance:
    """What is to be said under a figure of single values, of which no mean is taken."""
    where = f"Only where {source.where}." if source.where else ""
    notes = [told.interval, *told.more, _lost(totals, value, 0), _mixed(told.lock), where, _origin(source)]
    return Provenance(tuple(n for n in notes if n), _plain(_facts(told, source, totals)))


def typical_interval(cells: Cells) -> str:
    """How wide the intervals of cells are that are drawn without them."""
    frame = cells.frame[cells.frame["_n"] > 1]
    half = half_width(frame["_free"], frame["_sd"])
    return f"95 % t interval of a mean over seeds: ±{np.median(half):.2g} in the median cell." if len(half) else ""


def _facts(told: Told, source: Source, totals: Totals) -> dict[str, Any]:
    chosen = {k: v for k, v in told.asked.items() if v not in (None, False) and k not in ("results", "output")}
    facts = {"verb": told.verb, "asked": chosen, "source": asdict(source), "counts": asdict(totals)}
    return facts | ({"lock": dict(told.lock)} if told.lock else {})


def _plain(facts: dict[str, Any]) -> Any:
    return json.loads(json.dumps(facts, default=str))


def _seeds(cells: Cells) -> str:
    low, high = cells.seeds()
    crossed = " × ".join(f"{count} {name}" for name, count in cells.streams.items())
    shown = len(cells.streams) > 1 and math.prod(cells.streams.values()) == high
    many = f"n = {high}" if low == high else f"n = {low} to {high}"
    return f"{many} seed{'s' if high != 1 else ''}{f' ({crossed})' if shown else ''}"


def _lost(totals: Totals, value: str, missing: int) -> str:
    counts = [
        (totals.diverged, "diverged"),
        (totals.failed, "failed"),
        (totals.valueless, f"without {value}"),
        (totals.placeless, "to which an axis does not apply"),
        (missing, "cell without trials" if missing == 1 else "cells without trials"),
    ]
    said = ", ".join(f"{number(count)} {what}" for count, what in counts if count)
    return f"Left out: {said}." if said else "None diverged, failed or missing."


def _averaged(cells: Cells) -> str:
    if not cells.pooled:
        return ""
    steps = ", at the steps that they share" if cells.rows.step else ""
    return f"Averaged also over {', '.join(cells.pooled)}, where a seed has them all{steps}."


def _mixed(lock: Mapping[str, Any]) -> str:
    """That trials of several versions of a study are here, which a change of its numbers leaves behind."""
    versions = lock.get("versions", [])
    if len({name.rpartition(" ")[0] for name in versions}) == len(versions):
        return ""
    newest = versions[-1].rpartition(" ")[2]
    return f"Mixed: {', '.join(versions)}, whose numbers may differ; --where study_version={newest} takes the newest."


def _origin(source: Source) -> str:
    shas = [sha[:7] for sha in source.git_sha]
    more = f" and {len(shas) - 2} more" if len(shas) > 2 else ""
    dirty = " with changes" if source.git_dirty else ""
    parts = [
        source.sweep,
        f"git {', '.join(shas[:2])}{more}{dirty}" if shas else "",
        f"tsd {', '.join(source.tsd_version)}" if source.tsd_version else "",
        source.first if source.first == source.last else f"{source.first} to {source.last}",
    ]
    return f"Source: {', '.join(p for p in parts if p)}." if source.sweep else ""
