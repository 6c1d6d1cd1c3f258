"""Trials → packs: trials that agree in every static field run together, in packs of a sensible length.

A pack is what Ray Tune schedules. Its size moves no number (a trial never sees its neighbours), so it is free to
follow the machine: long enough to hide the hand-over, short enough that the last pack of a sweep is not waited for,
small enough for the memory. Where nobody has measured trials of a shape, its first packs are small; their rows count,
and what they took cuts the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pyarrow as pa

from tsd.sweep.shapes import Limits, Shape
from tsd.sweep.sql import quoted, varying

TARGET_S = 60.0
"""Seconds that a pack should last where earlier packs tell how long a trial takes."""
MOST = 4_096
"""Trials a pack, however short they are."""
PROBED_FROM, PROBES_A_SLOT = 4, 2
"""Packs a slot of shapes that nobody has measured from which on probes pay, for the others wait for them; and how many:
a worker's first is slow, for what it traces."""
PACKS_A_SLOT = 3
"""Packs for each place that runs one, at least, so that the end of a sweep is not one straggler."""
ROOM = 0.8
"""Of the memory that a pack may take, as earlier packs of its shape have measured it."""
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
    values = [dict(zip(keys, row[11:], strict=True)) for row in rows]
    telling = _telling(values)
    return [Shape({key: of[key] for key in telling}, *row[:11]) for of, row in zip(values, rows, strict=True)]


def _telling(values: Sequence[Mapping[str, object]]) -> list[str]:
    """The keys that tell the shapes apart, without the fields that only some of the trials have (those of one method)
    where the others do."""
    keys = [*values[0]] if values else []

    def kinds(among: Sequence[str]) -> int:
        return len({tuple(of[key] for key in among) for of in values})

    for key in [key for key in keys if any(of[key] is None for of in values)]:
        rest = [other for other in keys if other != key]
        if kinds(rest) == kinds(keys):
            keys = rest
    return keys


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


def drop(connection: duckdb.DuckDBPyConnection, packs: int) -> None:
    """Take the trials of the first `packs` packs out of the table `todo`: they had their turn."""
    connection.execute("DELETE FROM todo WHERE rowid IN (SELECT todo_row FROM packed WHERE pack < ?)", [packs])
