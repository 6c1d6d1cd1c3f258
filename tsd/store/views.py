"""The parts as views of a DuckDB database, for questions about more rows than fit into memory.

The views need no file access of DuckDB's own: it may be switched off, so that a query can reach nothing but the
results.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from tsd.store import parts, reading, schema
from tsd.store.disk import Disk
from tsd.store.files import Files
from tsd.store.parts import Part

_PART = "tsd_part"
_BEST = (
    f"QUALIFY row_number() OVER (PARTITION BY trial_id ORDER BY list_position({list(schema.STATES)}, state), "
    f"started_at DESC, {_PART}) = 1"
)


def connect(files: Files, connection: duckdb.DuckDBPyConnection) -> None:
    """Make the views `trials` and `curves`; see `Store.connect`."""
    pieces = reading.wholly(files, lambda: _pieces(files))
    trials = [(part.trials.name, i) for i, (part, _) in enumerate(pieces)]
    curves = [(part.curves.name, i) for i, (part, _) in enumerate(pieces) if part.curves]
    connection.register("tsd_trial_parts", _dataset(files, trials, reading.unified(pieces)))
    connection.register("tsd_curve_parts", _dataset(files, curves, schema.CURVES))
    best, drawn = "", ""
    if _twice(connection):
        best = _BEST
        drawn = f"SEMI JOIN (SELECT trial_id, {_PART} FROM tsd_trial_parts {_BEST}) USING (trial_id, {_PART})"
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW trials AS SELECT * EXCLUDE ({_PART}) FROM tsd_trial_parts {best};"
        f"CREATE OR REPLACE TEMP VIEW curves AS SELECT * EXCLUDE ({_PART}) FROM tsd_curve_parts {drawn}"
    )


def _twice(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a trial has several rows. Choosing among them costs every later question a sort, so it is asked once."""
    found = connection.execute("SELECT count(*) > count(DISTINCT hash(trial_id)) FROM tsd_trial_parts").fetchone()
    return bool(found and found[0])


def _pieces(files: Files) -> list[tuple[Part, pa.Schema]]:
    """The parts to read, each with its schema. Raises Damaged.

    A disk is verified bit by bit; an object store is trusted, so that a query fetches the columns that it needs only.
    """
    opener = parts.open_sealed if isinstance(files, Disk) else parts.open_footer
    pieces = reading.sound(reading.scan(files, lambda file: file.schema_arrow, opener))
    for part, _ in pieces:
        if part.curves:
            opener(files, part.curves.name)
    return pieces


def _dataset(files: Files, names: Sequence[tuple[str, int]], columns: pa.Schema) -> ds.Dataset:
    """The files as one table, with the number of the part as a further column."""
    system, base = files.arrow()
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    kind = ds.ParquetFileFormat(default_fragment_scan_options=options)
    fragments = [
        kind.make_fragment(f"{base}/{name}", system, partition_expression=ds.field(_PART) == part)
        for name, part in names
    ]
    return ds.FileSystemDataset(fragments, columns.append(pa.field(_PART, pa.int32())), kind, system)
