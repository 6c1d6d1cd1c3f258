"""Student and teacher of a trial before training: which networks they are, and what a method may know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsd import data
from tsd.errors import UserError
from tsd.methods._teacher import PLAIN, traits

if TYPE_CHECKING:
    from tsd.methods._base import Traits
    from tsd.methods._teacher import Tutor


def tutor(trial: Any) -> Tutor:
    """Who teaches the trial: whom its method names, or the teacher that was trained on labels alone."""
    return trial.part("method").tutor() or PLAIN


def student_size(trial: Any) -> tuple[str, int, int]:
    """Family, width and depth of the trial's student."""
    return trial.student, trial.student_width, trial.student_depth


def inputs(trial: Any) -> tuple[tuple[int, ...], int]:
    """The shape of one input of the trial's data set, and its number of classes."""
    if trial.dataset == "gaussian":
        return (trial.gaussian_dim,), trial.gaussian_classes
    at_hand = data.load(trial.dataset)
    return at_hand.input_shape, at_hand.classes


def pair(trial: Any) -> tuple[Traits, Traits]:
    """What is known of student and teacher before training.

    Raises:
        UserError: one of them cannot be built for the inputs of the data set.
    """
    found = []
    for role, size in (("student", student_size(trial)), ("teacher", tutor(trial).network(trial))):
        try:
            found.append(traits(role, size, trial.activation, *inputs(trial)))
        except UserError as error:
            raise UserError(
                f"The {role} cannot be built: {role}: {size[0]}, {role}_depth: {size[2]}, "
                f"dataset: {trial.dataset}. {error}"
            ) from error
    return found[0], found[1]
