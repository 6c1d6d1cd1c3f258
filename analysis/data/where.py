"""A condition on trials, such as that of --where: one SQL expression over their columns that is true or false."""

from __future__ import annotations

import re

import duckdb

from analysis.errors import AnalysisError, unknown

EXAMPLE = "layer = 'spectral' and lr < 1e-2"


def chosen(trials: duckdb.DuckDBPyRelation, where: str, option: str = "--where") -> duckdb.DuckDBPyRelation:
    """The trials that fulfil `where`. Raises AnalysisError where it is no condition, or none of them does."""
    try:
        condition = duckdb.SQLExpression(where)
        kind = str(trials.select(condition).types[0])
        found = trials.filter(condition)
        left = count(found) if kind == "BOOLEAN" else 0
    except duckdb.Error as problem:
        raise _refused(trials, f"{option} {where}", problem) from None
    if kind != "BOOLEAN":
        raise AnalysisError(f"{option} {where}\nThis is of type {kind}, not true or false. A condition: {EXAMPLE}")
    if not left:
        raise AnalysisError(
            f"{option} {where}\nNone of the {count(trials)} trials fulfils this.\n"
            'What there is: python -m analysis sql RESULTS "SUMMARIZE trials"'
        )
    return found


def count(relation: duckdb.DuckDBPyRelation) -> int:
    """How many rows there are."""
    return int(relation.aggregate("count(*)").fetchall()[0][0])


def _refused(trials: duckdb.DuckDBPyRelation, asked: str, problem: duckdb.Error) -> AnalysisError:
    missing = re.search(r'column "([^"]+)" not found', str(problem))
    if missing:
        return unknown("column", missing[1], trials.columns, asked)
    told = str(problem).splitlines()[0]
    return AnalysisError(f"{asked}\n{told}\nA condition is one SQL expression, such as: {EXAMPLE}")
