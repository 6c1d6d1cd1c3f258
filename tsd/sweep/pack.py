"""Trials → packs: trials that agree in every static field run together, in packs of a sensible length.

A pack is what Ray Tune schedules. Its size moves no number (a trial never sees its neighbours), so it is free to
follow the machine: long enough to hide the hand-over, short enough that the last pack of a sweep is not waited for,
small enough for the memory. Where nobody has measured trials of a shape, its first packs are small; their rows count,
and what they took cuts the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import floor, log2

import duckdb
import pyarrow as pa

from tsd.sweep.conditions import quoted

TARGET_S = 60.0
"""Seconds that a pack should last where earlier packs tell how long a trial takes."""
MOST = 4_096
"""Trials a pack, however short they are."""
PROBED_FROM, PROBES_A_SLOT = 4, 2
"""Packs a slot of shapes that nobody has measured from which on probes pay, which cost a start of the workers; and how
many: a worker's first is slow, for what it traces."""
PACKS_A_SLOT = 3
"""Packs for each place that runs one, at least, so that the end of a sweep is not one straggler."""
ROOM = 0.8
"""Of the memory that a pack may take, as earlier packs of its shape have measured it."""
PACKS_AT_A_TIME, TRIALS_AT_A_TIME = 2_000, 1_000_000
"""What a driver hands out in one go; it keeps their rows."""
PACKS_A_SLOT_AT_A_TIME, MOST_AT_A_TIME = 20, 20_000
"""The same on many slots, which wait for a wave's last pack; what Ray Tune keeps of a pack, some 34 kB, bounds it."""
FULL_GPU, SMALLEST_SHARE = 256, 1 / 8
"""Trials from which on a pack keeps a GPU busy, and the least part of one that a pack gets."""
FIGURES = pa.schema(
    [
        ("trials", pa.int64()),
        ("seconds", pa.float64()),
        ("way_taken", pa.string()),
        ("members", pa.int64()),
        ("peak_bytes", pa.int64()),
        ("room_bytes", pa.int64()),
        ("most", pa.int64()),
    ]
)
"""What is known of an earlier pack, beside its static columns: see `tsd.sweep.measured`."""


@dataclass(frozen=True)
class Limits:
    """What bounds a pack: `slots` packs run at a time, each on `share` of a GPU; a pack is cut below `smallest` trials
    only where they last or hold too much, and holds at most `largest` before it is known how long they last."""

    slots: int
    smallest: int = 8
    largest: int = 64
    share: float = 1.0

    @classmethod
    def of(cls, slots: int, device: str, share: float = 1.0) -> Limits:
        """A GPU wants hundreds of trials at once, a core sixteen at a time."""
        return cls(slots, 256, 4096, share) if device == "cuda" else cls(slots)


@dataclass(frozen=True)
class Shape:
    """Trials that may share a pack, and how they are cut.

    Args:
        values: the static values by which they differ from the others.
        size: trials of its largest pack.
        probes: of its packs, those that run first and are small, because nobody has measured such trials yet.
        fits: trials that memory holds at once, by what earlier packs have taken; None where none has told.
        bytes_a_trial, room_bytes: what they have taken of the memory there was.
        quickest: seconds a trial of the quickest pack; a worker's first one also traces and loads, and tells too much.
        way: how stored trials of the shape were stepped.
        resumes: the pack, cut earlier and not finished, that these trials are and stay.
    """

    values: dict[str, object]
    trials: int
    packs: int
    seconds_a_trial: float | None
    size: int = 0
    probes: int = 0
    fits: int | None = None
    bytes_a_trial: float | None = None
    room_bytes: int | None = None
    quickest: float | None = None
    way: str | None = None
    resumes: str | None = None


