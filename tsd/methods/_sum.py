"""Sums of methods: `kd+at` minimises the terms of both, each with the weight that its own method gives it.

Terms of equal name are one term (the labels' `hard`, the softened answers' `soft`), taken from the method named first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from pydantic import create_model

from tsd.errors import UserError
from tsd.methods._base import Distillation, Lesson, Needs, Stretch, Terms, Traits
from tsd.studies._base import Measured

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tsd.methods._teacher import Tutor
    from tsd.models._base import Draw, Model


@dataclass(frozen=True)
class Added:
    """Stands where a method's module would stand."""

    Method: type[Sum]
    __doc__: str


class Sum(Distillation):
    """Base of every sum's `Method`: it has the fields of all, and `kinds` by name."""

    kinds: ClassVar[Mapping[str, type[Distillation]]]

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """What any member needs; images, unless no member sees any."""
        each = [asdict(member.needs) for member in self.members.values()]
        return Needs(**{need: any(needs[need] for needs in each) for need in each[0]})

    @property
    def members(self) -> dict[str, Distillation]:
        """The methods that are added, each with its own fields."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: kind.of(values) for name, kind in self.kinds.items()}

    @property
    def batch_statistics(self) -> bool:
        """As any member asks."""
        return any(member.batch_statistics for member in self.members.values())

    def loss(self, lesson: Lesson) -> Terms:
        """The terms of all members; one that several name alike is the first one's."""
        found: dict[str, Tensor] = {}
        for name, member in self.members.items():
            found = {**member.loss(_own(lesson, name)), **found}
        return found

    def phases(self) -> Sequence[Stretch]:
        """The stages of the member that has several, of which the last one is that of all."""
        staged = {name: phases for name, member in self.members.items() if len(phases := member.phases()) > 1}
        if len(staged) > 1:
            listed = " and ".join(f"`{name}`" for name in staged)
            raise UserError(f"{listed} have stages of their own and cannot be added; let all but one of them be joint.")
        if not staged:
            return (Stretch(1.0, type(self).loss),)
        [(name, phases)] = staged.items()
        alone = [phase._replace(loss=functools.partial(_stage, name, phase.loss)) for phase in phases[:-1]]
        return (*alone, phases[-1]._replace(loss=type(self).loss))

    def tutor(self) -> Tutor | None:
        """The tutor of the member that has one."""
        named = {name: tutor for name, member in self.members.items() if (tutor := member.tutor())}
        if len({tutor.artefact.name for tutor in named.values()}) > 1:
            listed = " and ".join(f"`{name}`" for name in named)
            raise UserError(f"{listed} each bring a teacher of their own and cannot be added.")
        if named and (bound := [name for name, kind in self.kinds.items() if _reads_plain_teacher(kind)]):
            raise UserError(
                f"`{bound[0]}` prepares something from the teacher that was trained on labels alone, and "
                f"`{next(iter(named))}` lets another one teach; they cannot be added."
            )
        return next(iter(named.values()), None)

    def reads(self, student: Traits, teacher: Traits) -> Sequence[str]:
        """The points that any member reads."""
        found = (point for member in self.members.values() for point in member.reads(student, teacher))
        return tuple(dict.fromkeys(found))

    def adapters(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """The adapters of all, as "<method>.<adapter>"."""
        return self._of_all(lambda member: member.adapters(student, teacher))

    def products(self, student: Traits, teacher: Traits) -> Mapping[str, Model]:
        """The products of all, under their own names."""
        found: dict[str, Model] = {}
        for member in self.members.values():
            found |= member.products(student, teacher)
        return found

    def memory(self, student: Traits, teacher: Traits, samples: int, draw: Draw) -> Mapping[str, Tensor]:
        """The memories of all, under their own names."""
        found: dict[str, Tensor] = {}
        for member in self.members.values():
            found |= member.memory(student, teacher, samples, draw)
        return found

    def report(self, lesson: Lesson) -> Measured:
        """What any member reports."""
        told = [member.report(_own(lesson, name)) for name, member in self.members.items()]
        metrics = {name: value for each in told for name, value in each.metrics.items()}
        return Measured(metrics, [curve for each in told for curve in each.curves])

    def draw(
        self,
        batch: Mapping[str, Tensor],
        draws: Callable[[str], np.random.Generator],
        frozen: Callable[[str, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """One member after the other makes the batch."""
        drawn = dict(batch)
        for member in self.members.values():
            drawn = member.draw(drawn, draws, frozen)
        return drawn

    def _of_all(self, give: Callable[[Distillation], Mapping[str, Model]]) -> dict[str, Model]:
        return {f"{name}.{key}": value for name, member in self.members.items() for key, value in give(member).items()}


def _reads_plain_teacher(kind: type[Distillation]) -> bool:
    return any(need.name == "teacher" for artefact in kind.artefacts for need in artefact.needs)


def _own(lesson: Lesson, name: str) -> Lesson:
    """The lesson as the member `name` sees it: its adapters go by their own names."""
    return replace(lesson, adapt=lambda adapter, x: lesson.adapt(f"{name}.{adapter}", x))


def _stage(name: str, formula: Callable[[Any, Lesson], Terms], method: Sum, lesson: Lesson) -> Terms:
    return formula(method.members[name], _own(lesson, name))


def added(terms: Mapping[str, ModuleType]) -> Added:
    """The sum of methods, by name."""
    kinds: dict[str, type[Distillation]] = {name: module.Method for name, module in terms.items()}
    declared: dict[str, Any] = {}
    for kind in kinds.values():
        hints = get_type_hints(kind, include_extras=True)
        declared = {name: (hints[name], info) for name, info in kind.model_fields.items()} | declared
    told = f"The sum of {' and '.join(kinds)}."
    method = create_model("Method", __base__=Sum, __doc__=told, **declared)
    method.kinds = kinds
    method.artefacts = tuple(dict.fromkeys(artefact for kind in kinds.values() for artefact in kind.artefacts))
    method.reports = tuple(dict.fromkeys(name for kind in kinds.values() for name in kind.reports))
    return Added(method, told)
