"""Trials → packs: trials that agree in every static field run together, in packs of a sensible length.

A pack is what Ray Tune schedules. Its size moves no number (a trial never sees its neighbours), so it is free to
follow the machine: long enough to hide the hand-over, short enough that the last pack of a sweep is not waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import duckdb
import pyarrow as pa

from tsd.sweep.conditions import quoted

TARGET_S = 60.0
"""Seconds that a pack should last where earlier rows tell how long a trial takes."""
MOST = 4_096
"""Trials a pack, however short they are."""
PACKS_A_SLOT = 3
"""Packs for each place that runs one, at least, so that the end of a sweep is not one straggler."""


@dataclass(frozen=True)
class Limits:
    """What bounds a pack: `slots` packs run at a time; a pack is cut below `smallest` trials only where they last too
    long, and holds at most `largest` before it is known how long they last."""

    slots: int
    smallest: int = 8
    largest: int = 64

    @classmethod
    def of(cls, slots: int, device: str) -> Limits:
        """A GPU wants hundreds of trials at once, a core sixteen at a time."""
        return cls(slots, 256, 4096) if device == "cuda" else cls(slots)


@dataclass(frozen=True)
class Shape:
    """Trials that may share a pack: the static values by which they differ from the others, and how they are cut."""

    values: dict[str, object]
    trials: int
    packs: int
    seconds_a_trial: float | None


def varying(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> list[str]:
    """Those of `columns` that take more than one value in `table`, NULL counting as a value."""
    if not columns:
        return []
    tests = ", ".join(
        f"(min({quoted(c)}) IS DISTINCT FROM max({quoted(c)})) OR count({quoted(c)}) NOT IN (0, count(*))"
        for c in columns
    )
    row = connection.execute(f"SELECT {tests} FROM {table}").fetchone() or ()
    return [column for column, differs in zip(columns, row, strict=True) if differs]


def cut(
    connection: duckdb.DuckDBPyConnection, static: Sequence[str], limits: Limits, timing: pa.Table | None = None
) -> list[Shape]:
    """Cut the table `todo` into packs: the table `packed` says which row of it is in which, numbered longest first.

    Args:
        static: the static columns of the trial table.
        timing: earlier rows, with the static columns and `wall_s`; None where there are none.
    Returns:
        One shape per combination of static values, in the order in which their packs are numbered.
    """
    keys = varying(connection, "todo", static)
    _measure(connection, keys, timing)
    total = connection.execute("SELECT coalesce(sum(trials), 0) FROM shapes").fetchone()
    share = ceil((total[0] if total else 0) / (limits.slots * PACKS_A_SLOT))
    size = "CASE WHEN seconds IS NULL THEN $untimed ELSE least(greatest(floor($target / seconds), 1), $timed) END"
    connection.execute(
        "CREATE OR REPLACE TABLE shapes AS SELECT *, CAST(ceil(trials / packs) AS BIGINT) AS size, "
        "CAST(sum(packs) OVER (ORDER BY place ROWS UNBOUNDED PRECEDING) - packs AS BIGINT) AS first_pack FROM ("
        f"SELECT *, CAST(ceil(trials / least({size}, greatest($share, $smallest))) AS BIGINT) AS packs FROM shapes)",
        {
            "untimed": limits.largest,
            "timed": MOST,
            "target": TARGET_S,
            "share": share,
            "smallest": limits.smallest,
        },
    )
    match = " AND ".join(f"t.{quoted(k)} IS NOT DISTINCT FROM s.{quoted(k)}" for k in keys) or "true"
    connection.execute(
        "CREATE OR REPLACE TABLE packed AS SELECT t.rowid AS todo_row, s.place AS shape, s.first_pack + CAST(floor("
        "(row_number() OVER (PARTITION BY s.place ORDER BY t.rowid) - 1) / s.size) AS BIGINT) AS pack "
        f"FROM todo t JOIN shapes s ON {match}"
    )
    return _shapes(connection, keys)


def _measure(connection: duckdb.DuckDBPyConnection, keys: Sequence[str], timing: pa.Table | None) -> None:
    """The table `shapes`: one row per combination of `keys`, its number of trials and measured seconds a trial."""
    columns = ", ".join(quoted(k) for k in keys)
    listed = f"{columns}, " if keys else ""
    grouped = f"GROUP BY {columns}" if keys else "HAVING count(*) > 0"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE groups AS SELECT {listed}count(*) AS trials FROM todo {grouped}")
    seconds = "CAST(NULL AS DOUBLE)"
    if timing is not None and {*keys, "wall_s"} <= set(timing.column_names):
        connection.register("timing", timing)
        match = " AND ".join(f"m.{quoted(k)} IS NOT DISTINCT FROM g.{quoted(k)}" for k in keys) or "true"
        seconds = f"(SELECT greatest(avg(m.wall_s), 1e-6) FROM timing m WHERE {match} AND m.wall_s IS NOT NULL)"
    connection.execute(
        f"CREATE OR REPLACE TABLE shapes AS SELECT *, row_number() OVER (ORDER BY seconds * trials DESC NULLS FIRST, "
        f"{listed}trials) - 1 AS place FROM (SELECT g.*, {seconds} AS seconds FROM groups g)"
    )


def _shapes(connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> list[Shape]:
    columns = "".join(f", {quoted(k)}" for k in keys)
    rows = connection.execute(f"SELECT trials, packs, seconds{columns} FROM shapes ORDER BY place").fetchall()
    return [Shape(dict(zip(keys, row[3:], strict=True)), row[0], row[1], row[2]) for row in rows]


@dataclass(frozen=True)
class Pack:
    """One pack on its way to a worker: its number, its shape's place, and where its trials stand in the wave."""

    index: int
    shape: int
    start: int
    trials: int


@dataclass(frozen=True)
class Wave:
    """As many packs as a driver holds at once: the rows of all of them in one table, which every worker shares."""

    table: pa.Table
    packs: list[Pack]

    def rows(self, pack: Pack) -> pa.Table:
        """The trials of one of its packs."""
        return self.table.slice(pack.start, pack.trials)


def waves(connection: duckdb.DuckDBPyConnection, at_a_time: int = 2_000) -> Iterator[Wave]:
    """The packs of the table `packed`, in waves of `at_a_time`."""
    row = connection.execute("SELECT max(pack) FROM packed").fetchone()
    last = -1 if row is None or row[0] is None else int(row[0])
    for first in range(0, last + 1, at_a_time):
        bounds = [first, first + at_a_time - 1]
        packs = connection.execute(
            "SELECT pack, any_value(shape), CAST(sum(count(*)) OVER (ORDER BY pack) - count(*) AS BIGINT), count(*) "
            "FROM packed WHERE pack BETWEEN ? AND ? GROUP BY pack ORDER BY pack",
            bounds,
        ).fetchall()
        table = connection.sql(
            "SELECT t.* FROM packed JOIN todo t ON t.rowid = todo_row WHERE pack BETWEEN ? AND ? "
            "ORDER BY pack, todo_row",
            params=bounds,
        ).to_arrow_table()
        yield Wave(table, [Pack(*row) for row in packs])
