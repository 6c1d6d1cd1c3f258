"""The kinds of trials in a grid. Trials that name the same members of the study's parts have the same fields: one kind.

The grid is the union over the kinds, and each kind crosses only the axes that it has. So a trial of the method `none`
takes no part in an axis `temperature`, and the trials that would differ in nothing else come once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from tsd.fields import Field, Scalar
from tsd.sweep.spec import Sweep


@dataclass(frozen=True)
class Axis:
    """Fields that move together, and their rows of values."""

    names: tuple[str, ...]
    rows: tuple[tuple[Scalar, ...], ...]

    @property
    def label(self) -> str:
        """The axis in a plan: `lr·batch_size`."""
        return "·".join(self.names)

    def share(self, members: Mapping[str, str], fields: Mapping[str, Field]) -> Axis:
        """What a kind has of it: the rows that name its `members`, less the fields that it lacks, each row once."""
        mine = [row for row in self.rows if all(members.get(n, v) == v for n, v in zip(self.names, row, strict=True))]
        kept = [i for i, name in enumerate(self.names) if name in fields and name not in members]
        rows = dict.fromkeys(tuple(row[i] for i in kept) for row in mine)
        return Axis(tuple(self.names[i] for i in kept), tuple(rows))


@dataclass(frozen=True)
class Kind:
    """One kind of trial.

    Args:
        members: the member that each part names.
        fields: the fields that such a trial has.
        fixed: the one value of every field of which there is no axis here.
        axes: what is crossed, seeds aside.
        rules: what each rule of `when` crosses.
    """

    members: Mapping[str, str]
    fields: Mapping[str, Field]
    fixed: Mapping[str, Scalar]
    axes: tuple[Axis, ...]
    rules: tuple[tuple[Axis, ...], ...]

    @property
    def points(self) -> int:
        """Trials before seeds and `when`."""
        return math.prod(len(axis.rows) for axis in self.axes)

    def growth(self, rule: int) -> int:
        """What a rule of `when` makes of one point for which it holds."""
        return math.prod(len(axis.rows) for axis in self.rules[rule])


def axes(sweep: Sweep) -> list[Axis]:
    """What is crossed, seeds aside, by a sweep whose trials have all fields."""
    return [*_single(sweep.axes), *(Axis(tuple(g), tuple(zip(*g.values(), strict=True))) for g in sweep.zips)]


def seeds(sweep: Sweep) -> dict[str, int]:
    """Seeds by stream; under "" where all streams count together."""
    return {"": sweep.seeds} if isinstance(sweep.seeds, int) else dict(sweep.seeds)


def kinds(sweep: Sweep) -> list[Kind]:
    """Every kind of which the grid has a trial."""
    named = [dict(zip(sweep.members, names, strict=True)) for names in product(*sweep.members.values())]
    return [kind for kind in (_kind(sweep, members) for members in named) if kind.points]


def default(field: Field) -> Scalar:
    """The declared default in the field's own type."""
    return field.parse(field.default)


def _kind(sweep: Sweep, members: dict[str, str]) -> Kind:
    foreign = {name for part in sweep.members.values() for fields in part.values() for name in fields}
    fields = {name: field for name, field in sweep.fields.items() if name not in foreign}
    for part, member in members.items():
        fields |= sweep.members[part][member]
    shares = [axis.share(members, fields) for axis in axes(sweep)]
    rules = [[axis.share(members, fields) for axis in _single(rule.axes)] for rule in sweep.when]
    fixed = {name: sweep.fixed.get(name, default(field)) for name, field in fields.items()}
    return Kind(
        members=members,
        fields=fields,
        fixed=fixed | members,
        axes=tuple(share for share in shares if share.names or not share.rows),
        rules=tuple(tuple(share for share in rule if share.names) for rule in rules),
    )


def _single(given: Mapping[str, tuple[Scalar, ...]]) -> list[Axis]:
    return [Axis((name,), tuple((value,) for value in values)) for name, values in given.items()]
