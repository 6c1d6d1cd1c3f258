"""A value minus that of reference trials, trial by trial: the pairs that have the same seeds and settings.

Equal seeds mean equal draws, so what a seed does to both of a pair falls out of their difference. The differences are
rows like any others: means, intervals and lines are taken of them as of the value itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb

from analysis.data.rows import STREAMS, Rows, quoted
from analysis.data.tally import finite
from analysis.data.where import chosen, count
from analysis.errors import AnalysisError

OPTION = "--minus"
SIGN = "Δ "


def minus(rows: Rows, reference: str, value: str, axes: Sequence[str]) -> Rows:
    """The trials that are no reference, with the column `Δ value`: their value minus that of their pair.

    Args:
        reference: an SQL condition that chooses the reference trials, such as "method = 'none'". A pair may differ in
            the columns that it names; it shares all other parameters, seeds and axes that apply to both trials. Where
            several reference trials are left, their mean is taken; where none is, there is no difference.
    Raises:
        AnalysisError: a column is unknown, the value not a number, `reference` no condition, or no trial has a pair.
    """
    rows.require(*axes)
    rows.require_number(value)
    named = f"{SIGN}{value}"
    if count(chosen(rows.relation, reference, OPTION)) == count(rows.relation):
        raise AnalysisError(f"{OPTION} {reference}: every trial fulfils this; none is left to compare.")
    shared = _shared(rows, reference, value, axes)
    marked = rows.relation.project(duckdb.StarExpression(), duckdb.SQLExpression(reference).alias("_fits"))
    differences = marked.query("rows", _question(rows, value, named, shared))
    assert differences is not None, "a question has an answer"
    about = {**rows.fields, named: {"role": "metric", "unit": rows.unit(value)}}
    kept = [*axes, *rows.parameters(), *_identity(rows), "state", "kind", named]
    found = replace(rows.over(differences).held(kept), fields=about)
    if not found.sql(f"SELECT count({quoted(named)}) AS n FROM rows")["n"][0]:
        wanted = f"the same {', '.join(shared)}" if shared else "a finite value"
        raise AnalysisError(f"{OPTION} {reference}: no trial has a pair there, with {wanted}.")
    return found


def _question(rows: Rows, value: str, named: str, shared: Mapping[str, str]) -> str:
    known, v = finite(rows, value), f"CAST({quoted(value)} AS DOUBLE)"
    return (
        f"WITH numbered AS MATERIALIZED (SELECT *, row_number() OVER () AS _row FROM rows), "
        f"known AS (SELECT *, {v} AS _v FROM numbered WHERE {known}), "
        f"pairs AS (SELECT a._row, any_value(a._v) - favg(b._v) AS {quoted(named)} FROM known a JOIN known b "
        f"ON {' AND '.join(shared.values()) or 'true'} WHERE a._fits IS NOT TRUE AND b._fits GROUP BY a._row) "
        f"SELECT * FROM numbered LEFT JOIN pairs USING (_row) WHERE _fits IS NOT TRUE"
    )


def _shared(rows: Rows, reference: str, value: str, axes: Sequence[str]) -> dict[str, str]:
    """What a pair has in common: for each column that varies the condition on trials a and b."""
    named = _columns(reference)
    names = [n for n in dict.fromkeys([*_identity(rows), *rows.parameters(), *axes]) if n.lower() not in named]
    names = [n for n in names if n != "trial_id"]
    facts = [f"min({quoted(n)}) IS DISTINCT FROM max({quoted(n)}), count({quoted(n)}) < count(*)" for n in names]
    if not names:
        return {}
    [found] = rows.relation.filter(finite(rows, value)).aggregate(", ".join(facts)).fetchall()
    varies, gaps = found[::2], found[1::2]
    return {n: _alike(quoted(n), gap) for n, varied, gap in zip(names, varies, gaps, strict=True) if varied}


def _alike(name: str, gaps: bool) -> str:
    """Equal; a column that does not apply to one of the trials tells nothing."""
    equal = f"a.{name} = b.{name}"
    return f"({equal} OR a.{name} IS NULL OR b.{name} IS NULL)" if gaps else equal


def _columns(condition: str) -> set[str]:
    """Words of a condition outside of its texts: among them are the columns that it names."""
    return {word.lower() for word in re.findall(r"\w+", re.sub(r"'(?:[^']|'')*'", " ", condition))}


def _identity(rows: Rows) -> list[str]:
    return [n for n in ("trial_id", *(f"seed_{s}" for s in STREAMS)) if n in rows.relation.columns]
