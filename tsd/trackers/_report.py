"""What a tracker is told of a sweep: one summary and one table of settings, however many trials there were."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.types as kinds

from tsd.errors import UserError
from tsd.store import Store
from tsd.sweep.sql import quoted, varying

WORTH = "kind = 'experiment' AND state = 'done'"
"""The rows that are averaged."""


@dataclass(frozen=True)
class Report:
    """A sweep as one run.

    Args:
        name, study: of the sweep.
        place: the results folder, without passwords and options.
        about: commit, versions, machine: text by name.
        fixed: parameters that have one value in all trials.
        axes: parameters that vary, seeds left out.
        metrics: numbers that the study reports.
        summary: trials by state, and mean, least and greatest value of every metric over the trials that are done.
        settings: one row for each combination of `axes`: these, `n` trials done, the mean of every metric over them.
        trials: every row.
    """

    name: str
    study: str
    place: str
    about: Mapping[str, str]
    fixed: Mapping[str, Any]
    axes: Sequence[str]
    metrics: Sequence[str]
    summary: Mapping[str, float]
    settings: pa.Table
    trials: pa.Table

    @property
    def key(self) -> str:
        """Names these results, and no others, for a tracker that is told of them again."""
        return hashlib.blake2b(self.place.encode(), digest_size=8).hexdigest()

    @classmethod
    def of(cls, store: Store, connection: duckdb.DuckDBPyConnection, parameters: Sequence[str]) -> Report:
        """Of the view `rows` of a database.

        Args:
            store: where the rows are kept.
            connection: the database.
            parameters: columns that the trials were asked for with, seeds among them or not.

        Raises:
            UserError: there is no row.
        """
        kept, told, trials = store.sweep() or {}, store.fields(), connection.sql("FROM rows").to_arrow_table()
        if not trials.num_rows:
            raise UserError(f"No row of {store} is asked for, so there is nothing to track. Run the sweep first.")
        own = [name for name in parameters if not name.startswith("seed_")]
        axes = varying(connection, "rows", own)
        metrics = [
            column.name
            for column in trials.schema
            if told.get(column.name, {}).get("role") == "metric" and _is_number(column.type)
        ]
        return cls(
            name=str(kept.get("name", "")),
            study=str(kept.get("study", "")),
            place=str(store),
            about=_about(kept.get("provenance", {})),
            fixed=_first(connection, [name for name in own if name not in axes]),
            axes=axes,
            metrics=metrics,
            summary=_summary(connection, metrics),
            settings=_settings(connection, axes, metrics),
            trials=trials,
        )


def _is_number(kind: pa.DataType) -> bool:
    return kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind)


def _about(provenance: Mapping[str, Any]) -> dict[str, str]:
    versions = provenance.get("versions", {})
    names = ("git_sha", "git_dirty", "tsd_version")
    told = {name: provenance[name] for name in names if provenance.get(name) is not None}
    return {name: str(value) for name, value in (told | versions).items() if value is not None}


def _first(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> dict[str, Any]:
    [row] = connection.sql(f"SELECT {_listed(columns) or 'NULL'} FROM rows LIMIT 1").to_arrow_table().to_pylist()
    return {name: row[name] for name in columns if row.get(name) is not None}


def _summary(connection: duckdb.DuckDBPyConnection, metrics: Sequence[str]) -> dict[str, float]:
    states = dict(connection.execute("SELECT state, count(*) FROM rows GROUP BY state").fetchall())
    found: dict[str, float] = {"trials": sum(states.values()), **states}
    for name in metrics:
        measured = ", ".join(f"{how}({_number(name)})" for how in ("avg", "min", "max"))
        [values] = connection.execute(
            f"SELECT {measured} FROM rows WHERE {WORTH} AND isfinite({_number(name)})"
        ).fetchall()
        found |= {f"{name}/{how}": v for how, v in zip(("mean", "min", "max"), values, strict=True) if v is not None}
    return found


def _settings(connection: duckdb.DuckDBPyConnection, axes: Sequence[str], metrics: Sequence[str]) -> pa.Table:
    means = [f"avg({_number(name)}) FILTER (isfinite({_number(name)})) AS {quoted(name)}" for name in metrics]
    columns = ", ".join([*map(quoted, axes), "count(*) AS n", *means])
    grouped = f"GROUP BY {_listed(axes)} ORDER BY {_listed(axes)}" if axes else ""
    return connection.sql(f"SELECT {columns} FROM rows WHERE {WORTH} {grouped}").to_arrow_table()


def _number(name: str) -> str:
    return f"{quoted(name)}::DOUBLE"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))
