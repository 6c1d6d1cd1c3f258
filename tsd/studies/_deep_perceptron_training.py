"""A teacher, its patterns, and students that learn to reproduce them by Monte Carlo over their weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

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
    from tsd.engine.rng import Streams
    from tsd.studies.deep_perceptron import Trial

Block = tuple[np.ndarray, np.ndarray, np.ndarray]
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


class Course(NamedTuple):
    """What became of a student.

    Args:
        errors: wrong output bits on the training patterns, at each recorded time.
        likeness: to the teacher, at each recorded time.
        weights: at the end, of shape (layer, unit, input).
        spins: on the test inputs at the end, ±1 of shape (layer + 1, unit, pattern).
    """

    errors: list[int]
    likeness: list[Likeness]
    weights: np.ndarray
    spins: np.ndarray


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


def train(trial: Trial, task: Task, streams: Streams, number: int, times: Sequence[int]) -> Course:
    """Train the student of this number and record it at `times`, in sweeps; the first of them is 0."""
    student = network(draw_weights(task.wiring.shape, streams.generator("init", "weights", number)), task.wiring)
    spins = spins_of(student, task.train)
    errors = [int(np.bitwise_count((spins[-1] ^ task.target) & task.counted).sum())]
    seen = _seen(student, task)
    likeness = [_likeness(student, seen, task)]
    for blocks in _proposals(trial, streams, number, times):
        more = (metropolis(student, spins, task.target, task.counted, *block) for block in blocks)
        errors.append(errors[-1] + sum(more))
        seen = _seen(student, task)
        likeness.append(_likeness(student, seen, task))
    return Course(errors, likeness, student.weights, seen)


def _seen(student: Network, task: Task) -> np.ndarray:
    """Spins ±1 on the test inputs."""
    return unpack(spins_of(student, task.test), task.truth.shape[2])


def _likeness(student: Network, seen: np.ndarray, task: Task) -> Likeness:
    return compare(task.truth, seen, (task.teacher, student.weights), task.wiring)


def _proposals(trial: Trial, streams: Streams, number: int, times: Sequence[int]) -> Iterator[Iterator[Block]]:
    """A student's proposals in order, those between two times together. How they are cut changes no draw."""
    generators = [streams.generator("noise", what, number) for what in ("units", "kicks", "allowances")]
    for start, end in pairwise(times):
        yield _blocks(trial, generators, start, end)


def _blocks(trial: Trial, generators: Sequence[np.random.Generator], start: int, end: int) -> Iterator[Block]:
    """Units, kicks and allowances of the proposals between two sweeps."""
    units, kicks, allowances = generators
    sites, size = trial.depth * trial.width, trial.step * np.sqrt(trial.fan_in)
    for first in range(start * sites, end * sites, PROPOSALS_AT_ONCE):
        count = min(PROPOSALS_AT_ONCE, end * sites - first)
        time = np.arange(first, first + count) / (sites * trial.sweeps * trial.cooling)
        yield (
            units.integers(sites, size=count),
            size * kicks.normal(size=(count, trial.fan_in)),
            trial.temperature * np.maximum(1 - time, 0) * allowances.exponential(size=count),
        )
