"""SQL conditions on a table of trials: `student_width < teacher_width AND layer = 'spectral'`.

One language for `when` and `except` in a sweep file and for `--where` on the command line. A condition is one boolean
expression over the columns and nothing more: DuckDB parses it, every node of its parse tree must be of a kind that is
known to be harmless, and DuckDB binds it in an empty database that can reach no file and no network. Text that passes
may stand in a query of any connection.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb

from tsd.errors import UserError
from tsd.sweep.problems import listed, nearest, shorten
from tsd.sweep.sql import quoted

MOST_CHARACTERS = 10_000

_KINDS = {"BETWEEN", "CASE", "CAST", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT", "FUNCTION"}
_KINDS |= {"OPERATOR", "TYPE"}
_OPERATORS = {"COMPARE_IN", "COMPARE_NOT_IN", "OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"}
_OPERATORS |= {"OPERATOR_COALESCE", "OPERATOR_NULLIF", "OPERATOR_CAST", "OPERATOR_TRY"}
_FUNCTIONS = {"abs", "ceil", "ceiling", "floor", "round", "trunc", "sign", "mod", "isnan", "isinf", "isfinite"}
_FUNCTIONS |= {"sqrt", "cbrt", "exp", "ln", "log", "log2", "log10", "pow", "power", "sin", "cos", "tan"}
_FUNCTIONS |= {"greatest", "least", "nullif", "if", "lower", "upper", "length", "trim", "substring", "position"}
_FUNCTIONS |= {"contains", "starts_with", "ends_with", "prefix", "suffix", "regexp_matches", "regexp_full_match"}
_SYMBOLS = {"+", "-", "*", "/", "//", "%", "^", "**", "@", "&", "|", "||", "~~", "!~~", "~~*", "!~~*", "~~~", "^@"}
_SYMBOLS |= {"like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape"}
_NOT_ALLOWED = {
    "SUBQUERY": "a query inside a condition",
    "WINDOW": "a window function",
    "STAR": "`*`",
    "PARAMETER": "a parameter (`?`, `$1`)",
    "LAMBDA": "a lambda",
}
_SAMPLES = {"BOOLEAN": "true", "BIGINT": "1", "INTEGER": "1", "DOUBLE": "1", "FLOAT": "1", "VARCHAR": "'text'"}


def check(text: str, columns: Mapping[str, str]) -> str | None:
    """What is wrong with a condition, in words for its author; None where nothing is.

    Args:
        text: the condition.
        columns: the columns that it may use, by name, with their SQL types.
    """
    if not text.strip():
        return "The condition is empty."
    if len(text) > MOST_CHARACTERS:
        return f"The condition has {len(text):,} characters; expected at most {MOST_CHARACTERS:,}."
    with _locked() as connection:
        shown = f"`{shorten(text)}`"
        tree = _parse(text, connection)
        if isinstance(tree, str):
            return f"{shown} is not one SQL condition: {tree}"
        problem = next(_refused(tree, columns), "") or _bind(tree, text, columns, connection)
        return f"{shown} {problem}" if problem else None


def checked(text: str, connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """The condition `--where TEXT`, ready to stand in a query on `table`, a table or view of `connection`.

    Raises:
        UserError: it is no condition on that table.
    """
    rows = connection.execute(f'DESCRIBE "{table}"').fetchall()
    problem = check(text, {name: kind for name, kind, *_ in rows})
    if problem:
        raise UserError(f"--where: {problem}")
    return embedded(text)


def embedded(text: str) -> str:
    """A condition that passed `check`, as an operand; on a line of its own, for it may end in a comment."""
    return f"(\n{text}\n)"


def said(error: duckdb.Error) -> str:
    """The first sentence of what DuckDB says."""
    first = str(error).partition("\n")[0]
    return (first.partition("Error: ")[2] or first).partition(". ")[0].rstrip(".!")


def _locked() -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "lock_configuration": "true",
        "threads": "1",
    }
    return duckdb.connect(config=config)


def _parse(text: str, connection: duckdb.DuckDBPyConnection) -> dict[str, Any] | str:
    """The parse tree of the condition, or why there is none.

    It must parse with and without brackets around it: with them `a ORDER BY b` falls, without them `a) OR (b`.
    """
    tree: dict[str, Any] = {}
    for query in (f"SELECT 1 FROM t WHERE\n{text}\n", f"SELECT 1 FROM t WHERE {embedded(text)}"):
        found = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchone()
        try:
            answer = json.loads(found[0] if found else "{}")
        except RecursionError:
            return "it is nested too deeply."
        if answer["error"]:
            return _unparsed(answer)
        if len(answer["statements"]) != 1:
            return "it holds several statements."
        tree = answer["statements"][0]["node"].get("where_clause") or {}
    return tree


def _unparsed(answer: Mapping[str, str]) -> str:
    if answer["error_type"] != "parser":
        return "it holds several statements."
    if "expression depth" in answer["error_message"]:
        return "it is nested too deeply."
    return answer["error_message"].partition("\n")[0] + "."


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every expression of a parse tree."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "class" in item:
                yield item
            waiting.extend(reversed(item.values()))
        elif isinstance(item, list):
            waiting.extend(reversed(item))


def _refused(tree: dict[str, Any], columns: Mapping[str, str]) -> Iterator[str]:
    """What in the tree a condition may not contain, first things first."""
    known = {name.lower() for name in columns}
    for node in _nodes(tree):
        kind, name = node["class"], str(node.get("function_name", ""))
        if kind == "COLUMN_REF":
            column = ".".join(node["column_names"])
            if column.lower() not in known:
                yield _unknown(column, columns)
        elif kind == "FUNCTION" and name not in _SYMBOLS | _FUNCTIONS:
            hint = nearest(name, _FUNCTIONS) or "\nThere are abs, round, log10, lower, starts_with and their like."
            yield f"calls `{name}`, which a condition may not.{hint}"
        elif kind not in _KINDS or (kind == "OPERATOR" and node["type"] not in _OPERATORS):
            yield f"contains {_NOT_ALLOWED.get(kind, node['type'])}, which a condition may not."


def _unknown(column: str, columns: Mapping[str, str]) -> str:
    hint = nearest(column, columns) or f"\nText goes in single quotes. Columns: {listed([*columns])}."
    return f"uses `{shorten(column)}`, which is no column.{hint}"


def _bind(tree: dict[str, Any], text: str, columns: Mapping[str, str], connection: duckdb.DuckDBPyConnection) -> str:
    """What is wrong with the types in a condition. Whether it compares text with numbers shows on a sample row only."""
    row = ", ".join(f"CAST({_SAMPLES.get(kind, 'NULL')} AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    connection.execute(f"CREATE TABLE sample AS SELECT {row}")
    try:
        bound = connection.execute(f"SELECT {embedded(text)} FROM sample LIMIT 0").description or []
        if str(bound[0][1]) != "BOOLEAN":
            return f"is not a condition: its value is {_word(str(bound[0][1]))}, expected true or false."
    except duckdb.ConversionException:
        return _misfit(tree, columns)
    except duckdb.Error as error:
        return f"does not work: {said(error)}."
    try:
        connection.execute(f"SELECT {embedded(text)} FROM sample")
    except duckdb.ConversionException:
        return _misfit(tree, columns)
    except duckdb.Error:
        pass  # Such as a division by zero: the values of the trials decide, not those of a sample.
    return ""


def _misfit(tree: dict[str, Any], columns: Mapping[str, str]) -> str:
    used = {node["column_names"][-1].lower() for node in _nodes(tree) if node["class"] == "COLUMN_REF"}
    types = ", ".join(f"`{name}` is {_word(kind)}" for name, kind in columns.items() if name.lower() in used)
    hint = "Text goes in single quotes; TRY_CAST(… AS DOUBLE) makes it a number."
    return f"compares text with a number: {types}.\n{hint}"


def _word(kind: str) -> str:
    words = {"VARCHAR": "text", "BOOLEAN": "true or false", "BIGINT": "a whole number", "DOUBLE": "a number"}
    return words.get(kind, kind.strip('"'))
