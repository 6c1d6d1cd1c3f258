"""Dense Hopfield networks: how many noisy examples does a student need to recover its teacher's pattern?

A teacher with one pattern ξ* ∈ {±1}^N emits M examples, independent draws σ of the Boltzmann law

    P(σ) ∝ exp( β* p*!/N^{p*−1} Σ_{i1<…<ip*} Π ξ*_i σ_i ).

Students store the examples and sample a pattern ξ from exp( β p!/N^{p−1} Σ_μ Σ_{i1<…<ip} Π σ^μ_i ξ_i ) by Glauber
dynamics. At load α = M p!/N^{p−1} replica theory says which temperatures let them find ξ*: on the Nishimori line
(p = p*, β = β*) those at which αβ² exceeds a number of order one, with a jump of the overlap. Examples are drawn
exactly, and theory stands beside simulation, in the limit and with the examples' own statistics at this size.

An adversary replaces a share of the pattern's sites by those of one example before zero-temperature dynamics start. The
more examples, the larger the share that students repair.

Thériault, Tantari 2024, arXiv:2401.04191. The pattern is gauged to +1; sequential updates are our choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import factorial
from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.fields import Batched, Static, field
from tsd.studies._base import Curve, Measured, Metric, Outcome, Study
from tsd.studies._dense_hopfield_theory import (
    attack_threshold,
    ferromagnet,
    matched_temperature,
    saddle_point,
    signal_temperature,
    transition,
)

if TYPE_CHECKING:
    import numpy as np

    from tsd.engine.checkpoint import Checkpoint, Place
    from tsd.engine.rng import Streams

__all__ = [
    "EXAMPLE",
    "METRICS",
    "VERSION",
    "Trial",
    "attack_threshold",
    "ferromagnet",
    "matched_temperature",
    "saddle_point",
    "signal_temperature",
    "simulate",
    "transition",
]

VERSION = 3


class Trial(Study):
    """Students of one set of examples."""

    order: Static[int] = field(3, ge=3, unit="sites", doc="Order p of the students' interaction.")
    teacher_order: Static[int] = field(3, ge=2, unit="sites", doc="Order p* of the teacher's interaction.")
    size: Static[int] = field(128, ge=4, unit="sites", doc="Sites N of a pattern.")
    load: Batched[float] = field(6.0, gt=0, doc="Examples over the number that scaling names.")
    scaling: Static[str] = field(
        "storage",
        choices=("storage", "signal"),
        doc="What load counts in: N^(p−1)/p! examples, or N^(p/2)/(p/2+1)!, enough where teacher_order is 2.",
    )
    temperature: Batched[float] = field(2.0, ge=0, doc="Temperature of the students; 0 sends spins along their fields.")
    teacher_temperature: Batched[float] = field(
        0.0,
        ge=0,
        doc="Temperature of the teacher; 0 means the Nishimori line: that of the students or, where teacher_order is "
        "not order, the one that correlates tuples of order sites as much.",
    )
    teacher_state: Static[str] = field(
        "paramagnetic",
        choices=("paramagnetic", "equilibrium"),
        doc="Paramagnetic examples have |magnetisation| ≤ 1/2; in equilibrium they may be near-copies of the pattern.",
    )
    start: Static[str] = field(
        "pattern",
        choices=("pattern", "random", "example", "adversarial"),
        doc="What the students start from; adversarial mixes the pattern with one example.",
    )
    adversary: Static[str] = field(
        "typical",
        choices=("typical", "worst"),
        doc="The example of an adversarial start: the one of least or of largest overlap with the pattern.",
    )
    attack: Batched[float] = field(
        0.3, ge=0, le=1, doc="Share of sites that an adversarial start takes of the example."
    )
    students: Static[int] = field(4, ge=2, unit="students", doc="Students that sample independently.")
    sweeps: Static[int] = field(160, ge=4, unit="sweeps", doc="Visits of every site; averages run over the later half.")
    curve_points: Static[int] = field(
        20, ge=0, unit="points", doc="How often the overlap is recorded, evenly in sweeps."
    )


METRICS = (
    Metric("overlap", "", "Overlap q* of the students with the pattern, mean over students and the later sweeps."),
    Metric("overlap_spread", "", "Standard deviation of the students' own overlaps with the pattern."),
    Metric("student_overlap", "", "Overlap q of two students, mean over pairs and the later sweeps."),
    Metric("example_overlap", "", "Largest overlap of a student with an example at the end, mean over students."),
    Metric("drift", "", "Overlap of the last quarter of the sweeps minus that of the third: 0 in equilibrium."),
    Metric("examples", "examples", "Number M of examples.", type=int),
    Metric("correlation_gain", "", "Examples' correlation of p-tuples over its leading order, β*_eff/β*."),
    Metric("theory_overlap", "", "Overlap of the replica-symmetric state, correlation to leading order in the size."),
    Metric("theory_overlap_finite", "", "The same with the correlation exact at this size, β*_eff for β*."),
    Metric("theory_overlap_corrected", "", "The same with the variance of the local fields exact at this size too."),
    Metric("theory_phase", "", "Phase of theory_overlap: gR, lR, eR, SG or P; open where no rest was found.", type=str),
    Metric("theory_phase_finite", "", "Phase of theory_overlap_finite.", type=str),
    Metric("theory_phase_corrected", "", "Phase of theory_overlap_corrected.", type=str),
    Metric("theory_attack", "", "Share of sites that students repair, correlation to leading order in the size."),
    Metric("theory_attack_finite", "", "Share of sites that students repair, correlation exact at this size."),
    Metric("overlap", "", "Overlap of the students with the pattern along the dynamics.", curve=True, step="sweep"),
)

EXAMPLE = {"size": 12, "load": 3.0, "sweeps": 8, "students": 2, "curve_points": 4}


def simulate(trials: Sequence[Trial], seeds: Sequence[Streams], checkpoint: Checkpoint) -> list[Outcome]:
    """Every trial's examples, dynamics and theory. The students of a trial run side by side; trials one by one, for
    their examples are many and differ in number."""
    return checkpoint.one_by_one(trials, seeds, _outcome)


def example_count(trial: Trial) -> int:
    """M, the nearest whole number to what load and scaling say.

    Raises:
        UserError: there would be none.
    """
    p, size = trial.order, trial.size
    signal = size ** (p / 2) / factorial(p // 2 + 1)
    count = round(trial.load * (signal if trial.scaling == "signal" else size ** (p - 1) / factorial(p)))
    if count < 1:
        raise UserError(
            f"load = {trial.load:g} with scaling {trial.scaling}, order {p} and size {size} leaves no example at all; "
            f"a student needs at least one. Raise load or size."
        )
    return count


def _outcome(trial: Trial, streams: Streams, place: Place) -> Outcome:
    import numpy as np

    from tsd.studies._dense_hopfield_dynamics import Students, draw_examples, law

    teacher = law(trial.teacher_order, trial.size, _teacher_temperature(trial), trial.teacher_state)
    examples = draw_examples(teacher, example_count(trial), streams.generator("data", "examples"))
    left = place.left()
    start = _start(trial, examples, streams.generator("init", "students"))
    students = Students.restored(left) if left else Students.start(start)
    noise = (streams.generator("noise", "glauber", sweep) for sweep in range(len(students.agreement), trial.sweeps))
    for spins in _dynamics(trial, examples, students.spins, noise):
        students.swept(spins)
        place.at(students)
    overlaps = np.array(students.overlaps)
    nearest = (students.spins.astype(np.float32) @ examples.astype(np.float32)).max(1) / trial.size
    metrics = {
        **_late(overlaps),
        "student_overlap": float(np.mean(students.agreement[-(trial.sweeps // 2) :])),
        "example_overlap": float(nearest.mean()),
        "examples": examples.shape[1],
    }
    steps = np.unique(np.linspace(0, trial.sweeps, trial.curve_points).round().astype(int)).tolist()
    curve = Curve("overlap", steps, [float(overlaps[step].mean()) for step in steps])
    return Outcome("done", Measured(metrics | theory(trial), [curve]))


def _dynamics(
    trial: Trial, examples: np.ndarray, students: np.ndarray, noise: Iterable[np.random.Generator]
) -> Iterator[np.ndarray]:
    """The students' spins after every sweep, from couplings where they pay: equal to the bit."""
    from tsd.studies import _dense_hopfield_couplings as cubic
    from tsd.studies._dense_hopfield_dynamics import glauber, noise_unit

    if cubic.worth_it(trial.order, *examples.shape):
        unit = noise_unit(trial.order, trial.size, trial.temperature)
        return cubic.glauber(cubic.couplings(examples), students, unit, noise)
    return glauber(examples, students, trial.order, trial.temperature, noise)