def varying(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> list[str]:
    """Those of `columns` that take more than one value in `table`, NULL counting as a value."""
    if not columns:
        return []
    tests = ", ".join(
        f"(min({quoted(c)}) IS DISTINCT FROM max({quoted(c)})) OR count({quoted(c)}) NOT IN (0, count(*))"
        for c in columns
    )
    [row] = connection.execute(f"SELECT {tests} FROM {table}").fetchall()
    return [column for column, differs in zip(columns, row, strict=True) if differs]


def cut(
    connection: duckdb.DuckDBPyConnection,
    static: Sequence[str],
    limits: Limits,
    measured: pa.Table | None = None,
    *,
    unfinished: Mapping[str, Sequence[str]] | None = None,
    again: bool = False,
) -> list[Shape]:
    """Cut the table `todo` into packs: the table `packed` says which row of it is in which. They are numbered in the
    order in which they run: probes, then the longest first.

    Args:
        static: the static columns of the trial table.
        measured: earlier packs, see `tsd.sweep.measured`; None where there are none.
        unfinished: trial ids of packs that go on where they were left, by name; each stays the pack that it was.
        again: whether unfinished packs and the places of shapes are those of the cut before.
    Returns:
        One shape per combination of static values, and one for each unfinished pack, in the order of their first packs.
    """
    keys = varying(connection, "todo", static)
    if not again:
        _resume(connection, unfinished or {})
    _group(connection, keys)
    _measure(connection, keys, measured)
    _size(connection, limits)
    if not again:
        connection.execute(
            "CREATE OR REPLACE TABLE places AS "
            "SELECT shape, row_number() OVER (ORDER BY first_pack) - 1 AS place FROM shapes"
        )
    _fill(connection, limits)
    columns = "".join(f", k.{quoted(k)}" for k in keys)
    rows = connection.execute(
        "SELECT s.trials, s.packs, s.seconds, s.size, s.probes, s.fits, s.bytes, s.room, s.quickest, "
        "s.way_taken, s.resumes"
        f"{columns} FROM shapes s JOIN kinds k USING (shape) JOIN places p USING (shape) ORDER BY p.place"
    ).fetchall()
    return [Shape(dict(zip(keys, row[11:], strict=True)), *row[:11]) for row in rows]


def _resume(connection: duckdb.DuckDBPyConnection, unfinished: Mapping[str, Sequence[str]]) -> None:
    """The table `resumed`: trials of unfinished packs."""
    pairs = [(trial, name) for name, trials in unfinished.items() for trial in trials]
    columns = zip(*pairs, strict=True) if pairs else ([], [])
    resumed = {name: pa.array(list(c), pa.string()) for name, c in zip(("trial_id", "resumes"), columns, strict=True)}
    connection.register("resumed", pa.table(resumed))


def _group(connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
    """The tables `shaped`, the shape of every row of `todo`; `groups`, the shapes with their number of trials; and
    `kinds`, their static values."""
    order = ", ".join([*(f"t.{quoted(k)}" for k in keys), "r.resumes"])
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE shaped AS SELECT t.rowid AS todo_row, r.resumes, "
        f"dense_rank() OVER (ORDER BY {order}) - 1 AS shape FROM todo t LEFT JOIN resumed r USING (trial_id)"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE groups AS SELECT shape, resumes, count(*) AS trials FROM shaped GROUP BY ALL"
    )
    values = "".join(f", any_value(t.{quoted(k)}) AS {quoted(k)}" for k in keys)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE kinds AS SELECT s.shape{values} "
        "FROM shaped s JOIN todo t ON t.rowid = s.todo_row GROUP BY s.shape"
    )


def _measure(connection: duckdb.DuckDBPyConnection, keys: Sequence[str], measured: pa.Table | None) -> None:
    """The table `known`: of each shape, its seconds and bytes a trial, the bytes that there are, the most trials after
    memory had run out, and the way they were stepped; NULL where nobody has told."""
    connection.register("measured", FIGURES.empty_table() if measured is None else measured)
    match = " AND ".join(f"m.{quoted(k)} IS NOT DISTINCT FROM k.{quoted(k)}" for k in keys) or "true"
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE known AS SELECT k.shape, any_value(m.way_taken) AS way_taken, "
        "nullif(sum(m.seconds), 0) / sum(m.trials) AS seconds, min(nullif(m.seconds, 0) / m.trials) AS quickest, "
        "max(m.peak_bytes) / max(m.members) AS bytes, "
        "min(m.room_bytes) AS room, min(nullif(m.most, 0)) AS most "
        f"FROM kinds k LEFT JOIN measured m ON {'false' if measured is None else match} GROUP BY k.shape"
    )


