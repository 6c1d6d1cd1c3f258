"""Trials counted: those that agree in all that a figure looks at are one row, which says how many they are.

Of ten million trials a figure asks several things: how many there are in a cell, how they ended, what their mean is, of
which settings. One pass over the rows counts what answers them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.data.rows import Rows, quoted
from analysis.data.where import count

WORD = 64
"""Settings that have room in the bits of one number."""
_COUNT = "CAST(count(*) AS DOUBLE) AS _k"


@dataclass(frozen=True)
class Totals:
    """How many trials there are in all, and how many of them are in no mean, and why.

    Args:
        diverged, failed: trials in that state.
        valueless: finished trials that report no finite value.
        placeless: trials to which an axis does not apply; they are in no cell.
    """

    trials: int
    diverged: int
    failed: int
    valueless: int
    placeless: int


def tally(rows: Rows, keys: Sequence[str], value: str, settings: Sequence[str] = ()) -> Rows:
    """How many rows there are, `_k`, for each combination of `keys` and `state`, in memory.

    Args:
        value: told apart is also whether it is `_known`; of numbers there is the `_sum`.
        settings: columns whose combinations are numbered. Those that occurred are bits of `_bits`, 64 of them in a
            row; `_word` says which 64. Neither is there where all rows have a value and every combination of `keys` has
            every setting once: then there are `_k` settings.
    """
    if settings and (whole := _whole(rows, keys, value, settings)):
        return whole
    named = listed([*keys, "state"])
    facts, source = f"coalesce({finite(rows, value)}, false) AS _known, {_COUNT}", "rows"
    if rows.is_numeric(value):
        facts += f", {_sum(value)}"
    if settings:
        every = f"SELECT DISTINCT {listed(settings)} FROM rows"
        numbered = f"SELECT *, CAST(row_number() OVER () - 1 AS UBIGINT) AS _number FROM ({every})"
        same = " AND ".join(f"r.{quoted(p)} IS NOT DISTINCT FROM s.{quoted(p)}" for p in settings)
        source = f"(SELECT r.*, _number FROM rows r JOIN ({numbered}) s ON {same})"
        facts += f", _number // {WORD} AS _word, bit_or(CAST(1 AS UBIGINT) << (_number % {WORD})) AS _bits"
    return rows.over(rows.table(f"SELECT {named}, {facts} FROM {source} GROUP BY ALL"))


def _whole(rows: Rows, keys: Sequence[str], value: str, settings: Sequence[str]) -> Rows | None:
    """The tally of rows that lack nothing; None where they lack something.

    An exclusive or of hashes tells sets of settings apart at half the cost of numbering them. So it is tried first
    where statistics do not say already that some trial did not finish. They are hashed twice, for DuckDB's hash of two
    columns is itself an exclusive or: of {(1, 1), (2, 2)} and {(1, 2), (2, 1)} it is the same.
    """
    if "trial_id" in keys or count(rows.relation.filter("state IS DISTINCT FROM 'done'").limit(1)):
        return None
    told_apart = f"bit_xor(hash(hash({listed(settings)}))) AS _print"
    facts = f"{_COUNT}, {_sum(value)}, count({quoted(value)}) AS _values, {told_apart}"
    each = rows.table(f"SELECT {listed(keys)}, {facts} FROM rows GROUP BY ALL")
    alike = "bool_and(isfinite(_sum) AND _values = _k) AND min(_k) = max(_k) AND min(_print) = max(_print)"
    if not each.aggregate(alike).fetchall()[0][0]:
        return None
    names = list(dict.fromkeys(keys))
    texts = (f"CAST({quoted(n)} AS VARCHAR)" for n in names)  # which Python's dates and spans of time are not read as
    [(number, *place)] = each.limit(1).project(", ".join(["_k", *texts])).fetchall()
    here = " AND ".join(f"NOT ({rows.unlike(*one)})" for one in zip(names, place, strict=True))
    if count(rows.relation.filter(here).project(listed(settings)).distinct()) != number:
        return None
    return rows.over(each.project(f"{listed(keys)}, 'done' AS state, true AS _known, _k, _sum"))


def _sum(value: str) -> str:
    return f"fsum(CAST({quoted(value)} AS DOUBLE)) AS _sum"


def totals(rows: Rows, axes: Sequence[str], value: str) -> Totals:
    """How many trials there are, and what is lost of them to a mean of `value` over places of `axes`.

    Args:
        rows: trials, the steps of their curves, or a tally of trials.
    """
    each, known = _each(rows), "_known" if _is_tally(rows) else f"coalesce({finite(rows, value)}, false)"
    found = rows.sql(
        f"SELECT {each} AS trials, {each} FILTER (state = 'diverged') AS diverged, "
        f"{each} FILTER (state = 'failed') AS failed, {each} FILTER (state = 'done' AND NOT {known}) AS valueless, "
        f"{each} FILTER (NOT ({applies(axes)})) AS placeless FROM rows"
    )
    return Totals(**{str(name): int(count) for name, count in found.fillna(0).iloc[0].items()})


def states(tallied: Rows, axes: Sequence[str]) -> pd.DataFrame:
    """For each combination of the axes how many `_trials` there are, and how many `_diverged` and `_failed`."""
    counts = ", ".join(f"sum(_k) FILTER (state = '{s}') AS _{s}" for s in ("diverged", "failed"))
    named = ", ".join([*map(quoted, axes), "sum(_k) AS _trials", counts])
    return tallied.sql(f"SELECT {named} FROM rows WHERE {applies(axes)} {grouped(axes)}")


def streams(rows: Rows) -> dict[str, int]:
    """Number of seeds of each random stream that has more than one."""
    names = [s for s in rows.seeds() if s.startswith("seed_")]
    if not names:
        return {}
    counts = ", ".join(f"count(DISTINCT {s}) AS {s.removeprefix('seed_')}" for s in names)
    found = rows.sql(f"SELECT {counts} FROM rows").iloc[0]
    return {str(name): int(count) for name, count in found.items() if count > 1}


def finite(rows: Rows, value: str) -> str:
    """The condition that a trial finished and reports a value, of numbers a finite one."""
    known = f"isfinite(CAST({quoted(value)} AS DOUBLE))" if rows.is_numeric(value) else f"{quoted(value)} IS NOT NULL"
    return f"state = 'done' AND {known}"


def applies(names: Sequence[str]) -> str:
    """The condition that a trial has a place on every axis."""
    return " AND ".join(f"{quoted(n)} IS NOT NULL" for n in names) or "true"


def listed(names: Sequence[str]) -> str:
    """Columns as SQL lists them, each once."""
    return ", ".join(map(quoted, dict.fromkeys(names)))


def grouped(names: Sequence[str]) -> str:
    """The clause that takes rows together which agree in these columns; none where there are none."""
    return f"GROUP BY {listed(names)}" if names else ""


def _is_tally(rows: Rows) -> bool:
    return "_k" in rows.relation.columns


def _each(rows: Rows) -> str:
    """The expression that counts trials."""
    if _is_tally(rows):
        return "sum(_k)"
    return "count(DISTINCT trial_id)" if rows.step else "count(*)"
