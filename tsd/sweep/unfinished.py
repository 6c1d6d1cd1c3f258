"""Long packs that a run left in the middle: they stay the packs that they were, so that their states still fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    from tsd.store import Store


def unfinished(store: Store, connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Packs with a kept state, with their trials, all of which are in the table `todo`."""
    packs = store.checkpoints.packs()
    waiting = _among(connection, "todo", packs.values())
    return {name: trials for name, trials in packs.items() if waiting.issuperset(trials)}


def forget(store: Store, connection: duckdb.DuckDBPyConnection) -> None:
    """Remove the states of packs of which a trial is stored, and of artefacts that are stored: who worked on them has
    written the part, the file, and died before it said so."""
    packs = store.checkpoints.packs()
    stored = _among(connection, "states", packs.values()) if packs else set()
    for name, trials in packs.items():
        if not stored.isdisjoint(trials):
            store.checkpoints.remove(name)
    if training := store.checkpoints.artefacts():
        for name in training & store.artefacts.keys():
            store.checkpoints.remove(name)


def _among(connection: duckdb.DuckDBPyConnection, table: str, packs: Iterable[list[str]]) -> set[str]:
    """Those trials of the packs that `table` has."""
    trials = [trial for pack in packs for trial in pack]
    connection.register("left_trials", pa.table({"trial_id": pa.array(trials, pa.string())}))
    found = connection.execute(f"SELECT trial_id FROM left_trials SEMI JOIN {table} USING (trial_id)").fetchall()
    return {trial for (trial,) in found}
