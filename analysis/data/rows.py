"""What a figure or table is made of: rows of trials, and what is known about their columns.

Rows stay in DuckDB until they are aggregated, so that ten million of them never become Python objects. A notebook's
DataFrame enters by the same door.
"""

from __future__ import annotations

import atexit
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from analysis.errors import AnalysisError, unknown

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NUMERIC = {"FLOAT", "DOUBLE", *(f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE"))}
NUMERIC |= {"INTEGER", "UINTEGER"}
STREAMS = ("teacher", "data", "init", "noise")


@dataclass(frozen=True)
class Source:
    """Where rows come from, for footers and metadata.

    Args:
        results: the folder or URI, as it was given.
        sweep: name of the sweep; "" where there is none.
        where: the condition that chose the rows.
        git_sha, tsd_version: every version that made one of the rows.
        git_dirty: whether the code of the latest run differed from its commit.
        first, last: UTC dates of the first and the last trial.
    """

    results: str = "these rows"
    sweep: str = ""
    where: str | None = None
    git_sha: tuple[str, ...] = ()
    tsd_version: tuple[str, ...] = ()
    git_dirty: bool = False
    first: str = ""
    last: str = ""


@dataclass(frozen=True)
class Rows:
    """One row a trial, or one row a trial and step of a curve.

    Args:
        relation: has at least the columns `state` and `kind`.
        fields: role, unit and doc of columns, by name.
        orders: the order of a column's values in the sweep file, by name.
        step: name of the column that counts the steps of a curve, where there is one.
        behind: the trials whose steps the rows are, where these are known apart from them.
    """

    relation: duckdb.DuckDBPyRelation
    fields: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    orders: Mapping[str, list[Any]] = field(default_factory=dict)
    source: Source = field(default_factory=Source)
    step: str | None = None
    behind: Rows | None = None

    @classmethod
    def of(cls, data: Rows | pd.DataFrame | duckdb.DuckDBPyRelation) -> Rows:
        """`data` as rows. What `analysis.data.load` knew of a DataFrame's columns is still known."""
        if isinstance(data, Rows):
            return data
        if isinstance(data, duckdb.DuckDBPyRelation):
            return cls(_complete(data))
        known = data.attrs.get("tsd", {})
        source = Source(**known.get("source", {}))
        relation = _complete(_memory().cursor().from_df(data))
        return cls(relation, known.get("fields", {}), known.get("orders", {}), source, known.get("step"))

    def sql(self, query: str) -> pd.DataFrame:
        """The answer to `query`, in which these rows are called `rows`."""
        return self._asked(query).to_pandas()

    def require(self, *names: str) -> None:
        """Raise unless every one of `names` is a column."""
        for name in names:
            if name not in self.relation.columns:
                raise unknown("column", name, self.worth_naming(), self.source.results)

    def require_number(self, name: str) -> None:
        """Raise unless the column `name` holds numbers."""
        self.require(name)
        if not self.is_numeric(name):
            found = self.sql(f"SELECT DISTINCT {quoted(name)} AS v FROM rows WHERE v IS NOT NULL ORDER BY v LIMIT 3")
            values = ", ".join(map(str, found["v"]))
            raise AnalysisError(
                f"`{name}` is not a number: it holds {values or 'nothing'}.\n"
                f"Numbers are needed here; use `{name}` as an axis, or pick another value."
            )

    def is_numeric(self, name: str) -> bool:
        """Whether the column holds numbers; truth values are categories."""
        kind = str(self.relation.types[self.relation.columns.index(name)])
        return kind in NUMERIC or kind.startswith("DECIMAL")

    def unit(self, name: str) -> str:
        """The column's unit; "" where it has none or nothing is known of it."""
        return self.fields.get(name, {}).get("unit", "")

    def ordered(self, name: str, values: Iterable[Any]) -> list[Any]:
        """Values of a column in their order: numbers ascending, words as the sweep file has them, else sorted."""
        wanted = (
            {} if self.is_numeric(name) else {value: place for place, value in enumerate(self.orders.get(name, []))}
        )
        return sorted(values, key=lambda value: (wanted.get(value, math.inf), value))

    def over(self, relation: duckdb.DuckDBPyRelation) -> Rows:
        """What is known of the columns, about other rows."""
        return replace(self, relation=relation, behind=None)

    def trials(self) -> Rows:
        """What settings and seeds there are can be told from trials; where only their steps are known, from these."""
        return self.behind or self

    def held(self, names: Iterable[str]) -> Rows:
        """The same rows with these columns only, in memory, for many questions."""
        return self.over(self.table(f"SELECT {', '.join(map(quoted, dict.fromkeys(names)))} FROM rows"))

    def table(self, query: str) -> duckdb.DuckDBPyRelation:
        """The answer to `query`, in which these rows are called `rows`, in memory."""
        return _memory().cursor().from_arrow(self._asked(query))

    def _asked(self, query: str) -> pa.Table:
        answer = self.relation.query("rows", query)
        assert answer is not None, "a question has an answer"
        return answer.to_arrow_table()

    def parameters(self) -> list[str]:
        """Columns that were set, not measured."""
        return [n for n in self.relation.columns if self.fields.get(n, {}).get("role") == "parameter"]

    def seeds(self) -> list[str]:
        """Columns that tell repetitions apart."""
        seeds = [f"seed_{s}" for s in STREAMS if f"seed_{s}" in self.relation.columns]
        return seeds or ["trial_id"]

    def varying_seeds(self) -> list[str]:
        """The seeds that differ between rows, or one where none does: grouping by more costs and tells nothing."""
        names = self.seeds()
        return names if names == ["trial_id"] else self.trials().differing(names) or names[:1]

    def differing(self, names: Sequence[str]) -> list[str]:
        """Those columns that are not the same in all rows. Of the others the statistics of the files tell, at once.

        They leave out NaN, so this is for columns that hold none: parameters, seeds and records.
        """
        first = self._of(names).limit(1).fetchall() if names else []
        if not first:
            return []
        others = [f"EXISTS (FROM rows WHERE {self.unlike(*one)})" for one in zip(names, first[0], strict=True)]
        found = self.relation.query("rows", f"SELECT {', '.join(others)}")
        assert found is not None, "a question has an answer"
        return [name for name, differs in zip(names, found.fetchall()[0], strict=True) if differs]

    def distinct(self, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """The combinations of values that these columns have, sorted."""
        chosen = self._of(names)
        return (chosen.distinct().order("ALL") if self.differing(names) else chosen.limit(1)).fetchall()

    def _of(self, names: Sequence[str]) -> duckdb.DuckDBPyRelation:
        return self.relation.project(", ".join(map(quoted, names)))

    def unlike(self, name: str, value: object) -> str:
        """The condition that a column does not hold this `value`."""
        kind = self.relation.types[self.relation.columns.index(name)]
        text = "NULL" if value is None else literal(str(value))
        return f"{quoted(name)} IS DISTINCT FROM CAST({text} AS {kind})"

    def worth_naming(self) -> list[str]:
        """Parameters and metrics; every column where nothing is known of them."""
        roles = {n: self.fields.get(n, {}).get("role") for n in self.relation.columns}
        known = [n for n, role in roles.items() if role in ("parameter", "metric", "curve") or n == self.step]
        return known or list(roles)


@cache
def _memory() -> duckdb.DuckDBPyConnection:
    """A database of nothing, whose cursors hold what is in memory: each sees its own. To make one takes 15 ms."""
    return duckdb.connect()


atexit.register(_memory.cache_clear)  # one that outlives the interpreter is reported as a leak


def quoted(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A value as SQL writes it."""
    return repr(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


def _complete(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    defaults = {"state": "'done'", "kind": "'experiment'"}
    if not any(n in relation.columns for n in ("trial_id", *(f"seed_{s}" for s in STREAMS))):
        defaults["trial_id"] = "row_number() OVER ()"
    missing = [f"{value} AS {name}" for name, value in defaults.items() if name not in relation.columns]
    return relation.project(", ".join(["*", *missing]))
