"""The files that a verb is asked for: checked before the work, written after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.provenance import Provenance

FIGURES = (".png", ".pdf")


def checked(paths: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    """The same paths, their folders made. Raises AnalysisError where one has another suffix or cannot be written."""
    for path in paths:
        if path.suffix not in suffixes:
            raise AnalysisError(f"-o {path}: the name must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise _unwritable(path, problem) from None
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            raise AnalysisError(f"-o {path} cannot be written here.\nGive a file in a folder of your own.")
    return list(paths)


def write(path: Path, text: str) -> None:
    """Write UTF-8 text and say so."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise _unwritable(path, problem) from None
    print(f"wrote {path}")


def publish(figure: Figure, provenance: Provenance, paths: Sequence[Path]) -> None:
    """Put the footer under a figure and write it. The same figure makes the same bytes."""
    from analysis.style import footer

    footer(figure, provenance.text())
    for path in paths:
        try:
            figure.savefig(path, metadata=_metadata(path, provenance))
        except OSError as problem:
            raise _unwritable(path, problem) from None
        print(f"wrote {path}")


def _metadata(path: Path, provenance: Provenance) -> dict[str, str | None]:
    text, facts = provenance.text(), provenance.json()
    if path.suffix == ".png":
        return {"Title": path.stem, "Description": text, "Source": facts, "Software": "tsd analysis"}
    return {"Title": path.stem, "Subject": text, "Keywords": facts, "Creator": "tsd analysis", "CreationDate": None}


def _unwritable(path: Path, problem: OSError) -> AnalysisError:
    return AnalysisError(f"-o {path} cannot be written: {problem.strerror}.")
