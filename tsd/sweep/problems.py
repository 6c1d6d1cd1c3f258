"""What is wrong with a sweep file, and where. Problems are collected, and shown at once in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from tsd.errors import UserError

MOST_SHOWN = 50


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands: line and column of the file (from 1), or a `--set`, which has neither.

    Args:
        rank: 0 for the file, i for the i-th `--set`; problems are shown in this order.
        line, column: from 1; 0 where the source as a whole is meant.
        source: the file's path, or the `--set` as it was typed.
    """

    rank: int
    line: int
    column: int
    source: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake: its place, the path of keys that leads there (`axes.lr[2]`), and what to know about it."""

    place: Place
    path: str
    text: str

    def __str__(self) -> str:
        body = "".join(f"\n  {line}" for line in self.text.splitlines())
        return f"{self.place}  {self.path}".rstrip() + body


class SweepFileError(UserError):
    """Everything that is wrong with a sweep file. Of several problems with one value the first is told."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        first = {(p.place, p.path): p for p in reversed([*problems])}
        self.problems = tuple(sorted(first.values()))
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        hidden = [f"… and {count - MOST_SHOWN} more"] if count > MOST_SHOWN else []
        ending = f"{count} problem{'s' if count != 1 else ''}. Nothing was launched."
        return "\n".join([*map(str, self.problems[:MOST_SHOWN]), *hidden, ending])


def near(name: str, among: Iterable[str]) -> str | None:
    """The one of `among` that is likely to be meant by `name`."""
    lowered = {candidate.lower(): candidate for candidate in among}
    found = get_close_matches(name.lower(), lowered, n=1, cutoff=0.65)
    return lowered[found[0]] if found else None


def nearest(name: str, among: Iterable[str]) -> str:
    """`Did you mean …?` as a line of its own, or nothing where no name is near."""
    found = near(name, among)
    return f"\nDid you mean `{found}`?" if found else ""


def nearest_file(path: Path) -> str:
    """The same of a sweep file: one that lies where `path` was looked for, or in `sweeps/`."""
    beside = {file.stem: file for folder in (Path("sweeps"), path.parent) for file in folder.glob("*.y*ml")}
    found = near(path.stem, beside)
    return f"\nDid you mean `{beside[found]}`?" if found else ""


def listed(names: Sequence[str]) -> str:
    """Names as prose: `a`, `b`, `c`."""
    return ", ".join(f"`{name}`" for name in names)


def shorten(text: str, width: int = 60) -> str:
    """`text` on one line of at most `width` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"
