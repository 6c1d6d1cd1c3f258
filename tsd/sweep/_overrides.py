"""`--set KEY=VALUE`: changes to a sweep file for one command, made on its tree before anything is checked.

A dotted key reaches into the file (`fixed.epochs`, `axes.lr`, `seeds.init`). A bare field name fixes that field and
replaces whatever the file says of it, an axis included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tsd.sweep import _yaml
from tsd.sweep._known import KEYS
from tsd.sweep._yaml import Node
from tsd.sweep.problems import Place, Problem, SweepFileError, shorten


def apply(root: Node, overrides: Sequence[str]) -> tuple[Node, list[Problem]]:
    """The tree with all `overrides` made, in their order, and what was wrong with them.

    Args:
        root: the file.
        overrides: each `KEY=VALUE`; the value is YAML. A bare key that is none of a sweep file's is a field.
    """
    problems: list[Problem] = []
    for rank, override in enumerate(overrides, start=1):
        name, equals, text = (part.strip() for part in _yaml.clean(override).partition("="))
        place = Place(rank, 0, 0, f"--set {shorten(name + equals + text)}")
        try:
            if not equals or not all(name.split(".")):
                raise SweepFileError([Problem(place, "", "Expected KEY=VALUE, such as `--set epochs=10`.")])
            bare = "." not in name and name not in KEYS
            path = ["fixed", name] if bare else name.split(".")
            value, found = _yaml.read(text, place, ".".join(path))
            root = _put(_without(root, name) if bare else root, path, value)
            problems += found
        except SweepFileError as error:
            problems += error.problems
    return root, problems


def _put(node: Node, path: Sequence[str], value: Node) -> Node:
    """`node` with `value` at `path`; mappings on the way are made where there are none."""
    if not path:
        return value
    inside = {} if node.value is None else node.value
    if not isinstance(inside, dict):
        text = f"`{value.path}` reaches into `{node.path}`, which is {node.found()} in the file, not a mapping."
        raise SweepFileError([Problem(value.place, value.path, text)])
    here = f"{node.path}.{path[0]}" if node.path else path[0]
    child = inside.get(path[0], Node(None, value.place, value.place, here))
    return replace(node, value=inside | {path[0]: _put(child, path[1:], value)})


def _without(root: Node, name: str) -> Node:
    """The file without the axes of a field, in `axes`, `zip` and `when`. What becomes empty by this goes too."""
    if not isinstance(root.value, dict):
        return root
    sections = dict(root.value)
    if "axes" in sections:
        sections["axes"] = _drop(sections["axes"], name)
    for section, less in (("zip", _drop), ("when", _rule)):
        if section in sections and isinstance(entries := sections[section].value, list):
            left = [entry for entry in (less(e, name) for e in entries) if entry.value != {}]
            sections[section] = replace(sections[section], value=left)
    return replace(root, value=sections)


def _drop(node: Node, name: str) -> Node:
    if not isinstance(node.value, Mapping) or name not in node.value:
        return node
    return replace(node, value={key: value for key, value in node.value.items() if key != name})


def _rule(node: Node, name: str) -> Node:
    """A `when` rule without the axis `name`; nothing where that was its only one."""
    if not isinstance(node.value, dict) or "axes" not in node.value:
        return node
    axes = _drop(node.value["axes"], name)
    emptied = axes.value == {} and axes is not node.value["axes"]
    return replace(node, value={} if emptied else node.value | {"axes": axes})
