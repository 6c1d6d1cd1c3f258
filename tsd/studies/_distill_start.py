"""The start of a student: its first weights, its samples with what the teacher says of them, what it is measured on."""

from __future__ import annotations

import functools
from math import ceil
from typing import TYPE_CHECKING, Any

from tsd import data
from tsd.lazy import torch
from tsd.methods._teacher import images, network, taught
from tsd.models._base import DenseClassifier
from tsd.studies._base import Start
from tsd.studies._distill_lesson import LOGITS, PRODUCT, STATE, TEACHER, alters, live, product, sees_all, shown
from tsd.studies._distill_networks import pair, student_size, tutor
from tsd.studies._distill_pupil import MEMORY, ChainPupil, Pupil

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.engine.rng import Streams
    from tsd.methods._teacher import Taught
    from tsd.models._base import Model, Params
    from tsd.studies._base import Shelf


def start(trial: Any, streams: Streams, shelf: Shelf) -> Start:
    """The student's first weights with the adapters of its method, its samples with what the teacher says of them, and
    what it is measured on."""
    from tsd.engine.fit import updates

    method = trial.part("method")
    teacher = taught(tutor(trial), trial, streams, shelf)
    at_hand, x_validation, y_validation = images(trial, streams)
    seen, train = _samples(trial, streams, at_hand, teacher)
    pupil, params, buffers = _pupil(trial, streams, at_hand)
    frozen: dict[str, Tensor] = {}
    for artefact in method.artefacts:
        frozen |= {name: torch.tensor(array) for name, array in shelf.get(artefact, trial, streams)[0].items()}
    whole = {PRODUCT + name: tensor for name, tensor in frozen.items()}
    if live(trial) or method.needs.input_gradients:
        whole |= {TEACHER + name: tensor for name, tensor in teacher.network.params.items()}
        whole |= {STATE + name: tensor for name, tensor in teacher.network.buffers.items()}
    run = functools.partial(product, method.products(*pair(trial)), frozen)
    total = updates(trial, ceil(len(train["x"]) / trial.batch_size))
    held = {
        "train": seen,
        "test": {"x": at_hand.x_test, "y": at_hand.y_test},
        "validation": {"x": x_validation, "y": y_validation},
        "teacher": {"params": teacher.network.params, "buffers": teacher.network.buffers},
        "teacher_logits": teacher.logits["test"],
        "teacher_params": teacher.facts["params"],
    }
    others = {"all": _all(at_hand, method.needs.rows)} if sees_all(trial) else {}
    return Start(pupil, params, buffers, train, held, whole, alters(trial, streams, total, run), others)


def _samples(
    trial: Any, streams: Streams, at_hand: data.Images, teacher: Taught
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The student's images, labels and their numbers in the training set; and what it is trained on: images, labels and
    what the teacher says of them."""
    needs = trial.part("method").needs
    numbers = torch.arange(len(at_hand.y_train))
    seen = {"x": at_hand.x_train, "y": at_hand.y_train, "number": numbers, LOGITS: teacher.logits["train"]}
    if trial.samples_per_class:
        rows = data.balanced_subset(at_hand.y_train, trial.samples_per_class, streams.generator("data", "subset"))
        seen = {name: tensor[rows] for name, tensor in seen.items()}
    logits, x = seen.pop(LOGITS), seen["x"]
    # A data-free method gets nothing that was ever an image: its `draw` makes the inputs.
    train = {"x": x if needs.images else torch.zeros(1).expand(x.shape), "y": seen["y"]}
    if needs.rows:
        train["row"] = torch.arange(len(x))
    if not live(trial):
        train |= {LOGITS: logits} | shown(teacher.network, x, tuple(trial.part("method").reads(*pair(trial))))
    return seen, train


def _all(at_hand: data.Images, rows: bool) -> dict[str, Tensor]:
    """The whole training set, for a stage that reads no labels."""
    found = {"x": at_hand.x_train, "y": at_hand.y_train}
    return found | {"row": torch.arange(len(at_hand.x_train))} if rows else found


def _pupil(trial: Any, streams: Streams, at_hand: data.Images) -> tuple[Model, Params, Params]:
    """The student, with adapters and memory where its method has any, and its first weights and buffers."""
    method = trial.part("method")
    student = network(student_size(trial), trial.activation, at_hand.input_shape, at_hand.classes)
    draw = functools.partial(streams.generator, "init")
    adapters = method.adapters(*pair(trial))
    samples = trial.samples_per_class * at_hand.classes or len(at_hand.y_train)
    memory = method.memory(*pair(trial), samples, draw)
    if not (adapters or memory or method.needs.input_gradients):
        return student, *student.init(draw)
    pupil = Pupil(student, adapters)
    if isinstance(student, DenseClassifier) and not method.needs.input_gradients:
        pupil = ChainPupil(student, adapters, bool(memory))
    params, buffers = pupil.init(draw)
    return pupil, params, buffers | {MEMORY + name: tensor for name, tensor in memory.items()}
