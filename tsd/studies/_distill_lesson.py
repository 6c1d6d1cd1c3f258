"""From a trial to its lessons: what goes into every batch, and how a method is shown it.

Of a frozen teacher that sees the same inputs every time, everything is known before training: its answers and the
activations that the method reads become entries of the training set. Where inputs change (augmentation, noise, a
generator) or gradients go through the teacher, its weights travel with every batch and it is run on each.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tsd.lazy import torch
from tsd.methods._base import Lesson
from tsd.methods._teacher import augmented
from tsd.models._base import View, below
from tsd.studies._base import Alter
from tsd.studies._classify import CHUNK
from tsd.studies._distill_pupil import PupilView

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from tsd.engine.rng import Streams
    from tsd.methods._base import Distillation, Terms, Traits
    from tsd.models._base import Model, Params
    from tsd.studies._base import Fitted

LOGITS, FEATURE, TEACHER, STATE, PRODUCT, DRAWN = "logits", "feature.", "teacher.", "state.", "product.", "drawn."
"""Names of what a batch holds besides "x" and "y", and how the names of its groups begin."""


def live(trial: Any) -> bool:
    """Whether the teacher is run on every batch."""
    method = trial.part("method")
    whole_set = method.needs.features and (not trial.samples_per_class or sees_all(trial))
    return bool(method.needs.live_teacher or trial.augment != "none" or whole_set)


def sees_all(trial: Any) -> bool:
    """Whether a stage of the method sees the whole training set, and others the student's samples of it."""
    return any(stretch.images == "all" for stretch in trial.part("method").phases())


def shown(teacher: Fitted, x: Tensor, points: tuple[str, ...]) -> dict[str, Tensor]:
    """The teacher's activations on the samples `x`, as entries of a training set."""
    if not points:
        return {}
    with torch.no_grad():
        views = [teacher.model.forward(teacher.params, teacher.buffers, chunk).features for chunk in x.split(CHUNK)]
    return {FEATURE + point: torch.cat([view[point] for view in views]) for point in points}


def alters(trial: Any, streams: Streams, total: int, frozen: Callable[[str, Tensor], Tensor]) -> Alter | None:
    """What makes a trial's batch of the one that was sampled; None where nothing does."""
    method: Distillation = trial.part("method")
    augment = augmented(trial.augment, streams)

    def alter(step: int, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        changed = augment(step, batch) if augment else dict(batch)
        if method.needs.draws:

            def draws(purpose: str) -> np.random.Generator:
                return streams.generator("noise", purpose, step=step)

            drawn = method.draw(changed, draws, frozen)
            known = {name: tensor for name, tensor in drawn.items() if name in changed}
            changed = known | {DRAWN + name: tensor for name, tensor in drawn.items() if name not in changed}
        if method.needs.progress:
            changed["progress"] = changed["x"].new_tensor(step / total)
        return changed

    needed = augment or method.needs.draws or method.needs.progress
    return alter if needed else None


def teach(  # noqa: PLR0917
    formula: Callable[[Any, Lesson], Terms],
    teacher: Model,
    products: Mapping[str, Model],
    networks: tuple[Traits, Traits],
    student: View,
    batch: Mapping[str, Tensor],
    trial: Any,
) -> Tensor:
    """The loss of one student on one batch: the sum of the terms of `formula` for the lesson that the batch holds."""
    method: Distillation = trial.part("method")

    def ask_teacher(x: Tensor) -> View:
        params, buffers = below(TEACHER, batch), below(STATE, batch)
        return teacher.forward(params, buffers, x, train=method.batch_statistics)

    own: dict[str, Any] = {}
    if isinstance(student, PupilView):
        own = {"adapt": student.adapt, "ask_student": student.ask, "memory": student.memory}
    view = View(batch[LOGITS], below(FEATURE, batch), {}) if LOGITS in batch else ask_teacher(batch["x"])
    lesson = Lesson(
        student,
        view,
        batch["y"],
        x=batch["x"],
        rows=batch.get("row"),
        progress=batch.get("progress", 0.0),
        drawn=below(DRAWN, batch),
        frozen=functools.partial(product, products, below(PRODUCT, batch)),
        ask_teacher=ask_teacher,
        networks=networks,
        **own,
    )
    return functools.reduce(operator.add, formula(method, lesson).values())


def product(models: Mapping[str, Model], weights: Params, name: str, x: Tensor) -> Tensor:
    """The output of the frozen network `name` whose weights are `<name>.<weight>`."""
    return models[name].forward(below(f"{name}.", weights), {}, x).output
