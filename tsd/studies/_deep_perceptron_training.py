"""A teacher, its patterns, and students that learn to reproduce them by Monte Carlo over their weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsd.engine.rng import going_on, standing
from tsd.studies._deep_perceptron_kernel import Network, metropolis, network, spins_of
from tsd.studies._deep_perceptron_network import (
    Likeness,
    compare,
    draw_inputs,
    draw_weights,
    draw_wiring,
    pack,
    unpack,
)

if TYPE_CHECKING:
    from tsd.engine.checkpoint import Place
    from tsd.engine.rng import Streams
    from tsd.studies._base import Kept
    from tsd.studies.deep_perceptron import Trial

PROPOSALS_AT_ONCE = 2**15


class Task(NamedTuple):
    """What the students of a trial share.

    Args:
        teacher: weights of shape (layer, unit, input).
        wiring: of the teacher and of all students, of the same shape.
        train: packed training inputs, of shape (unit, word).
        target: the teacher's packed outputs on them, of the same shape.
        counted: which bits of the words stand for a training pattern, of shape (word,).
        test: packed fresh inputs, of shape (unit, word).
        truth: the teacher's spins on them, ±1 of shape (layer + 1, unit, pattern).
    """

    teacher: np.ndarray
    wiring: np.ndarray
    train: np.ndarray
    target: np.ndarray
    counted: np.ndarray
    test: np.ndarray
    truth: np.ndarray


@dataclass
class Student:
    """A student on its way.

    Args:
        network: as it is now.
        draws: where its units, kicks and allowances come from.
        proposals: how many it has seen.
        errors: wrong output bits on the training patterns, at each recorded time.
        likeness: to the teacher, at each recorded time.
    """

    network: Network
    draws: list[np.random.Generator]
    proposals: int = 0
    errors: list[int] = field(default_factory=list)
    likeness: list[Likeness] = field(default_factory=list)

    @classmethod
    def start(cls, task: Task, streams: Streams, number: int) -> Student:
        """The student of this number, untrained."""
        weights = draw_weights(task.wiring.shape, streams.generator("init", "weights", number))
        draws = [streams.generator("noise", what, number) for what in ("units", "kicks", "allowances")]
        return cls(network(weights, task.wiring), draws)

    def kept(self) -> Kept:
        """All but what follows from its weights."""
        overlaps, bonds, output_bond, error = map(np.array, zip(*self.likeness, strict=True))
        records = {"overlaps": overlaps, "bonds": bonds, "output_bond": output_bond, "error": error}
        draws = json.dumps([standing(generator) for generator in self.draws])
        arrays = {"weights": self.network.weights, "errors": np.array(self.errors), **records}
        return arrays, {"proposals": self.proposals, "draws": draws}

    @classmethod
    def restored(cls, kept: Kept, task: Task) -> Student:
        """The one that was kept."""
        arrays, facts = kept
        draws = [going_on(text) for text in json.loads(str(facts["draws"]))]
        records = (arrays["overlaps"], arrays["bonds"], arrays["output_bond"].tolist(), arrays["error"].tolist())
        likeness = [Likeness(*each) for each in zip(*records, strict=True)]
        weights = np.empty(task.wiring.shape)
        weights[:] = arrays["weights"]  # compiled code does not look whether they fit
        return cls(network(weights, task.wiring), draws, int(facts["proposals"]), arrays["errors"].tolist(), likeness)


def draw_task(trial: Trial, streams: Streams) -> Task:
    """The teacher by its own stream, the patterns by that of the data. More patterns begin with those of fewer."""
    shape = (trial.depth, trial.width, trial.fan_in)
    wiring = draw_wiring(shape, streams.generator("teacher", "wiring"))
    teacher = network(draw_weights(shape, streams.generator("teacher", "weights")), wiring)
    features = None
    if trial.manifold_dim:
        features = streams.generator("data", "features").normal(size=(trial.width, trial.manifold_dim))
    train, test = (
        draw_inputs(count, features, trial.width, streams.generator("data", purpose))
        for count, purpose in ((trial.patterns, "training inputs"), (trial.test_patterns, "test inputs"))
    )
    counted = pack(np.ones((1, trial.patterns), dtype=bool))[0]
    truth = unpack(spins_of(teacher, test), trial.test_patterns)
    return Task(teacher.weights, wiring, train, spins_of(teacher, train)[-1], counted, test, truth)


def train(trial: Trial, task: Task, streams: Streams, number: int, *, times: Sequence[int], place: Place) -> Student:
    """Train the student of this number, from where it was left, and record it at `times`, in sweeps from 0."""
    left = place.left()
    student = Student.restored(left, task) if left else Student.start(task, streams, number)
    spins = spins_of(student.network, task.train)
    wrong = int(np.bitwise_count((spins[-1] ^ task.target) & task.counted).sum())
    for time in times[len(student.errors) :]:
        while (count := min(PROPOSALS_AT_ONCE, time * trial.depth * trial.width - student.proposals)) > 0:
            wrong += metropolis(student.network, spins, task.target, task.counted, *_proposals(trial, student, count))
            place.at(student)
        student.errors.append(wrong)
        seen = spins_on_test(student, task)
        student.likeness.append(compare(task.truth, seen, (task.teacher, student.network.weights), task.wiring))
    place.ended(student)
    return student


def spins_on_test(student: Student, task: Task) -> np.ndarray:
    """Spins ±1 on the test inputs, of shape (layer + 1, unit, pattern)."""
    return unpack(spins_of(student.network, task.test), task.truth.shape[2])


def _proposals(trial: Trial, student: Student, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units, kicks and allowances of a student's next proposals. How they are cut changes no draw."""
    units, kicks, allowances = student.draws
    sites, size = trial.depth * trial.width, trial.step * np.sqrt(trial.fan_in)
    time = np.arange(student.proposals, student.proposals + count) / (sites * trial.sweeps * trial.cooling)
    student.proposals += count
    return (
        units.integers(sites, size=count),
        size * kicks.normal(size=(count, trial.fan_in)),
        trial.temperature * np.maximum(1 - time, 0) * allowances.exponential(size=count),
    )
