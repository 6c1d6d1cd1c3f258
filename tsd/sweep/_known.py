"""What a sweep of a study may say: the study's own fields, and those of the members that the sweep names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType

from tsd.families import SUM, Family
from tsd.fields import Field, Scalar
from tsd.sweep._yaml import Node
from tsd.sweep.problems import Problem, listed, near, nearest, shorten

KEYS = ("name", "study", "fixed", "axes", "zip", "when", "except", "seeds", "resources")
"""The keys of a sweep file."""


@dataclass(frozen=True)
class Known:
    """The fields that a sweep may set.

    Args:
        study: the study's name.
        own: the study's own fields. A field whose value is a member of a family has the members' names as its choices.
        members: for each such field, the members that the sweep names, each with its fields.
        families: for each such field, the family.
        complete: False where a study or member is unknown and none is near, so that nothing can be said of the fields
            that it may have.
    """

    study: str
    own: Mapping[str, Field]
    members: Mapping[str, Mapping[str, Mapping[str, Field]]]
    families: Mapping[str, Family]
    complete: bool

    def owners(self, name: str) -> dict[str, Field]:
        """The field `name` as the study or as each of the named members declares it, by the declarer's name."""
        found = {self.study: self.own[name]} if name in self.own else {}
        for members in self.members.values():
            found |= {member: fields[name] for member, fields in members.items() if name in fields}
        return found

    def names(self) -> list[str]:
        """Every field that the sweep may set."""
        groups = [self.own, *(fields for members in self.members.values() for fields in members.values())]
        return list(dict.fromkeys(name for group in groups for name in group))

    def unknown(self, node: Node, name: str) -> Problem:
        """The problem of a field that nobody has."""
        named = "".join(f" nor `{member}`" for members in self.members.values() for member in members)
        who = f"Neither `{self.study}`{named} has a" if named else f"`{self.study}` has no"
        keys = KEYS if node.key.rank else ()  # `--set sedes=2` may have meant `seeds`.
        hint = self._elsewhere(name) or nearest(name, [*self.names(), *keys])
        hint = hint or f"\nThe fields are {listed(self.names())}."
        return node.misnamed(f"{who} field `{shorten(name)}`.{hint}")

    def _elsewhere(self, name: str) -> str:
        """A hint where only members that the sweep does not name have the field."""
        for part, family in self.families.items():
            others = [m for m in family.names() if m not in self.members[part] and name in member_fields(family, m)]
            if others:
                return f"\nIt belongs to {listed(others)}; this sweep names no such {family.singular}."
        return ""

    def parse(self, node: Node, name: str, problems: list[Problem]) -> Scalar | None:
        """The value of the field `name`; None, with the problem told, where it does not fit."""
        value: Scalar | None = None
        owners = self.owners(name)
        family = self.families.get(name)
        given = _value(node, family) if family else node.value
        for owner, field in owners.items():
            try:
                value = field.parse(given)
            except ValueError:
                whose = f"; `{owner}` expects" if len(owners) > 1 else ", expected"
                found = f"the sum '{given}'" if isinstance(given, str) and given != node.value else node.found()
                hint = _hint_at_member(given, family) if family and isinstance(given, str) else _hint(node, field)
                problems.append(node.problem(f"Found {found}{whose} {field.expected()}.{hint}"))
                return None
        return value


def known(study: str, module: ModuleType | None, root: Mapping[str, Node]) -> Known:
    """What the file `root` may say. Without a `module` the study is unknown."""
    if module is None:
        return Known(study, {}, {}, {}, complete=False)
    own = dict(module.Trial.fields())
    members: dict[str, dict[str, dict[str, Field]]] = {}
    complete = True
    for part, family in module.Trial.parts.items():
        names = family.names()
        named = [_meant(value, family) for value in _given(part, family, root)] or [own[part].default]
        complete = complete and all(family.has(name) for name in named)
        sums = list(dict.fromkeys(name for name in named if family.has(name) and name not in names))
        members[part] = {name: member_fields(family, name) for name in [*names, *sums] if name in named}
        own[part] = replace(own[part], choices=(*names, *sums))
    found = Known(study, own, members, module.Trial.parts, complete)
    _agree(found)
    return found


def member_fields(family: Family, name: str) -> dict[str, Field]:
    """The fields of one member. Its class is named as its family is: `Method` in a file of `tsd.methods`."""
    declared: dict[str, Field] = getattr(family.load(name), family.singular.capitalize()).fields()
    return declared


def _given(part: str, family: Family, root: Mapping[str, Node]) -> Iterator[object]:
    """Every value that the file gives the field `part`, whether good or not."""
    return (_value(node, family) for node in written(part, root))


def written(name: str, root: Mapping[str, Node]) -> Iterator[Node]:
    """Every value of the field `name` under `fixed`, `axes`, `zip` and `when`."""
    fixed, axes, zips, when = (root[key].value if key in root else None for key in ("fixed", "axes", "zip", "when"))
    entries = [n.value for n in zips] if isinstance(zips, list) else []
    rules = [n.value.get("axes") for n in when if isinstance(n.value, dict)] if isinstance(when, list) else []
    for section in (fixed, axes, *entries, *(rule.value for rule in rules if rule)):
        if isinstance(section, dict) and name in section:
            node = section[name]
            yield from node.value if isinstance(node.value, list) and section is not fixed else [node]


def _meant(value: object, family: Family) -> object:
    """The member, or sum of different members, that `value` names, or is near to."""
    if family.has(value) or not isinstance(value, str):
        return value
    terms = value.split(SUM) if family.summed else [value]
    return SUM.join(dict.fromkeys(near(term, family.names()) or term for term in terms))


def _value(node: Node, family: Family) -> object:
    """What a node says of a field that names a member; a list of members is their sum."""
    if family.summed and isinstance(node.value, list):
        return SUM.join(str(each.value) for each in node.value)
    return node.value


def _agree(found: Known) -> None:
    """One column holds one type, and a trial has one value of a name: declarations of one name must not contradict."""
    for name in found.names():
        owners = found.owners(name)
        if len({field.type for field in owners.values()}) > 1 or (len(owners) > 1 and found.study in owners):
            raise TypeError(f"{', '.join(owners)} declare the field `{name}` differently; rename it in all but one")


def _hint_at_member(text: str, family: Family) -> str:
    meant = _meant(text, family)
    return f"\nDid you mean `{meant}`?" if family.has(meant) else ""


def _hint(node: Node, field: Field) -> str:
    """What may have been meant, as a line of its own."""
    value = node.value
    if isinstance(value, str):
        return _hint_at_text(value, field)
    if isinstance(value, list) and node.path.startswith("fixed"):
        return f"\nSeveral values make an axis: put `{field.name}` under `axes`."
    if isinstance(value, int | float) and field.type is str and not field.choices:
        return f'\nIn quotes it is text: "{node.found()}"'
    if isinstance(value, float) and not math.isfinite(value):
        return "\nIt must be finite."
    if isinstance(value, int) and abs(value) >= 2**63 and field.type is int:
        return "\nIt must be below 2^63."
    return ""


def _hint_at_text(text: str, field: Field) -> str:
    if field.type in (int, float) and text.replace("_", "").isdigit():
        return f"\nWrite it without `_`: {text.replace('_', '')}"
    return nearest(text, field.choices)
