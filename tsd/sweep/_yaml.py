"""YAML as a sweep file means it: YAML 1.2 numbers, no repeated keys, no tags, bounded, and every value with its place.

PyYAML reads YAML 1.1, where `1e-3` is text, `010` is 8, `off` is false and a repeated key silently wins. Here numbers,
truth values and null follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), and everything
else is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Union

import yaml

from tsd.sweep.problems import Place, Problem, SweepFileError, shorten

MOST_CHARACTERS = 1_000_000
MOST_VALUES = 200_000
DEEPEST = 40

Value = Union[None, bool, int, float, str, "list[Node]", "dict[str, Node]"]


@dataclass(frozen=True)
class Node:
    """A value, the place where it stands, the place of its key, and the path of keys that leads to it."""

    value: Value
    place: Place
    key: Place
    path: str

    def problem(self, text: str) -> Problem:
        """Something is wrong with the value."""
        return Problem(self.place, self.path, text)

    def misnamed(self, text: str) -> Problem:
        """Something is wrong with the key."""
        return Problem(self.key, self.path, text)

    def found(self) -> str:
        """The value in words: "text 'abc'", "a list", "0.1"."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return str(self.value).lower()
            case str():
                return f"text '{shorten(self.value)}'"
            case int() | float():
                return shorten(repr(self.value))
            case list():
                return "a list"
        return "a mapping"


