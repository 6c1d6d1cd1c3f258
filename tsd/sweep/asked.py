"""A sweep file as a command was given it: read, changed by its flags, expanded, next to its results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from tsd.store import Store
from tsd.sweep import grid, pack, plan, spec
from tsd.sweep.spec import Sweep


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
    """

    sweep: Sweep
    grid: grid.Grid
    connection: duckdb.DuckDBPyConnection
    store: Store
    file: Path
    whole: bool

    @classmethod
    @contextmanager
    def of(cls, file: Path, results: str, overrides: Sequence[str] = (), where: str | None = None) -> Iterator[Asked]:
        """Read, check and expand `file`, in a database that is gone afterwards. Raises UserError."""
        sweep = spec.load(file, overrides)
        store = Store.of(results, sweep.name)
        with grid.workspace() as connection:
            asked = cls(sweep, grid.expand(sweep, connection, where), connection, store, file, where is None)
            asked.check()
            yield asked

    def check(self) -> None:
        """Let the study judge values of fields that a declaration cannot judge, such as the name of a data set."""
        for name, check in getattr(self.sweep.module, "CHECKS", {}).items():
            for (value,) in self.connection.execute(f"SELECT DISTINCT {pack.quote(name)} FROM trials").fetchall():
                check(value)

    def plan(self, limits: pack.Limits, mode: str, *, move_damaged: bool = False) -> plan.Plan:
        """What a run would do. What is stored and not asked for is counted only where all trials are at hand."""
        planned = plan.make(
            self.sweep, self.grid, self.connection, self.store, limits=limits, mode=mode, move_damaged=move_damaged
        )
        return planned if self.whole else replace(planned, orphans=0)
