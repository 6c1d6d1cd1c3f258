"""A student and a teacher on digits or on images, and the stages of a method on them, one at a time."""

import pytest
import torch
from shelves import MemoryShelf

from tsd.data import _places, fashion_mnist
from tsd.engine.fit import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.studies import distill

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


def images(method):
    """500 images of Fashion-MNIST, and a teacher that saw 10,000 of it."""
    source = fashion_mnist.SOURCE
    if not (_places.holds(_places.home(), source.files) or _places.holds(_places.home(), source.archives)):
        pytest.skip(f"Fashion-MNIST is not in {_places.home()}; set TSD_DATA or fetch it once")
    return distill.Trial.of(
        {"method": method, "validation_per_class": 5000, "teacher_epochs": 1, "student_width": 4, "curve_points": 0}
    )


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
