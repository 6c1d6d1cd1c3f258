"""Is a figure or a table still what the results say? Its file carries hashes of what it was made of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from analysis.errors import AnalysisError

COMMENT = re.compile(r"(?:<!--|%|#) tsd: (\{.*\})(?: -->)?")
KEYWORDS = re.compile(rb"/Keywords \(((?:\\.|[^\\)])*)\)", re.S)


@dataclass(frozen=True)
class Verdict:
    """`state` is "fresh", "stale" or "unknown", and `why` says what changed, or why nobody can tell."""

    state: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.why}" if self.why else self.state


def verify(path: Path, results: str | None = None) -> Verdict:
    """Compare the hashes inside a file with those of the results it names, or of `results`.

    Raises AnalysisError where there is no such file.
    """
    from analysis.data.load import Results
    from analysis.data.lock import HASHES, changes, lock

    told = []
    for place, asked, then in _locks(facts_of(path) or {}):
        if then.get("hashes") != HASHES:
            return Verdict("unknown", "its hashes are of another version of this program; make it again")
        if then["duckdb"] != duckdb.__version__:
            return Verdict("unknown", f"its hashes are those of DuckDB {then['duckdb']}; here is {duckdb.__version__}")
        try:
            now = lock(Results.open(results or place), asked)
        except AnalysisError as problem:
            return Verdict("unknown", str(problem).splitlines()[0])
        told.append(changes(then, now))
    if not told:
        return Verdict("unknown", "the file carries no hashes of this program")
    moved = [change for changed in told for change in changed]
    return Verdict("stale", "; ".join(moved)) if moved else Verdict("fresh")


def _locks(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The results, the options and the hashes of what a file shows: one of a figure, one for each sweep of a report."""
    if "lock" in facts:
        yield facts["source"]["results"], facts["asked"], facts["lock"]
    for place, then in zip(facts.get("results", []), facts.get("locks", []), strict=True):
        yield place, {"named": [*then["columns"], *then["curves"]]}, then


def facts_of(path: Path) -> dict[str, Any] | None:
    """What a file says of its origin, None where it says nothing. Raises AnalysisError where it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise AnalysisError(f"{path} cannot be read: {problem.strerror}.") from None
    try:
        text = _text(path, data)
        return json.loads(text) if text else None
    except ValueError:
        return None


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
