"""Deep sign networks: which layers of a student know its teacher, when all it sees is inputs and outputs?

A teacher of L layers of N perceptrons with c inputs each,

    S_{l,i} = sgn( Σ_j J_{l,ij} S_{l−1,j} / √c ),   Σ_j J_{l,ij}² = c,

answers M inputs. A student of the same wiring starts from other weights and changes one perceptron at a time by Monte
Carlo, which recomputes what the change can reach. Greedy, it accepts what adds no wrong output bit; or it is annealed.
Layer by layer, its overlap with the teacher on fresh inputs,

    q_l = √( mean_i (mean_μ S^T_{l,i} S^S_{l,i})² ),

rises from both ends inward as M grows, while the centre stays behind: a crystal between two walls and a liquid. With
bonds that overlap by r_l theory for N ≫ c ≫ 1 says q_l = (2/π) arcsin(r_l q_{l−1}).

Yoshino 2020, arXiv:1910.09918; Yoshino 2023, arXiv:2302.07419. Sizes, proposals and annealing are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.studies._base import Curve, Measured, Metric, Outcome, Study
from tsd.studies._deep_perceptron_theory import bit_error, layer_overlap, overlap_profile, untrained_overlap

if TYPE_CHECKING:
    from tsd.engine.checkpoint import Checkpoint, Place
    from tsd.engine.rng import Streams
    from tsd.studies._deep_perceptron_training import Student, Task

__all__ = [
    "EXAMPLE",
    "METRICS",
    "VERSION",
    "Trial",
    "bit_error",
    "layer_overlap",
    "overlap_profile",
    "simulate",
    "untrained_overlap",
]

VERSION = 1


class Trial(Study):
    """Students of one teacher and one set of patterns."""

    depth: Static[int] = field(4, ge=1, unit="layers", doc="Layers L of perceptrons, the output layer included.")
    width: Static[int] = field(20, ge=1, unit="units", doc="Perceptrons N of a layer, and inputs of the network.")
    fan_in: Static[int] = field(5, ge=1, unit="inputs", doc="Inputs c of a perceptron, at most width.")
    patterns: Static[int] = field(256, ge=1, unit="patterns", doc="Inputs M whose outputs are to be reproduced.")
    manifold_dim: Batched[int] = field(
        0, ge=0, doc="Dimension D of the hidden manifold, x = sgn(F z) with z of D numbers; 0 is independent signs."
    )
    students: Static[int] = field(1, ge=1, unit="students", doc="Students of the same patterns that start apart.")
    sweeps: Static[int] = field(2048, ge=0, unit="sweeps", doc="Length of the training in proposals, N L to a sweep.")
    step: Batched[float] = field(0.3, gt=0, doc="Gaussian noise on every weight of J/|J| in a proposal.")
    temperature: Batched[float] = field(0.0, ge=0, unit="bits", doc="First temperature, in wrong bits; 0 is greedy.")
    cooling: Batched[float] = field(
        0.9, gt=0, le=1, doc="Share of the sweeps over which the temperature falls linearly to 0; then greedy."
    )
    test_patterns: Static[int] = field(1024, ge=1, unit="patterns", doc="Fresh inputs on which all is measured.")
    curve_points: Static[int] = field(
        16, ge=0, unit="points", doc="How often curves are recorded evenly in sweeps, besides at 0, 1, 2, 4, 8, …."
    )


METRICS = (
    Metric("train_error", "", "Share of wrong output bits on the training patterns, mean over students."),
    Metric("test_error", "", "Share of wrong output bits on fresh inputs, mean over students."),
    Metric("solved", "", "Share of the students without a wrong bit on the training patterns."),
    Metric("overlap_first", "", "Overlap q_1 with the teacher of the layer next to the input."),
    Metric("overlap_middle", "", "Overlap with the teacher of the middle layer, ⌈L/2⌉."),
    Metric("overlap_last", "", "Overlap q_L with the teacher of the output layer."),
    Metric("theory_test_error", "", "arccos(r_L q_{L−1})/π with the measured bonds r and theory's q."),
    Metric("overlap", "", "Overlap with the teacher, layer by layer.", curve=True, step="layer"),
    Metric("start_overlap", "", "Overlap with the teacher before training.", curve=True, step="layer"),
    Metric("overlap_gain", "", "Overlap with the teacher minus that before training.", curve=True, step="layer"),
    Metric("student_overlap", "", "Overlap of two students, mean over pairs.", curve=True, step="layer"),
    Metric("bond_overlap", "", "Overlap of weights with the teacher's, root mean square.", curve=True, step="layer"),
    Metric("theory_overlap", "", "(2/π) arcsin(r_l q_{l−1}) with the measured bonds r.", curve=True, step="layer"),
    Metric("theory_start_overlap", "", "Theory of networks that share only their wiring.", curve=True, step="layer"),
    Metric("train_error", "", "Share of wrong bits on the training patterns over time.", curve=True, step="sweep"),
    Metric("test_error", "", "Share of wrong bits on fresh inputs over time.", curve=True, step="sweep"),
    Metric("overlap_first", "", "Overlap of the layer next to the input over time.", curve=True, step="sweep"),
    Metric("overlap_middle", "", "Overlap of the middle layer over time.", curve=True, step="sweep"),
    Metric("overlap_last", "", "Overlap of the output layer over time.", curve=True, step="sweep"),
)

EXAMPLE = {"width": 8, "fan_in": 3, "depth": 3, "patterns": 16, "students": 2, "sweeps": 4, "test_patterns": 64}


def simulate(trials: Sequence[Trial], seeds: Sequence[Streams], checkpoint: Checkpoint) -> list[Outcome]:
    """Every trial on its own: its moves follow each other, and a word of 64 patterns is what runs in parallel."""
    return checkpoint.one_by_one(trials, seeds, _outcome)


def _outcome(trial: Trial, streams: Streams, place: Place) -> Outcome:
    from tsd.studies._deep_perceptron_training import draw_task, train

    if trial.fan_in > trial.width:
        raise UserError(
            f"fan_in is {trial.fan_in} and width {trial.width}: a perceptron reads different units of the layer below, "
            f"so it has at most {trial.width} inputs. Lower fan_in or raise width."
        )
    task, times = draw_task(trial, streams), _times(trial)
    students = [
        train(trial, task, streams, number, times=times, place=place.part(number)) for number in range(trial.students)
    ]
    over_time, over_layers = _over_time(trial, students), _over_layers(trial, students, task)
    metrics = {name: values[-1] for name, values in over_time.items()}
    metrics["solved"] = sum(student.errors[-1] == 0 for student in students) / len(students)
    output_bond = fmean(student.likeness[-1].output_bond for student in students)
    *_, below = 1.0, *over_layers["theory_overlap"][:-1]
    metrics["theory_test_error"] = bit_error(output_bond, below)
    curves = [Curve(name, times, values) for name, values in over_time.items()]
    curves += [Curve(name, range(1, trial.depth + 1), values) for name, values in over_layers.items()]
    return Outcome("done", Measured(metrics, curves))


def _times(trial: Trial) -> list[int]:
    """Sweeps after which curves are recorded: 0, powers of 2, evenly spaced ones, and the last."""
    powers = {2**n for n in range(trial.sweeps.bit_length())}
    even = {round(trial.sweeps * n / trial.curve_points) for n in range(trial.curve_points)}
    return sorted({0, trial.sweeps} | powers | even)


def _over_time(trial: Trial, students: Sequence[Student]) -> dict[str, list[float]]:
    """Curves over the recorded times by name, mean over students."""
    import numpy as np

    overlaps = np.mean([[each.overlaps for each in student.likeness] for student in students], axis=0)
    errors = np.mean([student.errors for student in students], axis=0) / (trial.width * trial.patterns)
    tested = np.mean([[each.error for each in student.likeness] for student in students], axis=0)
    layers = {"first": 0, "middle": (trial.depth - 1) // 2, "last": trial.depth - 1}
    found = {"train_error": errors, "test_error": tested}
    found |= {f"overlap_{name}": overlaps[:, layer] for name, layer in layers.items()}
    return {name: values.tolist() for name, values in found.items()}


def _over_layers(trial: Trial, students: Sequence[Student], task: Task) -> dict[str, list[float]]:
    """Curves over the layers by name, mean over students or their pairs."""
    import numpy as np

    from tsd.studies._deep_perceptron_network import compare
    from tsd.studies._deep_perceptron_training import spins_on_test

    end, start, bonds = (
        np.mean([getattr(student.likeness[time], what) for student in students], axis=0)
        for time, what in ((-1, "overlaps"), (0, "overlaps"), (-1, "bonds"))
    )
    found = {"overlap": end, "start_overlap": start, "overlap_gain": end - start, "bond_overlap": bonds}
    if len(students) > 1:
        pairs = combinations([(spins_on_test(student, task), student.network.weights) for student in students], 2)
        alike = [compare(a, b, (its, others), task.wiring).overlaps for (a, its), (b, others) in pairs]
        found["student_overlap"] = np.mean(alike, axis=0)
    theory = {"theory_overlap": overlap_profile(bonds.tolist())}
    if trial.fan_in < trial.width:
        theory["theory_start_overlap"] = untrained_overlap(trial.width, trial.fan_in, trial.depth)
    return {name: values.tolist() for name, values in found.items()} | theory
