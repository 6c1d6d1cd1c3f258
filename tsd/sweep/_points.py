"""The points of a grid as one SQL query: small tables of axes, crossed by DuckDB, never a Python object per trial.

Beside the value of a field stands its fragment of JSON (`"lr":0.005`), NULL where the value is the default. The
canonical JSON of a trial is its fragments, joined in the order of their names.
"""

from __future__ import annotations

import json
import math
from itertools import groupby
from typing import Any

import duckdb

from tsd.engine.rng import STREAMS
from tsd.fields import Scalar
from tsd.sweep._kinds import Axis, Kind, default, kinds, seeds
from tsd.sweep.conditions import embedded
from tsd.sweep.spec import SQL_TYPES, Sweep
from tsd.sweep.sql import quoted


class Points:
    """The query for the points of one sweep, and the tables of axes on which it rests.

    Args:
        connection: where the tables are made, as temporary ones.
    """

    def __init__(self, sweep: Sweep, connection: duckdb.DuckDBPyConnection) -> None:
        self.sweep = sweep
        self.kinds = kinds(sweep)
        self._connection = connection
        self._tables = 0
        self._sources = [[self._table(kind, axis) for axis in kind.axes] for kind in self.kinds]
        self._rules = [[[self._table(kind, axis) for axis in rule] for rule in kind.rules] for kind in self.kinds]

    def query(self) -> str:
        """One row per point: the fields, the seeds, `canonical`, and for each rule of `when` whether it held ("hit 0")
        and whether it met an axis that an earlier rule had set ("clash 0")."""
        return " UNION ALL ".join(self._points(index) for index in range(len(self.kinds)))

    def sizes(self, rule: int) -> str:
        """One row per point before a rule of `when`: whether it holds (`hit`) and the points it makes (`size`)."""
        return " UNION ALL ".join(
            f'SELECT "hit {rule}" AS hit, CASE WHEN "hit {rule}" THEN {kind.growth(rule)} ELSE 1 END AS size '
            f"FROM ({self._hits(index, rule)})"
            for index, kind in enumerate(self.kinds)
        )

    def bound(self) -> int:
        """No more points than these: every rule of `when` holding everywhere."""
        rules = range(len(self.sweep.when))
        points = sum(kind.points * math.prod(kind.growth(rule) for rule in rules) for kind in self.kinds)
        return points * math.prod(seeds(self.sweep).values())

    def _points(self, index: int) -> str:
        kind, rules = self.kinds[index], self.sweep.when
        columns = [quoted(name) for name in self.sweep.columns]
        for i, rule in enumerate(rules):
            earlier = [f'"hit {j}"' for j in range(i) if {*rules[j].axes} & {*rule.axes} & {*kind.fields}]
            clash = f'"hit {i}" AND ({" OR ".join(earlier)})' if earlier else "false"
            columns += [f'"hit {i}"', f'{clash} AS "clash {i}"']
        columns.append(f"{self._canonical(kind)} AS canonical")
        return f"SELECT {', '.join(columns)} FROM ({self._ruled(index, len(rules))})"

    def _ruled(self, index: int, rules: int) -> str:
        """The points of a kind after the first `rules` rules of `when`.

        Where a rule does not hold, the first row of its axes stands in for "no axis here": the point stays, once, and
        keeps its own value.
        """
        if rules == 0:
            return self._crossed(index)
        rule = rules - 1
        tables, hits = self._rules[index][rule], self._hits(index, rule)
        if not tables:
            return hits
        replaced = ", ".join(
            f'CASE WHEN s."hit {rule}" THEN {table}.{quoted(c)} ELSE s.{quoted(c)} END AS {quoted(c)}'
            for table, axis in zip(tables, self.kinds[index].rules[rule], strict=True)
            for c in _columns(axis)
        )
        kept = " AND ".join(f'(s."hit {rule}" OR {table}."row" = 0)' for table in tables)
        return f"SELECT s.* REPLACE ({replaced}) FROM ({hits}) s, {', '.join(tables)} WHERE {kept}"

    def _hits(self, index: int, rule: int) -> str:
        condition = embedded(self.sweep.when[rule].condition)
        return f'SELECT *, coalesce({condition}, false) AS "hit {rule}" FROM ({self._ruled(index, rule)})'

    def _crossed(self, index: int) -> str:
        """Axes × zips × seeds of one kind."""
        kind, sources = self.kinds[index], list(self._sources[index])
        columns = {c: f"{t}.{quoted(c)}" for t, axis in zip(sources, kind.axes, strict=True) for c in _columns(axis)}
        for name, field in self.sweep.fields.items():
            columns.setdefault(name, literal(kind.fixed.get(name), field.type))
        for name in [name for rule in kind.rules for axis in rule for name in axis.names]:
            columns.setdefault(f"{name} json", literal(fragment(kind, name, kind.fixed[name]), str))
        counts = seeds(self.sweep)
        sources += [f'(SELECT range AS "seed {stream}" FROM range({n}))' for stream, n in counts.items()]
        for stream in STREAMS:
            key = stream if stream in counts else ""
            columns[f"seed_{stream}"] = f'"seed {key}"' if key in counts else literal(0, int)
        listed = ", ".join(f"{value} AS {quoted(name)}" for name, value in columns.items())
        return f"SELECT {listed} FROM {', '.join(sources)}"

    def _canonical(self, kind: Kind) -> str:
        """The canonical JSON of a point, as an SQL expression; neighbouring constants are one text."""
        varying = {name for axes in (kind.axes, *kind.rules) for axis in axes for name in axis.names}
        parts: list[str] = []
        for varies, names in groupby(sorted(kind.fields), varying.__contains__):
            if varies:
                parts += [quoted(f"{name} json") for name in names]
            else:
                constant = [fragment(kind, name, kind.fixed[name]) for name in names]
                parts.append(literal(",".join(filter(None, constant)) or None, str))
        streams = [f"""'{"," * (i > 0)}"{s}":', seed_{s}""" for i, s in enumerate(sorted(STREAMS))]
        ending = f'}},"study":{_json(self.sweep.study)},"version":{_json(self.sweep.version)}}}'
        opening = f"""'{{"fields":{{', concat_ws(',', {", ".join(parts)}), '}},"seeds":{{'"""
        return f"concat({opening}, {', '.join(streams)}, {literal(ending, str)})"

    def _table(self, kind: Kind, axis: Axis) -> str:
        """A table of an axis: for each field its value and its fragment, and the number of the row."""
        name = f"axis_{self._tables}"
        self._tables += 1
        columns = ['unnest(range(?)) AS "row"']
        lists: list[Any] = [len(axis.rows)]
        for field, values in zip(axis.names, zip(*axis.rows, strict=True), strict=True):
            columns.append(f"unnest(?::{SQL_TYPES[kind.fields[field].type]}[]) AS {quoted(field)}")
            columns.append(f"unnest(?::VARCHAR[]) AS {quoted(f'{field} json')}")
            lists += [list(values), [fragment(kind, field, value) for value in values]]
        self._connection.execute(f"CREATE TEMP TABLE {name} AS SELECT {', '.join(columns)}", lists)
        return name


def fragment(kind: Kind, name: str, value: Scalar) -> str | None:
    """What a value adds to the canonical JSON: nothing where it is the default."""
    return None if value == default(kind.fields[name]) else f"{_json(name)}:{_json(value)}"


def literal(value: Scalar | None, kind: type) -> str:
    """`value` as SQL of the type of its column. Numbers pass as text that DuckDB reads back to the same number."""
    if value is None:
        return f"CAST(NULL AS {SQL_TYPES[kind]})"
    text = value if isinstance(value, str) else repr(value)
    return f"CAST('{text.replace(chr(39), chr(39) * 2)}' AS {SQL_TYPES[kind]})"


def _columns(axis: Axis) -> list[str]:
    return [column for name in axis.names for column in (name, f"{name} json")]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
