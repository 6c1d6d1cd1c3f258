"""A student and a teacher on digits, and the stages of a method on them, one at a time."""

import torch
from shelves import MemoryShelf

from tsd.engine.fit import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.methods.ab import sign_agreement
from tsd.studies import distill
from tsd.studies._distill_networks import pair

SETTINGS = {
    "dataset": "digits",
    "samples_per_class": 50,
    "teacher": "cnn",
    "teacher_width": 8,
    "teacher_depth": 2,
    "teacher_epochs": 3,
    "student": "cnn",
    "student_width": 4,
    "student_depth": 2,
    "curve_points": 0,
}


SHELF = MemoryShelf()
SEEDS = Streams(dict.fromkeys(STREAMS, 0))


def trial(method, **changed):
    return distill.Trial.of(SETTINGS | {"method": method} | changed)


def start(one):
    return distill.start(one, SEEDS, SHELF)


def stage(one, number, steps):
    """The student, with its adapters, after `steps` updates of stage `number` alone."""
    one = one.but(steps=steps)
    before = start(one)
    phases = distill.phases(one)
    rest = [phase for phase in phases if phase is not phases[number]]
    # A second phase of no length, so that the stage trains only what its loss depends on.
    lone = [type(rest[0])(1.0, phases[number].loss), type(rest[0])(0.0, rest[0].loss)] if rest else phases
    [run] = fit([before], [one], [SEEDS], lone)
    assert not run.diverged
    return run.fitted


def value(one, student, number=0):
    """The loss of stage `number` for a student on its whole training set."""
    train = start(one).train
    with torch.no_grad():
        view = student.model.forward(student.params, student.buffers, train["x"], train=True)
        return distill.phases(one)[number].loss(view, train, one).item()


def agreements(one, student):
    """Of each pair of maps that `ab` compares, the share of units that are on in both or off in both."""
    train, method = start(one).train, one.part("method")
    with torch.no_grad():
        view = student.model.forward(student.params, student.buffers, train["x"], train=True)
        return [
            sign_agreement(view.adapt(f"connector{i}", view.features[own]), train[f"feature.{other}"]).item()
            for i, (own, other) in enumerate(method.pairs(*pair(one)))
        ]
