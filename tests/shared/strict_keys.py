"""A file that a cloud reads, checked before a cloud reads it: every key known, every value of its kind."""

from difflib import get_close_matches
from typing import Any

Kind = Any
"""A type or a tuple of types; a set of the values there are; a dict of keys with their kinds ("*" for any other key); a
list of one kind."""


def problems(value: Any, kind: Kind, place: str = "") -> list[str]:
    """What is wrong with `value`, each with its place and, for a key that is not known, the nearest one."""
    if isinstance(kind, dict):
        return _mapping(value, kind, place) if isinstance(value, dict) else [f"{place}: {value!r} is no mapping"]
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [f"{place}: {value!r} is no list"]
        return [told for i, each in enumerate(value) for told in problems(each, kind[0], f"{place}[{i}]")]
    if isinstance(kind, set):
        return [] if value in kind else [f"{place}: {value!r} is none of {', '.join(sorted(kind))}"]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    return [] if right else [f"{place}: {value!r} is no {' or '.join(k.__name__ for k in kinds)}"]


def _mapping(value: dict[str, Any], kind: dict[str, Kind], place: str) -> list[str]:
    found = []
    for key, each in value.items():
        inner = f"{place}.{key}" if place else key
        if key in kind or "*" in kind:
            found += problems(each, kind.get(key, kind.get("*")), inner)
        else:
            near = get_close_matches(key, kind, n=1, cutoff=0.5)
            found.append(f"{inner} is not known" + (f"; did you mean {near[0]}?" if near else ""))
    return found
