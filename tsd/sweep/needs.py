"""What must be trained before the trials: the artefacts that they ask for, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from tsd.store import Store
from tsd.studies._base import Artefact, artefacts
from tsd.sweep import columns, shelf
from tsd.sweep.spec import Sweep
from tsd.sweep.sql import distinct, quoted, varying


@dataclass(frozen=True)
class Need:
    """An artefact that new trials ask for: the first trial that does, as a row, and whether it is stored. Those of one
    name are trained level by level: one of level 1 is made from one of level 0."""

    name: str
    key: str
    row: dict[str, Any]
    stored: bool
    level: int = 0


def needs(sweep: Sweep, connection: duckdb.DuckDBPyConnection, store: Store) -> list[Need]:
    """The artefacts that the table `todo` asks for, each once, in the order in which they can be trained."""
    asking = _asking(sweep, connection)
    stored = store.artefacts.keys() if asking else set()
    differing = varying(connection, "todo", sweep.static)
    found: dict[str, Need] = {}
    for artefact, shapes in asking.values():
        for row in _rows(connection, artefact, shapes, differing):
            for level, values in enumerate(_line(artefact, row)):
                key = shelf.key(shelf.recipe(sweep.study, sweep.version, artefact, values))
                found.setdefault(key, Need(artefact.name, key, values, key in stored, level))
    order = list(asking)
    return sorted(found.values(), key=lambda need: (order.index(need.name), need.level))


def _asking(sweep: Sweep, connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[Artefact, list[int]]]:
    """Artefacts by name, in the order in which they can be trained, each with the numbers of the shapes whose trials
    ask for it: which those are depends on the static fields alone. Leaves the shapes as the table `asked_shapes`."""
    study = sweep.module
    if not hasattr(study, "artefacts") and not hasattr(study, "ARTEFACTS"):
        return {}
    shapes = distinct(connection, "todo", sweep.static)
    numbered = shapes.append_column("shape", pa.array(range(shapes.num_rows), pa.int64()))
    connection.register("asked_shapes", numbered)
    found: dict[str, tuple[Artefact, list[int]]] = {}
    for number, row in enumerate(shapes.to_pylist()):
        for artefact in artefacts(study, columns.trial(study, row)):
            found.setdefault(artefact.name, (artefact, []))[1].append(number)
    return found


def _rows(
    connection: duckdb.DuckDBPyConnection, artefact: Artefact, shapes: list[int], differing: Sequence[str]
) -> list[dict[str, Any]]:
    """Of the trials of `shapes`, a whole one for every combination of what the artefact depends on.

    Args:
        differing: static columns by which a trial's shape is found.
    """
    names = [*artefact.fields, *(f"seed_{stream}" for stream in artefact.streams)]
    here = {row[0] for row in connection.execute("SELECT column_name FROM (DESCRIBE todo)").fetchall()}
    listed = ", ".join(f"t.{quoted(name)}" for name in names if name in here)
    match = " AND ".join(f"t.{quoted(name)} IS NOT DISTINCT FROM s.{quoted(name)}" for name in differing) or "true"
    rows = connection.sql(
        f"SELECT DISTINCT ON ({listed}) t.* FROM todo t JOIN asked_shapes s ON {match} "
        f"WHERE list_contains($shapes, s.shape) ORDER BY {listed}",
        params={"shapes": shapes},
    )
    return [dict.fromkeys(names) | row for row in rows.to_arrow_table().to_pylist()]


def _line(artefact: Artefact, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the artefacts of this kind from the first one to that of `row`, each made from the one before."""
    line = [row]
    while before := artefact.before(line[0]):
        line.insert(0, {**row, **before})
    return line
