"""What methods that compare activations share: which feature points are compared, and what makes their shapes equal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.fields import Static, field
from tsd.lazy import torch
from tsd.methods._base import Distillation, Lesson, Traits

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tsd.models._base import Model

Pairs = list[tuple[str, str]]
"""(feature point of the student, feature point of the teacher) of everything that is compared."""


class FeatureDistillation(Distillation):
    """Base of methods that compare activations at feature points."""

    student_point: Static[str] = field("", doc="Feature point of the student; empty takes the method's own choice.")
    teacher_point: Static[str] = field("", doc="Feature point of the teacher; empty takes the method's own choice.")

    def pairs(self, student: Traits, teacher: Traits) -> Pairs:
        """What is compared: the points that were named, or else the method's choice.

        Raises:
            UserError: only one point is named, or a network has no such point.
        """
        if not self.student_point and not self.teacher_point:
            return self.choice(student, teacher)
        for name, point, network in (
            ("student_point", self.student_point, student),
            ("teacher_point", self.teacher_point, teacher),
        ):
            if not point:
                raise UserError(f"Only one feature point is named; name {name} too, one of {_listed(network)}.")
            if point not in network.shapes:
                raise UserError(f"The {network.role} has no feature point {name}: {point}; it has {_listed(network)}.")
        return [(self.student_point, self.teacher_point)]

    def choice(self, student: Traits, teacher: Traits) -> Pairs:
        """The method's own choice of feature points."""
        raise NotImplementedError

    def reads(self, student: Traits, teacher: Traits) -> Sequence[str]:
        """The teacher's points among those that are compared."""
        return tuple(dict.fromkeys(point for _, point in self.pairs(student, teacher)))


def stages(student: Traits, teacher: Traits, where: str) -> Pairs:
    """The stages of both, paired from the output's side: `where` is "before" or "after" the last activation of each."""
    both = zip(reversed(student.stages), reversed(teacher.stages), strict=False)
    return [(getattr(own, where), getattr(other, where)) for own, other in both][::-1]


def maps(student: Traits, teacher: Traits, where: str) -> Pairs:
    """As `stages`, for methods that compare maps.

    Raises:
        UserError: the activations of a stage are no maps of shape (channel, height, width).
    """
    found = stages(student, teacher, where)
    for own, other in found:
        for network, point in ((student, own), (teacher, other)):
            if len(network.shapes[point]) != 3:
                raise UserError(
                    f"The method compares maps of shape (channel, height, width); `{point}` of the {network.role} has "
                    f"shape {network.shapes[point]}. Use a convolutional family, or a method that compares vectors."
                )
    return found


def middle(pairs: Pairs) -> Pairs:
    """The pair in the middle, the later one of two."""
    return [pairs[len(pairs) // 2]]


def regressor(
    names: tuple[str, str], student: tuple[int, ...], teacher: tuple[int, ...], *, relu: bool, norm: bool = True
) -> Model:
    """What turns the student's activations into the shape of the teacher's: a convolution for maps, an affine layer for
    vectors, batch norm, and a ReLU where the target has one.

    A map twice as high as the teacher's is halved by a 3×3 convolution of stride 2, one half as high is doubled by a
    transposed 4×4 one, a larger one is cut by a convolution without padding whose kernel is as large as is needed.

    Args:
        names: the two feature points, for messages.
        student, teacher: shapes without the batch.
    Raises:
        UserError: no such layer leads from one shape to the other.
    """
    from tsd.models._module import from_module

    def build() -> nn.Module:
        layers: OrderedDict[str, nn.Module] = OrderedDict(fit=_fitting(names, student, teacher))
        if norm:
            layers["norm"] = _norm(teacher)
        if relu:
            layers["relu"] = torch.nn.ReLU()
        return torch.nn.Sequential(layers)

    return from_module(build)


def connectors(pairs: Pairs, student: Traits, teacher: Traits) -> dict[str, Model]:
    """What turns the student's activations of every pair into the shape of the teacher's, for activations of both
    signs: the layer of a `regressor` without bias, drawn N(0, 2/n), and batch norm. Equal shapes need none.

    Returns:
        "connector<number of the pair>" → network; `connected` applies them.
    Raises:
        UserError: no such layer leads from one shape to the other.
    """
    from tsd.models._initial import he
    from tsd.models._module import from_module

    def build(own: str, other: str) -> nn.Module:
        shape = teacher.shapes[other]
        layer = _fitting((own, other), student.shapes[own], shape, bias=False)
        return torch.nn.Sequential(OrderedDict(fit=layer, norm=_norm(shape)))

    return {
        f"connector{number}": from_module(partial(build, own, other), initial=he)
        for number, (own, other) in enumerate(pairs)
        if student.shapes[own] != teacher.shapes[other]
    }


def connected(pairs: Pairs, lesson: Lesson) -> list[tuple[Tensor, Tensor]]:
    """The activations of every pair, the student's behind its connector."""
    student, teacher = lesson.networks
    return [
        (
            lesson.student.features[own]
            if student.shapes[own] == teacher.shapes[other]
            else lesson.adapt(f"connector{number}", lesson.student.features[own]),
            lesson.teacher.features[other],
        )
        for number, (own, other) in enumerate(pairs)
    ]


def _norm(shape: tuple[int, ...]) -> nn.Module:
    """Batch norm that carries no statistics from batch to batch."""
    kind = torch.nn.BatchNorm2d if len(shape) == 3 else torch.nn.BatchNorm1d
    return kind(shape[0], track_running_stats=False)


def _fitting(
    names: tuple[str, str], student: tuple[int, ...], teacher: tuple[int, ...], *, bias: bool = True
) -> nn.Module:
    nn = torch.nn
    if len(student) == len(teacher) == 1:
        return nn.Linear(student[0], teacher[0], bias=bias)
    if len(student) == len(teacher) == 3 and student[1] == student[2] and teacher[1] == teacher[2]:
        high, wanted = student[1], teacher[1]
        if high == 2 * wanted:
            return nn.Conv2d(student[0], teacher[0], 3, stride=2, padding=1, bias=bias)
        if 2 * high == wanted:
            return nn.ConvTranspose2d(student[0], teacher[0], 4, stride=2, padding=1, bias=bias)
        if high >= wanted:
            return nn.Conv2d(student[0], teacher[0], 1 + high - wanted, bias=bias)
    raise UserError(
        f"The student's `{names[0]}` of shape {student} cannot be compared with the teacher's `{names[1]}` of shape "
        f"{teacher}: maps must be square, and the student's as high as the teacher's, higher, or exactly half as "
        "high. Name other points with student_point and teacher_point."
    )


def pooled(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (batch, channel, height, width), the larger one averaged down to the height and width of the other."""
    high, wide = (min(a, b) for a, b in zip(one.shape[2:], other.shape[2:], strict=True))
    down = torch.nn.functional.adaptive_avg_pool2d
    return (
        one if one.shape[2:] == (high, wide) else down(one, (high, wide)),
        other if other.shape[2:] == (high, wide) else down(other, (high, wide)),
    )


def _listed(network: Traits) -> str:
    return ", ".join(f"`{point}`" for point in network.shapes)
