"""What every room asks of a DuckDB table."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of `table`."""
    [(rows,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(rows)


def distinct(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]) -> pa.Table:
    """Every combination of values of `columns` in `table`, once and in order; of no columns there is one."""
    listed = ", ".join(map(quoted, columns)) or "NULL"
    return connection.sql(f"SELECT DISTINCT {listed} FROM {table} ORDER BY ALL").to_arrow_table()


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
