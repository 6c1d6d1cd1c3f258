"""Packs on their way to the workers: as many at a time as a driver holds, their rows in one table that all share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import duckdb
import pyarrow as pa

from tsd.sweep.sql import quoted, varying

PACKS_AT_A_TIME, TRIALS_AT_A_TIME = 2_000, 1_000_000
"""What a driver hands out in one go; it keeps their rows."""
PACKS_A_SLOT_AT_A_TIME, MOST_AT_A_TIME = 20, 20_000
"""The same on many slots, which wait for a wave's last pack; what Ray Tune keeps of a pack, some 34 kB, bounds it."""


@dataclass(frozen=True)
class Pack:
    """One pack on its way to a worker: its number, its shape's place, and where its trials stand in the wave."""

    index: int
    shape: int
    start: int
    trials: int


@dataclass(frozen=True)
class Wave:
    """As many packs as a driver holds at once: the rows of all of them in one table, which every worker shares.

    Args:
        table: those columns in which trials of the sweep differ.
        packs: where each of them lies in it.
        first: a whole row; every other has its values in the columns that are not in `table`.
    """

    table: pa.Table
    packs: list[Pack]
    first: pa.Table

    def rows(self, pack: Pack) -> pa.Table:
        """The trials of one of its packs."""
        part, differing = self.table.slice(pack.start, pack.trials), set(self.table.column_names)
        return pa.table(
            {
                name: part[name] if name in differing else pa.repeat(self.first[name][0], pack.trials)
                for name in self.first.column_names
            }
        )


def packs_at_a_time(slots: int) -> int:
    """Packs of a wave on so many slots."""
    return min(max(PACKS_AT_A_TIME, PACKS_A_SLOT_AT_A_TIME * slots), MOST_AT_A_TIME)


def in_waves(
    connection: duckdb.DuckDBPyConnection,
    packs: range | None = None,
    *,
    offset: int = 0,
    at_a_time: int = PACKS_AT_A_TIME,
) -> Iterator[Wave]:
    """The packs of the table `packed`, in waves of `at_a_time`, or fewer where they are large.

    Args:
        packs: those of these numbers; all for None.
        offset: added to their numbers, so that packs of two cuts have different ones.
    """
    asked = packs or range(2**62)
    first = connection.sql("SELECT * FROM todo LIMIT 1").to_arrow_table()
    columns = ", ".join(f"t.{quoted(name)}" for name in varying(connection, "todo", first.column_names))
    found = connection.execute(
        "SELECT pack, any_value(shape), count(*) FROM packed WHERE pack BETWEEN ? AND ? GROUP BY pack ORDER BY pack",
        [asked[0], asked[-1]],
    ).fetchall()
    for wave in _runs(found, at_a_time):
        table = connection.sql(
            f"SELECT {columns or 't.trial_id'} FROM packed JOIN todo t ON t.rowid = todo_row "
            "WHERE pack BETWEEN ? AND ? ORDER BY pack, todo_row",
            params=[wave[0][0], wave[-1][0]],
        ).to_arrow_table()
        starts = accumulate((trials for _, _, trials in wave), initial=0)
        placed = zip(wave, starts, strict=False)
        yield Wave(table, [Pack(n + offset, shape, start, trials) for (n, shape, trials), start in placed], first)


def together(connection: duckdb.DuckDBPyConnection, probes: int) -> Wave:
    """The rows of all trials at once, shape by shape, and of their packs the first `probes`; see `cut_from`."""
    connection.execute(
        "CREATE OR REPLACE TABLE lines AS SELECT todo_row, row_number() OVER (ORDER BY shape, todo_row) - 1 AS line "
        "FROM packed"
    )
    first = connection.sql("SELECT * FROM todo LIMIT 1").to_arrow_table()
    columns = ", ".join(f"t.{quoted(name)}" for name in varying(connection, "todo", first.column_names))
    table = connection.sql(
        f"SELECT {columns or 't.trial_id'} FROM lines JOIN todo t ON t.rowid = todo_row ORDER BY line"
    ).to_arrow_table()
    return Wave(table, cut_from(connection, range(probes)), first)


def cut_from(connection: duckdb.DuckDBPyConnection, packs: range | None = None, *, offset: int = 0) -> list[Pack]:
    """Packs of the table `packed`, where they stand in the wave that has all trials together; arguments as of
    `in_waves`. However a shape is cut, its packs are runs of neighbours."""
    asked = packs or range(2**62)
    found = connection.execute(
        "SELECT pack, any_value(shape), min(line), count(*), max(line) FROM packed JOIN lines USING (todo_row) "
        "WHERE pack BETWEEN ? AND ? GROUP BY pack ORDER BY pack",
        [asked[0], asked[-1]],
    ).fetchall()
    assert all(last - start + 1 == trials for *_, start, trials, last in found)
    return [Pack(n + offset, shape, start, trials) for n, shape, start, trials, _ in found]


def _runs(packs: Sequence[tuple[int, int, int]], most: int) -> Iterator[Sequence[tuple[int, int, int]]]:
    """Number, shape and trials of packs, in runs of at most `most` packs and, beyond one, `TRIALS_AT_A_TIME` trials."""
    begun, trials = 0, 0
    for place, (_, _, members) in enumerate(packs):
        if place > begun and (place - begun == most or trials + members > TRIALS_AT_A_TIME):
            yield packs[begun:place]
            begun, trials = place, 0
        trials += members
    if packs:
        yield packs[begun:]
