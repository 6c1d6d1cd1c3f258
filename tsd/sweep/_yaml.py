"""YAML as a sweep file means it: no repeated keys, no tags, nothing without bounds, and every value with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Union

import yaml

from tsd.sweep._syntax import CORE, TAG, at, compose
from tsd.sweep.problems import Place, Problem, SweepFileError, shorten

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


def read(text: str, start: Place, path: str = "") -> tuple[Node, list[Problem]]:
    """The tree of `text` and what is wrong with its keys and scalars.

    Args:
        start: where the text comes from. A `--set` (line 0) gives its own place to every value.
        path: the path of keys that leads to the text.

    Raises:
        SweepFileError: the text is no YAML, or is too large or too deep to be a sweep file.
    """
    root = compose(text, start, path)
    if root is None:
        return Node(None, start, start, path), []
    _refuse_endless(root, Problem(at(root.start_mark, start), path, ""))
    reader = _Reader(start)
    return reader.convert(root, path, start), reader.problems


def clean(text: str) -> str:
    """`text` without what neither UTF-8 nor a database can hold: halves of surrogate pairs, and NUL."""
    return text.encode("utf-8", "ignore").decode().replace("\0", "")


def _refuse_endless(root: yaml.Node, problem: Problem) -> None:
    """Raise where aliases make the tree larger or deeper than a sweep. Nodes are measured once, however often used."""
    measured: dict[int, tuple[int, int]] = {}

    def measure(node: yaml.Node, depth: int) -> tuple[int, int]:
        """Values and levels under a node. One that contains itself has no measure yet when it is met again."""
        if id(node) not in measured and depth <= DEEPEST:
            entries = node.value if isinstance(node, yaml.CollectionNode) else []
            inside = [n for entry in entries for n in (entry if isinstance(entry, tuple) else (entry,))]
            below = [measure(n, depth + 1) for n in inside]
            measured[id(node)] = 1 + sum(size for size, _ in below), 1 + max((levels for _, levels in below), default=0)
        return measured.get(id(node), (0, DEEPEST))

    size, levels = measure(root, 0)
    if levels > DEEPEST:
        raise SweepFileError(
            [replace(problem, text=f"This is nested deeper than {DEEPEST} levels, or contains itself.")]
        )
    if size > MOST_VALUES:
        raise SweepFileError(
            [replace(problem, text=f"Anchors and aliases make this more than {MOST_VALUES:,} values.")]
        )


class _Reader:
    """One text on its way from PyYAML's nodes to ours, with the problems met on it."""

    def __init__(self, start: Place) -> None:
        self.start = start
        self.problems: list[Problem] = []

    def at(self, node: yaml.Node) -> Place:
        return at(node.start_mark, self.start)

    def convert(self, node: yaml.Node, path: str, key: Place) -> Node:
        value: Value = None
        if isinstance(node, yaml.MappingNode) and node.tag == TAG + "map":
            value = self.mapping(node, path)
        elif isinstance(node, yaml.SequenceNode) and node.tag == TAG + "seq":
            value = [self.convert(n, f"{path}[{i}]", self.at(n)) for i, n in enumerate(node.value)]
        elif isinstance(node, yaml.ScalarNode):
            value = self.scalar(node, path)
        else:
            self.refuse_tag(node, path)
        return Node(value, self.at(node), key, path)

    def mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for name, place, value in self.entries(node, path):
            here = f"{path}.{shorten(name)}" if path else shorten(name)
            if name == "<<":
                merged = self.merge(value, path) | merged
            elif name in own:
                first = f"; first in line {own[name].key.line}" if place.line else ""
                text = f"The key `{shorten(name)}` stands here a second time{first}."
                self.problems.append(Problem(place, here, text))
            elif value.value == "" and (unspaced := re.fullmatch(r"([^\s:]+):(\S.*)", name)):
                text = f"`{shorten(name)}` needs a space behind its colon: `{unspaced[1]}: {shorten(unspaced[2])}`."
                self.problems.append(Problem(place, here, text))
                meant = compose(unspaced[2], place, here)
                own.setdefault(unspaced[1], replace(self.convert(meant or value, here, place), place=place))
            else:
                own[name] = self.convert(value, here, place)
        return merged | own

    def entries(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, Place, yaml.Node]]:
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield clean(key.value), self.at(key), value
            else:
                self.problems.append(Problem(self.at(key), path, "A key must be a plain word."))

    def merge(self, node: yaml.Node, path: str) -> dict[str, Node]:
        """Entries that `<<: *anchor` brings along; of several mappings the earlier wins."""
        found: dict[str, Node] = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            other = self.convert(source, path, self.at(source))
            if isinstance(other.value, dict):
                found = other.value | found
            else:
                self.problems.append(other.problem(f"`<<` takes mappings; found {other.found()}."))
        return found

    def scalar(self, node: yaml.ScalarNode, path: str) -> Value:
        kind, text = node.tag.removeprefix(TAG), node.value
        if kind == "str":
            if clean(text) != text:
                said = "Text must not contain NUL or half a surrogate pair."
                self.problems.append(Problem(self.at(node), path, said))
            return clean(text)
        if kind not in CORE:
            self.refuse_tag(node, path)
        elif not re.fullmatch(CORE[kind][0], text):
            said = f"'{shorten(text)}' is not what its tag `!!{kind}` says."
            self.problems.append(Problem(self.at(node), path, said))
        else:
            return _number(text) if kind in ("int", "float") else _word(kind, text)
        return None

    def refuse_tag(self, node: yaml.Node, path: str) -> None:
        tag = shorten(node.tag.replace(TAG, "!!"))
        self.problems.append(Problem(self.at(node), path, f"The tag `{tag}` is not allowed."))


def _word(kind: str, text: str) -> bool | None:
    return text.lower() == "true" if kind == "bool" else None


def _number(text: str) -> int | float:
    """YAML's spelling → Python's. Very long whole numbers become floats, most of them infinite."""
    if text.startswith(("0o", "0x")):
        return int(text, 0) if len(text) <= 200 else float("inf")
    if re.fullmatch(r"[-+]?[0-9]{1,300}", text):
        return int(text)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