def _late(overlaps: np.ndarray) -> dict[str, float]:
    """Mean, spread and drift of overlaps of shape (sweep, student) over the later half."""
    late = overlaps[-(len(overlaps) // 2) :]
    third, last = late[: len(late) // 2], late[len(late) // 2 :]
    return {
        "overlap": float(late.mean()),
        "overlap_spread": float(late.mean(0).std()),
        "drift": float(last.mean() - third.mean()),
    }


def theory(trial: Trial) -> dict[str, float | str]:
    """What replica theory says of the trial, by metric; predictions that the trial has none of are left out."""
    from tsd.studies._dense_hopfield_dynamics import correlation, leading_correlation, noise_gain

    teacher = (trial.order, trial.size, trial.teacher_order, _teacher_temperature(trial))
    leading, exact = leading_correlation(*teacher), correlation(*teacher, trial.teacher_state)
    gain = noise_gain(*teacher, trial.teacher_state)
    found: dict[str, float | str] = {"correlation_gain": exact / leading} if leading else {}
    for suffix, mean, noise in (("", leading, 1.0), ("_finite", exact, 1.0), ("_corrected", exact, gain)):
        if mean is not None and trial.start != "adversarial":
            found |= {name + suffix: value for name, value in _state(trial, mean, noise).items()}
        elif mean is not None and noise == 1:
            found[f"theory_attack{suffix}"] = attack_threshold(trial.order, example_count(trial) * mean)
    return found


def _state(trial: Trial, correlation: float, noise_gain: float) -> dict[str, float | str]:
    """The replica-symmetric state that the start leads to; none at temperature 0, where the equations end."""
    if trial.temperature == 0:
        return {}
    p, count = trial.order, example_count(trial)
    load = count * factorial(p) / trial.size ** (p - 1)
    point = saddle_point(
        p,
        load,
        trial.temperature,
        "glass" if trial.start == "random" else trial.start,
        noise=noise_gain * load / trial.temperature**2,
        signal=count * correlation / trial.temperature,
    )
    if not point.converged:
        return {"theory_phase": "open"}
    return {"theory_overlap": point.overlap, "theory_phase": point.phase}


def _teacher_temperature(trial: Trial) -> float:
    """T*; without one that of the Nishimori line, at this size."""
    if trial.teacher_temperature:
        return trial.teacher_temperature
    if trial.temperature == 0:
        raise UserError(
            "temperature is 0 and teacher_temperature is 0 too, so the teacher has the temperature of its students; "
            "at 0 every example would be the pattern itself. Give teacher_temperature a value above 0."
        )
    p, order = trial.order, trial.teacher_order
    return matched_temperature(p, order, trial.temperature) * trial.size ** ((p - order) / p)


def _start(trial: Trial, examples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The students' first spins, ±1 of shape (student, site)."""
    import numpy as np

    shape = (trial.students, trial.size)
    match trial.start:
        case "random":
            return generator.choice(np.array([-1, 1], dtype=np.int8), size=shape)
        case "example":
            return np.tile(examples[:, 0], (trial.students, 1))
        case "adversarial":
            closeness = np.abs(examples.sum(0, dtype=np.int64))
            adversary = examples[:, closeness.argmin() if trial.adversary == "typical" else closeness.argmax()]
            taken = generator.random(shape).argsort(1) < round(trial.attack * trial.size)
            return np.where(taken, adversary, np.int8(1))
    return np.ones(shape, dtype=np.int8)
