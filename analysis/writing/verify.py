"""Is a figure or a table still what the results say? Its file carries hashes of what it was made of."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from analysis.errors import AnalysisError
from tsd.store import UserError

COMMENT = re.compile(r"(?:<!--|%|#) tsd: (\{.*\})(?: -->)?")
KEYWORDS = re.compile(rb"/Keywords \(((?:\\.|[^\\)])*)\)", re.S)


@dataclass(frozen=True)
class Verdict:
    """`state` is "fresh", "stale" or "unknown", and `why` says what changed, or why nobody can tell."""

    state: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.why}" if self.why else self.state


@dataclass(frozen=True)
class Held:
    """What a file holds of one sweep: where its results were, the options that it was made with, and the hashes."""

    place: str
    asked: dict[str, Any]
    lock: dict[str, Any]


def verify(path: Path, results: Sequence[str] = ()) -> Verdict:
    """Compare the hashes inside a file with those of the results it names, or of `results`, one for each sweep in it.

    Raises AnalysisError where there is no such file, or it shows another number of sweeps than `results` are.
    """
    found = _held(facts_of(path) or {})
    if not found:
        return Verdict("unknown", "it carries no hashes of this program; a copy that lost its metadata lost them")
    if len(results or found) != len(found):
        raise AnalysisError(
            f"{path} shows {len(found)} of a sweep's results and not {len(results)}: --results for each."
        )
    moved: list[str] = []
    for held, place in zip(found, results or [one.place for one in found], strict=True):
        told = _compared(held, place)
        if isinstance(told, Verdict):
            return told
        name = f"{place}: " if len(found) > 1 else ""
        moved += [f"{name}{change}" for change in told]
    return Verdict("stale", "; ".join(moved)) if moved else Verdict("fresh")


def _compared(held: Held, place: str) -> Verdict | list[str]:
    """What changed; why nobody can tell where that is so."""
    from analysis.data.load import Results
    from analysis.data.lock import HASHES, changes, lock

    if held.lock.get("hashes") != HASHES:
        return Verdict("unknown", "its hashes are of another version of this program; make it again")
    if held.lock.get("duckdb") != duckdb.__version__:
        return Verdict(
            "unknown", f"its hashes are those of DuckDB {held.lock.get('duckdb')}; here is {duckdb.__version__}"
        )
    if "://" not in place and not Path(place).exists():
        return Verdict("unknown", f"its results are not in {place} any more; say where with --results")
    try:
        return changes(held.lock, lock(Results.open(place), held.asked))
    except UserError as problem:
        return Verdict("unknown", " ".join(str(problem).splitlines()))


def _held(facts: dict[str, Any]) -> list[Held]:
    """What a file shows: one of a figure, one for each sweep of a report, none where it does not say all of it."""
    try:
        if "lock" in facts:
            return [Held(str(facts["source"]["results"]), dict(facts["asked"]), dict(facts["lock"]))]
        pairs = zip(facts["results"], map(dict, facts["locks"]), strict=True)
        return [Held(str(place), {"named": [*then["columns"], *then["curves"]]}, then) for place, then in pairs]
    except (KeyError, TypeError, ValueError):
        return []


def facts_of(path: Path) -> dict[str, Any] | None:
    """What a file says of its origin, None where it says nothing. Raises AnalysisError where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise AnalysisError(f"{path} cannot be read: {problem.strerror}.") from None
    try:
        text = _text(path, data)
        facts = json.loads(text) if text else None
    except (OSError, SyntaxError, ValueError):  # what Pillow says of a picture that is none, or was cut short
        return None
    return facts if isinstance(facts, dict) else None


def _text(path: Path, data: bytes) -> str | None:
    if path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as image:
            return image.info.get("Source")
    if path.suffix == ".pdf":
        found = KEYWORDS.search(data)
        return _pdf_string(found[1]) if found else None
    comment = COMMENT.search(data.decode("utf-8", "replace"))
    return comment[1] if comment else None


def _pdf_string(raw: bytes) -> str:
    """A literal string of a PDF: backslashes before brackets, letters and octal numbers; UTF-16 where it says so."""
    letters = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}

    def meant(found: re.Match[bytes]) -> bytes:
        what = found[1]
        return bytes([int(what, 8)]) if what.isdigit() else letters.get(what, what)

    plain = re.sub(rb"\\([0-7]{1,3}|.)", meant, raw, flags=re.S)
    return plain[2:].decode("utf-16-be") if plain.startswith(b"\xfe\xff") else plain.decode("latin-1")
