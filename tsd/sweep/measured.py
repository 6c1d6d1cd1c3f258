"""What the packs of a sweep have taken so far, by static fields: the results folder remembers it, and the next cut
follows it.

Seconds stand in the rows; memory, and what did not fit into it, in the events of the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from tsd.sweep.sql import quoted

if TYPE_CHECKING:
    from tsd.store import Store

TOLD = pa.schema(
    [
        ("pack_id", pa.string()),
        ("members", pa.int64()),
        ("peak_bytes", pa.int64()),
        ("room_bytes", pa.int64()),
        ("most", pa.int64()),
    ]
)


def measured(store: Store, static: Sequence[str]) -> pa.Table:
    """One row a stored pack and combination of static values in it.

    Returns:
        The static columns, `trials`, the `seconds` that they took together and the `way_taken`; and, NULL where no run
        tells of it, `members` (trials of the pack), `peak_bytes`, `room_bytes` (what there was), `most` (trials at once
        after memory had run out; 0 where it never did).
    """
    rows = store.trials([*static, "wall_s", "way_taken", "pack_id"], skip_damaged=True)
    told = pa.Table.from_pylist(_told(store), schema=TOLD)
    names = "".join(f"{quoted(name)}, " for name in static)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("stored", rows)
        connection.register("told", told)
        return connection.sql(
            f"SELECT {names}trials, seconds, way_taken, members, peak_bytes, room_bytes, most "
            f"FROM (SELECT {names}pack_id, count(*) AS trials, sum(wall_s) AS seconds, "
            "any_value(way_taken) AS way_taken "
            "FROM stored WHERE wall_s IS NOT NULL GROUP BY ALL) LEFT JOIN told USING (pack_id)"
        ).to_arrow_table()


def _told(store: Store) -> list[dict[str, object]]:
    """What the last run of each pack said of its memory."""
    packs = {
        event["pack_id"]: {name: event.get(name) for name in TOLD.names}
        | {"members": sum(event["states"].values()) if event.get("states") else None}
        for event in store.events()
        if event.get("kind") == "pack_finished" and event.get("pack_id") and "peak_bytes" in event
    }
    return list(packs.values())
