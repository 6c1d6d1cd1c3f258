"""A sweep file as a command was given it: read, changed by its flags, expanded, next to its results."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from tsd.store import Store
from tsd.sweep import grid, plan, spec
from tsd.sweep.problems import SweepFileError
from tsd.sweep.shapes import Limits, gpu_share
from tsd.sweep.spec import Sweep
from tsd.sweep.sql import quoted

DEFAULT_RESULTS = "results"


@dataclass(frozen=True)
class Asked:
    """What a command is about.

    Args:
        sweep: the resolved sweep.
        grid: how its trials came about.
        connection: a database with the table `trials`.
        store: the results folder.
        file: the sweep file.
        whole: whether `connection` holds all trials; false where a `--where` took some away.
        flags: the flags of the command that decide which trials and which folder are meant.
    """

    sweep: Sweep
    grid: grid.Grid
    connection: duckdb.DuckDBPyConnection
    store: Store
    file: Path
    whole: bool
    flags: tuple[str, ...]

    @classmethod
    @contextmanager
    def of(cls, file: Path, results: str, overrides: Sequence[str] = (), where: str | None = None) -> Iterator[Asked]:
        """Read, check and expand `file`, in a database that is gone afterwards.

        Raises:
            UserError: the file or the condition is wrong, or the results folder is another sweep's.
        """
        sweep = spec.load(file, overrides)
        store = Store.of(results, sweep.name)
        store.refuse_another(sweep.as_dict())
        with grid.workspace() as connection:
            expanded = grid.expand(sweep, connection, where)
            flags = _flags(results, overrides, where)
            yield cls(sweep, expanded, connection, store, file, where is None, flags)

    def command(self, *words: str, results: bool = True) -> str:
        """A command about the same trials, ready to be typed: `command("failures")`, `command("run", "--here")`."""
        verb, *more = words
        flags = self.flags if results else _without_results(self.flags)
        return shlex.join(["python", "-m", "tsd.sweep", verb, str(self.file), *flags, *more])

    def check(self) -> None:
        """Let the study judge what the trials ask for and a declaration cannot judge, such as the name of a data set.

        Raises:
            SweepFileError: something of that kind cannot be meant, or is not at hand on this machine.
        """
        asked = {
            name: {
                value for (value,) in self.connection.execute(f"SELECT DISTINCT {quoted(name)} FROM trials").fetchall()
            }
            for name in self.sweep.judged
        }
        if wrong := self.sweep.doubts(lambda name, value: value in asked[name]):
            raise SweepFileError(wrong)

    def compare(self, mode: str, *, move_damaged: bool = False) -> plan.Standing:
        """How the trials stand. What is stored and not asked for is counted only where all trials are at hand."""
        standing = plan.compare(self.connection, self.store, mode, move_damaged=move_damaged)
        return standing if self.whole else replace(standing, orphans=0)

    def gpu_share(self) -> float:
        """The part of a GPU that a pack of what is to be run can fill, once `compare` has told what that is."""
        return gpu_share(self.connection, self.sweep.static)

    def plan(self, limits: Limits, mode: str) -> plan.Plan:
        """What a run would do; orphans are counted as `compare` does. Raises SweepFileError as `check` does."""
        self.check()
        planned = plan.make(self.sweep, self.grid, self.connection, self.store, limits=limits, mode=mode)
        return planned if self.whole else replace(planned, orphans=0)


def _flags(results: str, overrides: Sequence[str], where: str | None) -> tuple[str, ...]:
    changed = [word for override in overrides for word in ("--set", override)]
    kept = ["--where", where] if where is not None else []
    return (*(["--results", results] if results != DEFAULT_RESULTS else []), *changed, *kept)


def _without_results(flags: Sequence[str]) -> list[str]:
    return list(flags[2:]) if flags and flags[0] == "--results" else list(flags)
