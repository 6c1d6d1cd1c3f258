"""What a method tells of itself after training: how it sees student and teacher, beyond what all methods report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsd.engine.rng import Streams
from tsd.lazy import torch
from tsd.methods._base import Lesson
from tsd.methods._teacher import network
from tsd.studies._base import Measured
from tsd.studies._distill_networks import inputs, pair, tutor
from tsd.studies._distill_pupil import PupilView

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from tsd.studies._base import Fitted

SAMPLES = 500
"""Samples that a report is made of: the first ones of the student's training set."""


def report(student: Fitted, held: Mapping[str, Any], trial: Any) -> Measured:
    """What the trial's method reports of `student`, with its adapters, on one batch in evaluation mode. What the method
    draws is the same for all trials."""
    method = trial.part("method")
    if not method.reports:
        return Measured({})
    model, known = network(tutor(trial).network(trial), trial.activation, *inputs(trial)), held["teacher"]
    batch = {name: held["train"][name][:SAMPLES] for name in ("x", "y")}
    if method.needs.draws:
        batch = method.draw({**batch, "row": torch.arange(len(batch["x"]))}, _draws, _nothing)
    kind = next(iter(student.params.values()))
    x = batch["x"].to(kind)
    params, buffers = ({name: v.to(kind) for name, v in known[part].items()} for part in ("params", "buffers"))
    with torch.no_grad():
        view = student.model.forward(student.params, student.buffers, x)
        teacher = model.forward(params, buffers, x, train=method.batch_statistics)
        own: dict[str, Any] = {"adapt": view.adapt} if isinstance(view, PupilView) else {}
        told: Measured = method.report(Lesson(view, teacher, batch["y"], x, networks=pair(trial), **own))
    return told


def _draws(purpose: str) -> np.random.Generator:
    return Streams({}).generator("noise", f"report.{purpose}")


def _nothing(name: str, x: Any) -> Any:
    raise KeyError(name)
