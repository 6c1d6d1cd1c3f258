"""Published values, to stand beside a table of ours: a YAML file that says where they come from.

    source: Kong, Guo, You, Xu, AAAI 2020, Table 2
    metric: test_accuracy
    unit: "%"                                # as printed; percent and fractions are carried over into each other
    rows: method
    columns: {samples_per_class: [50, 100]}  # left out where the table has one column
    values:
      kd: [78.5, 83.77]                      # null where nothing was published

Where it is open what their columns are, `columns` has a list for each reading: {samples_per_class: {a: [50, 100], …}}.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import AnalysisError, nearest, unknown
from analysis.naming import label

KEYS = {"source": str, "metric": str, "unit": str, "rows": str, "columns": dict, "values": dict}
POWERS = {("%", "fraction"): -2, ("fraction", "%"): 2}


@dataclass(frozen=True)
class Published:
    """What a file says.

    Args:
        place: how messages call the file.
        source: where the values come from: a paper and the number of its table.
        metric, unit, rows, columns: what they are values of; `columns` is None where there is one column.
        readings: for each reading of the columns, their names in our words; the only reading is called "".
        values: for each row its values, one a column.
    """

    place: str
    source: str
    metric: str
    unit: str
    rows: str
    columns: str | None
    readings: Mapping[str, Sequence[Any]]
    values: Mapping[Any, Sequence[Decimal | None]]

    @classmethod
    def read(cls, path: str | Path) -> Published:
        """Raises AnalysisError where the file cannot be read or is none of published values."""
        place = f"--published {path}"
        known = _keys(place, _tree(place, Path(path)))
        columns, readings = _readings(place, known.get("columns", {}))
        width = len(next(iter(readings.values())))
        values = {_plain(row): _numbers(place, row, found, width) for row, found in known["values"].items()}
        about = {key: known[key] for key in ("source", "metric", "unit", "rows")}
        return cls(place=place, columns=columns, readings=readings, values=values, **about)

    def check(self, value: str, unit: str, axes: tuple[str, str | None]) -> None:
        """Raise AnalysisError unless these are values of the same metric over the same rows and columns."""
        theirs = {"metric": self.metric, "rows": self.rows, "columns": self.columns}
        for (key, name), ours in zip(theirs.items(), (value, *axes), strict=True):
            if name != ours:
                there, here = ("nothing" if n is None else f"`{n}`" for n in (name, ours))
                raise AnalysisError(f"{self.place}: `{key}` is {there}, but {here} in this table.")
        if unit not in ("", self.unit) and (self.unit, unit) not in POWERS:
            raise AnalysisError(f"{self.place}: its values are in {self.unit}, and `{value}` is in {unit}.")

    def beside(self, rows: Sequence[Any], columns: Sequence[Any], unit: str) -> Beside:
        """The values at the places of a table of ours. Raises AnalysisError where a name is nearly one of ours."""
        self._near(self.rows, self.values, rows)
        absent = self._absent(rows, columns)
        places: dict[str, dict[tuple[Any, Any], Decimal]] = {}
        for reading, names in self.readings.items():
            self._near(self.columns or "", names, columns)
            lines = {row: zip(names, line, strict=True) for row, line in self.values.items() if row in rows}
            found = {(r, c): v for r, line in lines.items() for c, v in line if v is not None and c in columns}
            places[reading] = {at: v.scaleb(POWERS.get((self.unit, unit), 0)) for at, v in found.items()}
        if not any(places.values()):
            raise AnalysisError(f"{self.place}: this table has no cell for any of its values, such as {absent}.")
        return Beside(self.source, places, absent)

    def _near(self, what: str, names: Sequence[Any] | Mapping[Any, Any], ours: Sequence[Any]) -> None:
        """A word that is nearly one of ours, which no other name takes, is a slip of the pen and not another row."""
        free = [o for o in ours if isinstance(o, str) and o not in names]
        for name in names:
            if isinstance(name, str) and name not in ours and nearest(name, free):
                raise unknown(what, name, free, self.place)

    def _absent(self, rows: Sequence[Any], columns: Sequence[Any]) -> str:
        lost = {label(self.rows): [row for row in self.values if row not in rows]}
        for reading, names in self.readings.items():
            lost[title(reading, label(self.columns or ""))] = [name for name in names if name not in columns]
        return "; ".join(f"{side} {', '.join(map(str, names))}" for side, names in lost.items() if names)


@dataclass(frozen=True)
class Beside:
    """Published values at the places of a table of ours.

    Args:
        source: where they come from.
        places: for each reading its values by (row, column).
        absent: which of their rows and columns the table has not; "" where it has all.
    """

    source: str
    places: Mapping[str, Mapping[tuple[Any, Any], Decimal]]
    absent: str

    def told(self) -> str:
        """What the footer says of them."""
        absent = f" Published but not run here: {self.absent}." if self.absent else ""
        return f"Published: as printed in {self.source}; not ours, in no comparison.{absent}"


def title(reading: str, what: str = "published") -> str:
    """What published values are called, with their reading where there are several: "published (samples in total)"."""
    return f"{what} ({reading})" if reading else what


class _AsPrinted(yaml.SafeLoader):
    """YAML whose numbers keep their digits, 81.40 as 1e-3, and whose keys stand there once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((at for at, key in enumerate(keys) if key in keys[:at]), None)
        if twice is not None:
            mark = node.value[twice][0].start_mark
            raise yaml.constructor.ConstructorError(problem=f"`{keys[twice]}` stands there twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal | float:
    try:
        return Decimal(node.value)
    except ArithmeticError:  # .inf and .nan
        return float(loader.construct_yaml_float(node))


_AsPrinted.add_constructor("tag:yaml.org,2002:float", _decimal)
_AsPrinted.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _tree(place: str, path: Path) -> Any:
    try:
        return _AsPrinted(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as problem:
        raise AnalysisError(f"{place} cannot be read: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise AnalysisError(f"{place} cannot be read: it is not text in UTF-8.") from None
    except yaml.YAMLError as problem:
        mark, why = getattr(problem, "problem_mark", None), getattr(problem, "problem", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise AnalysisError(f"{place}{line} is no YAML: {why or 'it holds what is no text'}.") from None


def _keys(place: str, tree: Any) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise AnalysisError(f"{place}: it must be a mapping with the keys {_list(KEYS)}.")
    for key, value in tree.items():
        if key not in KEYS:
            raise unknown("key", str(key), KEYS, place)
        kind = KEYS[key]
        if not isinstance(value, kind):
            wanted = "text" if kind is str else "a mapping"
            raise AnalysisError(f"{place}: `{key}` must be {wanted}; it is {_plain(value)!r}.")
    missing = [key for key in KEYS if key not in tree and key != "columns"]
    if missing or not tree["values"]:
        raise AnalysisError(f"{place}: {_list(missing or ['values'])} must be there and not be empty.")
    return tree


def _readings(place: str, columns: dict[str, Any]) -> tuple[str | None, dict[str, Sequence[Any]]]:
    if not columns:
        return None, {"": [None]}
    (name, names), *more = columns.items()
    readings = names if isinstance(names, dict) else {"": names}
    lists = [found for found in readings.values() if isinstance(found, list)]
    if more or len(lists) != len(readings) or len({len(found) for found in lists}) != 1:
        raise AnalysisError(
            f"{place}: `columns` must name one column and list its values, or a list for each reading, all as long.\n"
            "Such as: columns: {samples_per_class: [50, 100]}"
        )
    return str(name), {str(reading): [_plain(name) for name in found] for reading, found in readings.items()}


def _numbers(place: str, row: Any, found: Any, width: int) -> list[Decimal | None]:
    line = found if isinstance(found, list) else [found]
    wrong = [v for v in line if v is not None and not _is_number(v)]
    if wrong or len(line) != width:
        what = f"{_plain(wrong[0])!r} is no number" if wrong else f"there are {len(line)}"
        raise AnalysisError(f"{place}: `values` of `{row}` must be a number for each column, {width} in all; {what}.")
    return [None if v is None else Decimal(str(v)) for v in line]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)


def _plain(name: Any) -> Any:
    """A name as trials have it: they hold numbers of Python."""
    return float(name) if isinstance(name, Decimal) else name


def _list(names: Iterable[Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)