def _size(connection: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    """The table `shapes`: how each is cut, and the numbers of its first probe and of its first pack after those."""
    connection.execute(
        """
        CREATE OR REPLACE TABLE shapes AS
        WITH bounded AS (
            SELECT g.*, k.seconds, k.quickest, k.way_taken, k.bytes, CAST($share_of_gpu * k.room AS BIGINT) AS room,
                CAST(least(k.most, if(k.bytes > 0, greatest(floor($room * $share_of_gpu * k.room / k.bytes), 1), NULL))
                    AS BIGINT) AS fits,
                CASE WHEN k.seconds IS NULL THEN $untimed
                     ELSE least(greatest(floor($target / k.quickest), 1), $timed) END AS timed,
                greatest(ceil(sum(trials) OVER () / $packs), $smallest) AS share
            FROM groups g JOIN known k USING (shape)
        ), sized AS (
            SELECT *,
                CASE WHEN resumes IS NULL THEN least(timed, share, coalesce(fits, trials)) ELSE trials END AS size,
                seconds IS NULL AND resumes IS NULL AND size > $smallest AND trials > size AS unknown
            FROM bounded
        ), worthy AS (
            SELECT * REPLACE (
                unknown AND sum(ceil(trials / size)) FILTER (unknown) OVER () > $worth AS unknown
            ) FROM sized
        ), probed AS (
            SELECT *, CASE WHEN unknown THEN CAST(least(
                greatest($probes // count(*) FILTER (unknown) OVER (), 1), trials // (2 * $smallest)
            ) AS BIGINT) ELSE 0 END AS probes FROM worthy
        ), counted AS (
            SELECT *, trials - probes * $smallest AS others, CAST(ceil(others / size) AS BIGINT) AS rest FROM probed
        )
        SELECT * EXCLUDE (size, unknown), probes + rest AS packs, CAST(ceil(others / rest) AS BIGINT) AS size,
            CAST(sum(probes) OVER (ORDER BY shape) - probes AS BIGINT) AS first_probe,
            CAST(sum(probes) OVER () + sum(rest) OVER (
                ORDER BY resumes IS NULL, seconds * ceil(others / rest) DESC NULLS FIRST, others DESC, shape
            ) - rest AS BIGINT) AS first_pack
        FROM counted
        """,
        {
            "untimed": limits.largest,
            "timed": MOST,
            "target": TARGET_S,
            "packs": limits.slots * PACKS_A_SLOT,
            "smallest": limits.smallest,
            "probes": limits.slots * PROBES_A_SLOT,
            "worth": limits.slots * PROBED_FROM,
            "room": ROOM,
            "share_of_gpu": limits.share,
        },
    )


def _fill(connection: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    """The table `packed`: for each row of `todo`, the place of its shape and its pack."""
    connection.execute(
        """
        CREATE OR REPLACE TABLE packed AS
        WITH numbered AS (
            SELECT todo_row, shape, row_number() OVER (PARTITION BY shape ORDER BY todo_row) - 1 AS number FROM shaped
        )
        SELECT n.todo_row, p.place AS shape, CAST(CASE WHEN number < probes * $smallest
            THEN first_probe + number // $smallest
            ELSE first_pack + (number - probes * $smallest) // s.size END AS BIGINT) AS pack
        FROM numbered n JOIN shapes s USING (shape) JOIN places p USING (shape)
        """,
        {"smallest": limits.smallest},
    )


def gpu_share(connection: duckdb.DuckDBPyConnection, static: Sequence[str]) -> float:
    """The part of a GPU that the largest possible pack of the table `todo` fills: a half, a quarter or an eighth where
    all shapes have few trials, so that several packs share one."""
    listed = ", ".join(quoted(name) for name in static) or "NULL"
    [(most,)] = connection.execute(
        f"SELECT coalesce(max(trials), 1) FROM (SELECT count(*) AS trials FROM todo GROUP BY {listed})"
    ).fetchall()
    return max(SMALLEST_SHARE, min(1.0, 2.0 ** -floor(log2(FULL_GPU / most))))


def drop(connection: duckdb.DuckDBPyConnection, packs: int) -> None:
    """Take the trials of the first `packs` packs out of the table `todo`: they had their turn."""
    connection.execute("DELETE FROM todo WHERE rowid IN (SELECT todo_row FROM packed WHERE pack < ?)", [packs])


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


def at_a_time(slots: int) -> int:
    """Packs of a wave on so many slots."""
    return min(max(PACKS_AT_A_TIME, PACKS_A_SLOT_AT_A_TIME * slots), MOST_AT_A_TIME)


def waves(
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
    for wave in _in_waves(found, at_a_time):
        table = connection.sql(
            f"SELECT {columns or 't.trial_id'} FROM packed JOIN todo t ON t.rowid = todo_row "
            "WHERE pack BETWEEN ? AND ? ORDER BY pack, todo_row",
            params=[wave[0][0], wave[-1][0]],
        ).to_arrow_table()
        starts = accumulate((trials for _, _, trials in wave), initial=0)
        placed = zip(wave, starts, strict=False)
        yield Wave(table, [Pack(n + offset, shape, start, trials) for (n, shape, trials), start in placed], first)


def _in_waves(packs: Sequence[tuple[int, int, int]], most: int) -> Iterator[Sequence[tuple[int, int, int]]]:
    """Number, shape and trials of packs, in runs of at most `most` packs and, beyond one, `TRIALS_AT_A_TIME` trials."""
    begun, trials = 0, 0
    for place, (_, _, members) in enumerate(packs):
        if place > begun and (place - begun == most or trials + members > TRIALS_AT_A_TIME):
            yield packs[begun:place]
            begun, trials = place, 0
        trials += members
    if packs:
        yield packs[begun:]
