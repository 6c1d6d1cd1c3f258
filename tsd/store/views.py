"""The parts as views of a DuckDB database, for questions about more rows than fit into memory.

On a disk DuckDB reads the files itself, and of them only the columns and row groups that a question needs. A database
that may open no file, an object store, and parts of unlike columns are read through pyarrow. Either way the views go on
working once DuckDB's own file access is switched off, so that a query can reach nothing but the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from tsd.store import parts, reading, schema
from tsd.store.disk import Disk
from tsd.store.files import Files
from tsd.store.parts import Part

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_PART = "tsd_part"
_BEST = (
    f"QUALIFY row_number() OVER (PARTITION BY trial_id ORDER BY list_position({list(schema.STATES)}, state), "
    f"started_at DESC, {_PART}) = 1"
)
_WILD = frozenset("*?[")
"""Letters with which DuckDB reads a path as a pattern of many."""


@dataclass(frozen=True)
class _Tables:
    """The files of one kind.

    Args:
        names: of the files.
        columns: of the view.
        alike: whether every file has these columns, in this order.
    """

    names: tuple[str, ...]
    columns: pa.Schema
    alike: bool = True

    @classmethod
    def of_trials(cls, pieces: Sequence[tuple[Part, pa.Schema]]) -> _Tables:
        whole = reading.unified(pieces)
        own = schema.distinct(columns for _, columns in pieces)
        alike = all((columns.names, columns.types) == (whole.names, whole.types) for columns in own)
        return cls(tuple(part.trials.name for part, _ in pieces), whole, alike)


def connect(files: Files, connection: duckdb.DuckDBPyConnection) -> pa.Schema:
    """Make the views `trials`, `curves` and `hashed_trials` and return the schema of the trials; see `Store.connect`.

    Ids are text that does not compress, and longer to read than everything else that a question needs. They are read
    once, to see which trials have several rows, and their hashes stay in memory, in the order of the files.
    """
    pieces = reading.wholly(files, lambda: _pieces(files))
    trials = _Tables.of_trials(pieces)
    own = _attach(connection, "tsd_trial_parts", files, trials)
    curves = tuple(part.curves.name for part, _ in pieces if part.curves)
    _attach(connection, "tsd_curve_parts", files, _Tables(curves, schema.CURVES))
    ids = connection.sql("SELECT hash(trial_id) AS tsd_hash FROM tsd_trial_parts").to_arrow_table()
    twice = _choose(connection, ids)
    for view, source in (("trials", "tsd_trial_parts"), ("curves", "tsd_curve_parts")):
        kept = {"trials": "FROM tsd_best", "curves": f"FROM {source} SEMI JOIN tsd_best USING (trial_id, {_PART})"}
        best = f"ANTI JOIN tsd_best USING (trial_id) UNION ALL BY NAME {kept[view]}" if twice else ""
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT * EXCLUDE ({_PART}) FROM (FROM {source} {best})"
        )
    _hash(connection, ids if own and not twice else None)
    return trials.columns


def _hash(connection: duckdb.DuckDBPyConnection, ids: pa.Table | None) -> None:
    """Make the view `hashed_trials`, of hashes in memory where these can stand beside the rows of files."""
    [(ordered,)] = connection.execute("SELECT current_setting('preserve_insertion_order')").fetchall()
    hashed = "SELECT *, hash(trial_id) AS tsd_hash FROM trials"
    if ids is not None and ordered:
        connection.register("tsd_ids", ids)
        hashed = f"SELECT * EXCLUDE ({_PART}) FROM tsd_trial_parts POSITIONAL JOIN tsd_ids"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW hashed_trials AS {hashed}")


def _choose(connection: duckdb.DuckDBPyConnection, ids: pa.Table) -> bool:
    """Keep, of trials that have several rows, the best one in a table; False where there are none.

    They are few, so that to look elsewhere for them costs later questions little, and choosing among all rows much.
    """
    # Not by to_numpy, which imports pandas and needs another copy.
    found = np.concatenate([np.empty(0, np.uint64), *map(np.from_dlpack, ids["tsd_hash"].chunks)])
    found.sort()
    again = found[1:][found[1:] == found[:-1]]
    if not len(again):
        return False
    connection.register("tsd_twice", pa.table({"id": again}))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE tsd_best AS FROM tsd_trial_parts "
        f"WHERE hash(trial_id) IN (SELECT id FROM tsd_twice) {_BEST}"
    )
    connection.unregister("tsd_twice")
    return True


def _pieces(files: Files) -> list[tuple[Part, pa.Schema]]:
    """The parts to read, each with its schema. Raises Damaged.

    A disk is verified bit by bit; an object store is trusted, so that a query fetches the columns that it needs only.
    """
    if isinstance(files, Disk):
        return reading.sound(reading.scan(files, _schema, parts.open_verified, parts.verify_curves))
    return reading.sound(reading.scan(files, _schema, parts.open_footer, _footer))


def _schema(file: pa.parquet.ParquetFile) -> pa.Schema:
    return file.schema_arrow


def _footer(files: Files, part: Part) -> None:
    if part.curves:
        parts.open_footer(files, part.curves.name)


def _attach(connection: duckdb.DuckDBPyConnection, view: str, files: Files, tables: _Tables) -> bool:
    """Make a view of the files as one table, with the stem of the part as a further column.

    Returns whether DuckDB reads them itself.
    """
    paths = [files.where(name) for name in tables.names]
    [(open_,)] = connection.execute("SELECT current_setting('enable_external_access')").fetchall()
    named = isinstance(files, Disk) and not any(_WILD & set(path) for path in paths)
    own = bool(paths and open_ and named and tables.alike)
    if own:
        source = _opened(connection, paths)
    else:
        connection.register(f"{view}_dataset", _dataset(files, tables))
        source = f"FROM {view}_dataset"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS {source}")
    return own


def _opened(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> str:
    """The question that reads files by DuckDB, which may from now on always open these."""
    [(allowed,)] = connection.execute("SELECT current_setting('allowed_paths')").fetchall()
    connection.execute(f"SET allowed_paths = {_texts([*allowed, *paths])}")
    connection.execute("SET parquet_metadata_cache = true")  # parts never change, and every question asks their footers
    files = f"read_parquet({_texts(paths)}, hive_partitioning = false)"
    return f"SELECT *, parse_filename(filename, true) AS {_PART} FROM {files}"


def _texts(texts: Sequence[str]) -> str:
    """A list of texts as SQL writes it."""
    return "[{}]".format(", ".join("'{}'".format(text.replace("'", "''")) for text in dict.fromkeys(texts)))


def _dataset(files: Files, tables: _Tables) -> ds.Dataset:
    import pyarrow.dataset as ds  # which imports pandas

    system, base = files.arrow()
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    kind = ds.ParquetFileFormat(default_fragment_scan_options=options)
    fragments = [
        kind.make_fragment(f"{base}/{name}", system, partition_expression=ds.field(_PART) == PurePosixPath(name).stem)
        for name in tables.names
    ]
    return ds.FileSystemDataset(fragments, tables.columns.append(pa.field(_PART, pa.string())), kind, system)
