"""Tables → the bytes of a sealed Parquet file.

A dictionary makes a column small whose values repeat: parameters, records, accuracies of few digits. Ids and most
metrics repeat nothing, and a dictionary makes them larger and longer to read. Of such columns text lies behind its
lengths and numbers lie byte by byte, sign and exponent apart from the digits, which is smaller than either kind plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsd.store import seals

ROWS_A_GROUP = 1 << 17
DRAWN = {b"tsd.curves": b"beside"}
"""What trials say in their metadata that have curves."""
NO_NOTE: Mapping[bytes, bytes] = {}

_LOOKED_AT = 1000
"""Rows that tell whether the values of a column repeat."""
_UNREPEATED = {pa.string(): "DELTA_LENGTH_BYTE_ARRAY", pa.float64(): "BYTE_STREAM_SPLIT"}


def encode(
    tables: Iterable[pa.Table], columns: pa.Schema, *, drawn: bool = False, note: Mapping[bytes, bytes] = NO_NOTE
) -> bytes:
    """A sealed Parquet file of `tables`, one row group for every 131,072 rows.

    Args:
        tables: in the schema `columns`.
        columns: schema of the file.
        drawn: whether curves lie beside these trials; the file says so, so that they cannot go unnoticed.
        note: what else the file is to say of itself.
    """
    sink = pa.BufferOutputStream()
    groups = _groups(tables)
    first = next(groups, columns.empty_table())
    # Arrow's own copy of the schema would double a small file and tells nothing that Parquet does not.
    options = {"compression": "zstd", "write_page_checksum": True, "store_schema": False} | _encodings(first)
    with pq.ParquetWriter(sink, columns, **options) as writer:
        writer.add_key_value_metadata({**columns.metadata, **(DRAWN if drawn else {}), **note})
        for group in chain([first], groups):
            writer.write_table(group)
    return seals.sealed(sink.getvalue().to_pybytes())


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Neighbours that make a row group together, as one table."""
    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= ROWS_A_GROUP:
            yield pa.concat_tables(held)
            held, rows = [], 0
    if held:
        yield pa.concat_tables(held)


def _encodings(table: pa.Table) -> dict[str, Any]:
    """How each column is to be written, by what it holds in the first rows."""
    few = table.slice(0, _LOOKED_AT)
    kinds = {column.name: _UNREPEATED.get(column.type) for column in few.schema}
    apart = {name: kind for name, kind in kinds.items() if kind and _hardly_repeats(few[name])}
    return {"use_dictionary": [name for name in kinds if name not in apart], "column_encoding": apart}


def _hardly_repeats(values: pa.ChunkedArray) -> bool:
    return bool(pc.count_distinct(values).as_py() * 2 > len(values))
