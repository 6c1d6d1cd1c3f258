"""What stands under every figure and table: how many trials, what the interval is, what is missing, and where it came from.

Once in words, for the reader of the paper, and once as JSON inside the file, for programs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.cells import Cells
from analysis.rows import Source
from analysis.stats import half_width


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


def provenance(
    verb: str, asked: Mapping[str, Any], cells: Cells, source: Source, interval: str, missing: int
) -> Provenance:
    """What is to be said of `cells`.

    Args:
        verb, asked: what made the figure, and with which options.
        interval: what its interval is, as a sentence; "" where a cell has one seed at most and so no interval.
        missing: cells in which no trial ran.
    """
    low, high = cells.seeds()
    totals = cells.totals
    notes = [
        f"{totals.trials} trials, {_seeds(cells)}.",
        interval if high > 1 else "No interval: one seed says nothing of the spread.",
        _lost(cells, missing),
        f"Averaged also over {', '.join(cells.pooled)}." if cells.pooled else "",
        f"Only where {source.where}." if source.where else "",
        _origin(source),
    ]
    facts = {
        "verb": verb,
        "asked": {k: v for k, v in asked.items() if v not in (None, False) and k not in ("results", "output")},
        "source": asdict(source),
        "counts": asdict(totals) | {"missing_cells": missing},
        "seeds_per_cell": [low, high],
        "seeds": cells.streams,
        "averaged_over": list(cells.pooled),
        "interval": interval if high > 1 else None,
    }
    return Provenance(tuple(n for n in notes if n), json.loads(json.dumps(facts, default=str)))


def typical_interval(cells: Cells) -> str:
    """How wide the intervals of cells are that are drawn without them."""
    frame = cells.frame[cells.frame["n"] > 1]
    half = half_width(frame["n"], frame["sd"])
    return f"95 % t interval of a mean over seeds: ±{np.median(half):.2g} in the median cell." if len(half) else ""


def _seeds(cells: Cells) -> str:
    low, high = cells.seeds()
    product = 1
    for count in cells.streams.values():
        product *= count
    crossed = " × ".join(f"{count} {name}" for name, count in cells.streams.items())
    detail = f" ({crossed})" if len(cells.streams) > 1 and product == high else ""
    many = f"n = {high}" if low == high else f"n = {low} to {high}"
    return f"{many} seed{'s' if high != 1 else ''} a cell{detail}"


def _lost(cells: Cells, missing: int) -> str:
    totals = cells.totals
    counts = [
        (totals.diverged, "diverged"),
        (totals.failed, "failed"),
        (totals.valueless, f"without {cells.value}"),
        (totals.placeless, "to which an axis does not apply"),
    ]
    said = [f"{count} {what}" for count, what in counts if count]
    if missing:
        said.append(f"{missing} cell{'s' if missing > 1 else ''} without trials")
    if not said:
        return "None diverged, failed or missing."
    return f"Not in the means: {', '.join(said)}."


def _origin(source: Source) -> str:
    shas = [sha[:7] for sha in source.git_sha]
    parts = [
        source.sweep,
        f"git {', '.join(shas[:2])}{f' and {len(shas) - 2} more' if len(shas) > 2 else ''}" if shas else "",
        f"tsd {', '.join(source.tsd_version)}" if source.tsd_version else "",
        source.first if source.first == source.last else f"{source.first} to {source.last}",
    ]
    return f"Source: {', '.join(p for p in parts if p)}." if source.sweep else ""
