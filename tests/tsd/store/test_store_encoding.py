"""How columns are packed: what a file says, whoever reads it, and what it weighs."""

import io
import struct
from hashlib import blake2b
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_cases import SCHEMA, rows

from tsd.store.encoding import ROWS_A_GROUP, encode

COUNT = 3000
UNLIKE = np.array([0x7FF8000000000001, 0xFFF8000000000002, 0x8000000000000000, 0x0000000000000001], "u8").view("f8")
"""Two NaN of different bits, minus zero, the smallest number."""


def ids(count: int = COUNT) -> list[str]:
    return [blake2b(struct.pack("q", i), digest_size=16).hexdigest() for i in range(count)]


def trials(mse: np.ndarray) -> pa.Table:
    made = rows(ids(len(mse)))
    return made.set_column(made.schema.get_field_index("mse"), SCHEMA.field("mse"), pa.array(mse))


def encodings(data: bytes) -> dict[str, set[str]]:
    group = pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0)
    columns = (group.column(i) for i in range(group.num_columns))
    return {column.path_in_schema: set(column.encodings) for column in columns}


def test_a_dictionary_is_for_what_repeats():
    found = encodings(encode([trials(np.random.default_rng(0).random(COUNT))], SCHEMA))
    assert "DELTA_LENGTH_BYTE_ARRAY" in found["trial_id"]
    assert "BYTE_STREAM_SPLIT" in found["mse"]
    assert all("RLE_DICTIONARY" in found[name] for name in ("study", "state", "lr", "width", "started_at"))
    few = encodings(encode([trials(np.arange(COUNT) % 100 / 100.0)], SCHEMA))
    assert "RLE_DICTIONARY" in few["mse"]


def test_a_file_weighs_little_more_than_what_it_says():
    """An id says 16 bytes, a number below 1 its 52 digits and two bits of its exponent."""
    least = COUNT * (16 + 54 / 8)
    table = trials(np.random.default_rng(0).random(COUNT))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, store_schema=False)
    assert least < len(encode([table], SCHEMA)) < 1.15 * least < 1.25 * least < sink.getvalue().size


@pytest.mark.parametrize("count", [0, 1, 4, COUNT])
def test_every_bit_comes_back_whoever_reads(tmp_path: Path, count: int):
    mse = np.resize(UNLIKE, count)
    file = tmp_path / "part.parquet"
    file.write_bytes(encode([trials(mse)], SCHEMA))
    own = pq.read_table(file)
    theirs = duckdb.connect().sql(f"FROM read_parquet('{file}')").to_arrow_table()
    frame = pd.read_parquet(file)
    for found in (own["mse"].to_numpy(), theirs["mse"].to_numpy(), frame["mse"].to_numpy()):
        assert np.array_equal(found.view("u8"), mse.view("u8"))
    assert own["trial_id"].to_pylist() == theirs["trial_id"].to_pylist() == list(frame["trial_id"]) == ids(count)


def test_values_that_are_missing_and_texts_of_any_length_come_back():
    names = ["", "ä" * 300, *ids(50)]
    table = rows(names).set_column(
        SCHEMA.get_field_index("mse"), SCHEMA.field("mse"), pa.array([None, 0.5] * 26, pa.float64())
    )
    table = table.set_column(SCHEMA.get_field_index("error"), SCHEMA.field("error"), pa.array([None, *names[1:]]))
    assert pq.read_table(io.BytesIO(encode([table], SCHEMA))).equals(table)


def test_tables_go_into_groups_of_rows_and_none_is_looked_at_twice():
    made = iter([trials(np.random.default_rng(i).random(ROWS_A_GROUP // 2 + 1)) for i in range(3)])
    metadata = pq.ParquetFile(io.BytesIO(encode(made, SCHEMA))).metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [ROWS_A_GROUP + 2, ROWS_A_GROUP // 2 + 1] and next(made, None) is None
    assert pq.read_table(io.BytesIO(encode([], SCHEMA))).num_rows == 0