class _Loader(yaml.SafeLoader):
    """Composes the tree of nodes; `_CORE` decides which plain scalars are more than text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_TAG = "tag:yaml.org,2002:"
_CORE = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
for _kind, (_pattern, _first) in _CORE.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), _first)


def read(text: str, start: Place, path: str = "") -> tuple[Node, list[Problem]]:
    """The tree of `text` and what is wrong with its keys and scalars.

    Args:
        start: where the text comes from. A `--set` (line 0) gives its own place to every value.
        path: the path of keys that leads to the text.

    Raises:
        SweepFileError: the text is no YAML, or is too large or too deep to be a sweep file.
    """
    reader = _Reader(start)
    if len(text) > MOST_CHARACTERS:
        raise SweepFileError(
            [Problem(start, path, f"This has {len(text):,} characters; a sweep file is a page of text.")]
        )
    return reader.convert(reader.compose(text, path), path, start), reader.problems


class _Reader:
    """One text on its way from PyYAML's nodes to ours, with the problems met on it."""

    def __init__(self, start: Place) -> None:
        self.start = start
        self.problems: list[Problem] = []
        self.seen = 0

    def compose(self, text: str, path: str) -> yaml.Node | None:
        loader: _Loader | None = None
        try:
            loader = _Loader(text)
            return loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise SweepFileError([Problem(self.at(mark), path, _friendly(error))]) from None
        except yaml.reader.ReaderError as error:
            place = self.at_index(text, error.position)
            character = f"U+{ord(text[error.position]):04X}"
            raise SweepFileError(
                [Problem(place, path, f"This is not YAML: the character {character} may not stand here.")]
            ) from None
        except (ValueError, OverflowError) as error:
            # PyYAML passes numbers of escapes (\U…) and directives (%YAML …) to chr() and int() unchecked.
            mark = loader.get_mark() if loader else None
            raise SweepFileError([Problem(self.at(mark), path, f"This is not YAML: {error}.")]) from None
        except RecursionError:
            raise SweepFileError([Problem(self.start, path, _TOO_DEEP)]) from None

    def at(self, mark: yaml.Mark | None) -> Place:
        if mark is None or not self.start.line:
            return self.start
        return replace(self.start, line=mark.line + 1, column=mark.column + 1)

    def at_index(self, text: str, index: int) -> Place:
        before = text[:index].splitlines() or [""]
        return replace(self.start, line=len(before), column=len(before[-1]) + 1) if self.start.line else self.start

    def convert(self, node: yaml.Node | None, path: str, key: Place, depth: int = 0) -> Node:
        if node is None:
            return Node(None, self.start, key, path)
        place = self.at(node.start_mark)
        self.seen += 1
        if self.seen > MOST_VALUES:
            raise SweepFileError(
                [Problem(place, path, f"Anchors and aliases expand this to more than {MOST_VALUES:,} values.")]
            )
        if depth > DEEPEST:
            raise SweepFileError([Problem(place, shorten(path, 30), _TOO_DEEP)])
        value: Value
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            value = self.mapping(node, path, depth)
        elif isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            value = [
                self.convert(n, f"{path}[{i}]", self.at(n.start_mark), depth + 1) for i, n in enumerate(node.value)
            ]
        elif isinstance(node, yaml.ScalarNode):
            value = self.scalar(node, path, place)
        else:
            self.problems.append(Problem(place, path, f"The tag `{shorten(node.tag)}` is not allowed."))
            value = None
        return Node(value, place, key, path)

    def mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for name, place, value in self.entries(node, path):
            here = f"{path}.{shorten(name)}" if path else shorten(name)
            if name == "<<":
                merged = self.merge(value, path, depth) | merged
            elif name in own:
                first = own[name].key.line
                self.problems.append(
                    Problem(place, here, f"The key `{shorten(name)}` stands here a second time; first in line {first}.")
                )
            else:
                own[name] = self.convert(value, here, place, depth + 1)
        return merged | own

    def entries(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, Place, yaml.Node]]:
        for key, value in node.value:
            place = self.at(key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                yield clean(key.value), place, value
            else:
                self.problems.append(Problem(place, path, "A key must be a plain word."))

    def merge(self, node: yaml.Node, path: str, depth: int) -> dict[str, Node]:
        """Entries that `<<: *anchor` brings along; of several mappings the earlier wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Node] = {}
        for source in sources:
            other = self.convert(source, path, self.at(source.start_mark), depth + 1)
            if isinstance(other.value, dict):
                found = other.value | found
            else:
                self.problems.append(Problem(other.place, path, f"`<<` takes mappings; found {other.found()}."))
        return found

    def scalar(self, node: yaml.ScalarNode, path: str, place: Place) -> Value:
        kind, text = node.tag.removeprefix(_TAG), node.value
        if kind == "str":
            if clean(text) != text:
                self.problems.append(Problem(place, path, "Text must not contain NUL or half a surrogate pair."))
            return clean(text)
        if kind not in _CORE:
            self.problems.append(Problem(place, path, f"The tag `{shorten(node.tag)}` is not allowed."))
        elif not re.fullmatch(_CORE[kind][0], text):
            self.problems.append(Problem(place, path, f"'{shorten(text)}' is not what its tag `!!{kind}` says."))
        else:
            return _number(text) if kind in ("int", "float") else _word(kind, text)
        return None


def _word(kind: str, text: str) -> bool | None:
    return text.lower() == "true" if kind == "bool" else None


def _number(text: str) -> int | float:
    """YAML's spelling → Python's. Whole numbers of more than 300 digits become floats, most of them infinite."""
    if text.startswith(("0o", "0x")):
        return int(text, 0) if len(text) <= 300 else float("inf")
    if re.fullmatch(r"[-+]?[0-9]{1,300}", text):
        return int(text)
    return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").replace(".nan", "nan"))


def clean(text: str) -> str:
    """`text` without what neither UTF-8 nor a database can hold."""
    return text.encode("utf-8", "ignore").decode().replace("\0", "")


_TOO_DEEP = f"This is nested deeper than {DEEPEST} levels, or contains itself."
_HINTS = {
    "found character '\\t'": "Indent with spaces, not tabs.",
    "mapping values are not allowed here": "A value that contains `: ` needs quotes, and a key needs its own line.",
    "could not find expected ':'": "Every key needs a colon and a space: `key: value`.",
    "expected ',' or": "A bracket is not closed, or a comma is missing.",
    "but found '<stream end>'": "A bracket or a quote is not closed.",
    "found unexpected end of stream": "A quote is not closed.",
    "expected <block end>": "Entries of one level must begin in the same column.",
    "expected a single document": "One file is one sweep: remove the line `---`.",
    "found undefined alias": "`*name` repeats what `&name` has marked earlier; text that begins with `*` needs quotes.",
}


def _friendly(error: yaml.MarkedYAMLError) -> str:
    said = f"{error.context or ''} {error.problem or ''}".strip()
    hint = next((f"\n{hint}" for sign, hint in _HINTS.items() if sign in said), "")
    return f"This is not YAML: {shorten(said, 200)}.{hint}"
