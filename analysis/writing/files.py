"""The files that a verb is asked for: checked before the work, then written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analysis.writing.provenance import Provenance

FIGURES = (".png", ".pdf")
TABLES = (".md", ".csv", ".tex", ".html")
ANSWERS = (".csv", ".json", ".md", ".parquet")


def checked(paths: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    """The same paths, their folders made. Raises AnalysisError where one has another suffix or cannot be written."""
    for path in paths:
        if path.suffix not in suffixes:
            *others, last = suffixes
            known = f"{', '.join(others)} or {last}" if others else last
            raise AnalysisError(f"-o {path}: the name must end in {known}.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise _unwritable(path, f"{problem.strerror}: {problem.filename}") from None
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            raise _unwritable(path, "Is a directory" if path.is_dir() else "Permission denied")
    return list(paths)


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which takes the place of `path` when all went well. Says so on standard output."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as problem:
        raise _unwritable(path, problem.strerror) from None
    finally:
        temporary.unlink(missing_ok=True)
    print(f"wrote {path}")


def publish(figure: Figure, provenance: Provenance, paths: Sequence[Path], numbers: pd.DataFrame | None = None) -> None:
    """Put the footer under a figure and write it. The same figure makes the same bytes.

    Args:
        numbers: what a path that ends in .csv gets: the numbers that the figure was made for, twelve digits of them.
    """
    from analysis.drawing.style import footer

    footer(figure, provenance.text())
    for path in paths:
        with written(path) as temporary:
            if path.suffix == ".csv" and numbers is not None:
                text = numbers.to_csv(index=False, float_format="%.12g")
                temporary.write_text(text + comment(provenance.json()), encoding="utf-8")
            else:
                figure.savefig(temporary, format=path.suffix[1:], metadata=_metadata(path, provenance))


def comment(facts: str) -> str:
    """The last line of a CSV: where its numbers come from; `pandas.read_csv(file, comment="#")` passes over it."""
    return f"# tsd: {facts}\n"


def _metadata(path: Path, provenance: Provenance) -> dict[str, str | None]:
    text, facts = provenance.text(), provenance.json()
    if path.suffix == ".png":
        return {"Title": path.stem, "Description": text, "Source": facts, "Software": "tsd analysis"}
    return {"Title": path.stem, "Subject": text, "Keywords": facts, "Creator": "tsd analysis", "CreationDate": None}


def _unwritable(path: Path, why: str | None) -> AnalysisError:
    return AnalysisError(f"-o {path} cannot be written: {why}. Nothing was changed there; choose another place.")
