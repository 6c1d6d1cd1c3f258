"""Looking at a sweep's results without touching them: what failed and why, the rows themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

import duckdb

from tsd.store import Store, sweepfile
from tsd.sweep import conditions, spec
from tsd.sweep.sql import quoted, varying

IDENTITY = ("trial_id", "study", "study_version", "kind", "origin")
RECORD = (
    *IDENTITY,
    "pack_id",
    "wall_s",
    "device",
    "started_at",
    "git_sha",
    "tsd_version",
    "host",
    "error",
    "error_type",
    "way_taken",
)
"""Columns about a run, not about what came out."""

FRAME = r'File "[^"]+", line \d+, in \S+'
"""A line of a Python trace."""


def store_of(file: Path, results: str, overrides: Sequence[str] = ()) -> Store:
    """The results folder of the sweep in `file`."""
    return Store.of(results, spec.load(file, overrides).name)


@dataclass(frozen=True)
class Rows:
    """The stored rows of a sweep, as the view `rows` of a database of their own.

    Args:
        connection: the database.
        columns: every column.
        parameters: those that the trials were asked for with.
    """

    connection: duckdb.DuckDBPyConnection
    columns: list[str]
    parameters: list[str]

    @classmethod
    def of(cls, file: Path, results: str, overrides: Sequence[str] = (), where: str | None = None) -> Rows:
        """Open the rows of the sweep in `file` that satisfy `where`. Raises UserError, also where nothing is stored."""
        sweep = spec.load(file, overrides)
        store = Store.of(results, sweep.name)
        sweepfile.require(store.files)
        table = store.trials()
        connection = duckdb.connect()
        connection.register("stored", table)
        condition = conditions.checked(where, connection, "stored") if where else "true"
        connection.execute(f"CREATE VIEW rows AS SELECT * FROM stored WHERE {condition}")
        seeds = [name for name in table.column_names if name.startswith("seed_")]
        return cls(connection, table.column_names, [n for n in table.column_names if n in sweep.fields] + seeds)

    def telling(self, limit: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Header and rows in the columns in which the rows differ, the book-keeping left out; `limit` 0 is all.

        The state is among them unless every trial is done.
        """
        names = varying(self.connection, "rows", [c for c in self.columns if c not in RECORD])
        undone = self.connection.execute("SELECT count(*) FROM rows WHERE state <> 'done'").fetchone()
        if "state" not in names and (not names or undone != (0,)):
            names.append("state")
        listed, most = ", ".join(quoted(n) for n in names), f"LIMIT {limit}" if limit else ""
        return names, self.connection.execute(f"SELECT {listed} FROM rows ORDER BY ALL {most}").fetchall()


def failures(connection: duckdb.DuckDBPyConnection, parameters: Sequence[str]) -> list[dict[str, Any]]:
    """Failed trials of the view `rows`, grouped by what was raised where.

    Returns:
        One entry a cause: `error_type`, `where` (the innermost frame), `message`, `trials`, `shared` (the parameter
        values that all its members share and that some other trial does not have), `trace` of one of them.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE failed AS SELECT *, "
        f"coalesce(list_last(regexp_extract_all(error, '{FRAME}', 0)), '') AS frame "
        "FROM rows WHERE state = 'failed'"
    )
    causes = connection.execute(
        "SELECT error_type, frame, count(*) AS trials, any_value(error) FROM failed "
        "GROUP BY ALL ORDER BY trials DESC, error_type"
    ).fetchall()
    telling = varying(connection, "rows", parameters)
    found = []
    for kind, frame, trials, trace in causes:
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE cause AS SELECT * FROM failed "
            "WHERE error_type IS NOT DISTINCT FROM ? AND frame = ?",
            [kind, frame],
        )
        apart = set(varying(connection, "cause", telling))
        same = [name for name in telling if name not in apart]
        shared = _first(connection, "cause", same)
        message = (trace or "").strip().splitlines()[-1:] or [""]
        found.append(
            {
                "error_type": kind,
                "where": frame,
                "message": message[0],
                "trials": trials,
                "shared": shared,
                "trace": trace,
            }
        )
    return found


def _first(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> dict[str, Any]:
    if not columns:
        return {}
    row = connection.execute(f"SELECT {', '.join(quoted(c) for c in columns)} FROM {table} LIMIT 1").fetchone() or ()
    return dict(zip(columns, row, strict=True))


def render_failures(found: Sequence[dict[str, Any]]) -> str:
    """The causes, most frequent first, each with what its trials have in common and one trace."""
    if not found:
        return "no trial has failed"
    blocks = []
    for cause in found:
        shared = ", ".join(f"{name} = {value}" for name, value in cause["shared"].items())
        head = f"×{cause['trials']} {cause['message']}" + (f"\n   all at {shared}" if shared else "")
        blocks.append(f"{head}\n\n{indent((cause['trace'] or '').rstrip(), '   ')}")
    return "\n\n".join(blocks)


def render_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows as plain aligned text: columns of words to the left, those of numbers to the right."""
    cells = [list(header), *([_cell(v) for v in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    words = [any(isinstance(row[i], str) for row in rows) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        placed = (c.ljust(w) if word else c.rjust(w) for c, w, word in zip(row, widths, words, strict=True))
        return "  ".join(placed).rstrip()

    return "\n".join(map(line, cells))


def render_rows(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows as plain text; where there are none, what that means."""
    return render_table(header, rows) if rows else "no stored row fulfils this"


def _cell(value: Any) -> str:
    if value is None:
        return "·"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
