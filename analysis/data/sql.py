"""Answer a question in SQL over the views `trials` and `curves`, and nothing else: no file, no network, no writing."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from analysis.data.load import Results
from analysis.errors import AnalysisError, unknown
from analysis.writing.files import written

SHOWN = 50
"""Rows that a terminal gets."""
VIEWS = ("trials", "curves")
TABLES = "The tables are `trials` and `curves`; DESCRIBE trials lists the columns of one."
NO_TABLE = re.compile(r'(?:Table with name|Referenced table) "?(.+?)"? (?:does not exist|not found)')
NO_COLUMN = re.compile(r'(?:Referenced column|Column|a column named) "([^"]+)"(?: .*not (?:found|exist)|$)', re.M)


@contextmanager
def answer(results: Results, query: str) -> Iterator[pa.RecordBatchReader]:
    """The answer in pieces, so that one larger than memory can be written. Raises AnalysisError where SQL cannot."""
    try:
        statements = duckdb.extract_statements(query)
        if [s.type for s in statements] != [duckdb.StatementType.SELECT]:
            raise AnalysisError("The SQL must be one question, SELECT … or WITH … SELECT …; nothing else is done here.")
        found = results.connection.sql(query)
        if len(set(found.columns)) < len(found.columns):
            found = found.project("*")  # DuckDB numbers names that stand there twice
        yield found.to_arrow_reader()
    except duckdb.PermissionException:
        raise AnalysisError(
            "The SQL asks for a file or an address. It can read the views `trials` and `curves`, nothing else."
        ) from None
    except duckdb.Error as problem:
        raise _refused(results, str(problem)) from None


def show(reader: pa.RecordBatchReader) -> None:
    """The first rows as a plain table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = list(islice(_rows(reader), SHOWN + 1))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for field in reader.schema:
        numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(field.name, justify="right" if numeric else "left", no_wrap=True)
    for row in rows[:SHOWN]:
        table.add_row(*(_cell(v) for v in row.values()))
    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False)
    console.print(table)
    if len(rows) > SHOWN:
        console.print(f"The first {SHOWN} rows; -o FILE.csv keeps all.")


def write_csv(reader: pa.RecordBatchReader, out: Any) -> None:
    """Comma-separated, the names first. Raises AnalysisError where a value is neither a number nor words."""
    try:
        with pyarrow.csv.CSVWriter(out, reader.schema) as writer:
            for batch in _batches(reader):
                writer.write_batch(batch)
    except pa.ArrowException as problem:
        raise AnalysisError(f"A CSV has no place for this: {problem}. Ask for JSON, or for column::VARCHAR.") from None


def write_json(reader: pa.RecordBatchReader, out: Any) -> None:
    """A list of objects, one on a line; what is no number in JSON (NaN, infinity) is null."""
    separator = "[\n"
    for row in _rows(reader):
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        out.write((separator + json.dumps(clean, ensure_ascii=False, default=_as_json)).encode())
        separator = ",\n"
    out.write(b"\n]\n" if separator == ",\n" else b"[]\n")


def write_markdown(reader: pa.RecordBatchReader, out: Any) -> None:
    """A GitHub table."""
    names = reader.schema.names
    for line in [names, ["--"] * len(names)]:
        out.write(f"| {' | '.join(line)} |\n".encode())
    for row in _rows(reader):
        out.write(f"| {' | '.join(_cell(v).replace('|', chr(92) + '|') for v in row.values())} |\n".encode())


def write_parquet(reader: pa.RecordBatchReader, out: Any) -> None:
    """Typed, for programs."""
    with pyarrow.parquet.ParquetWriter(out, reader.schema) as writer:
        for batch in _batches(reader):
            writer.write_batch(batch)


WRITERS: dict[str, Callable[[pa.RecordBatchReader, Any], None]] = {
    ".csv": write_csv,
    ".json": write_json,
    ".md": write_markdown,
    ".parquet": write_parquet,
}


def publish(results: Results, query: str, kind: str, paths: Sequence[Path]) -> None:
    """Write the answer to each path in the format of its name, or else print it as `kind`."""
    for path in paths:
        with answer(results, query) as reader, written(path) as temporary, temporary.open("wb") as out:
            WRITERS[path.suffix](reader, out)
    if not paths:
        with answer(results, query) as reader:
            show(reader) if kind == "table" else WRITERS[f".{kind}"](reader, sys.stdout.buffer)


def _refused(results: Results, told: str) -> AnalysisError:
    """What DuckDB told, in words; the names that a question gives to tables and columns of its own count too."""
    own = re.findall(r'"([^"]+)"', told.partition("Candidate ")[2])
    if found := NO_TABLE.search(told):
        return unknown("table", found[1], {*own, *VIEWS}, "The SQL")
    if found := NO_COLUMN.search(told):
        columns = [name for view in VIEWS for name in results.connection.table(view).columns]
        return unknown("column", found[1], {*own, *columns}, "The SQL")
    said = told.partition("Error: ")[2].partition("\n\tCandidate")[0]
    return AnalysisError(f"The SQL: {said}\n{TABLES}")


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Raises duckdb.Error where the question fails on its way, of which pyarrow makes an OSError."""
    try:
        yield from reader
    except OSError as problem:
        raise duckdb.Error(str(problem)) from None


def _rows(reader: pa.RecordBatchReader) -> Iterator[dict[str, Any]]:
    for batch in _batches(reader):
        yield from batch.to_pylist()


def _as_json(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
    return str(value)
