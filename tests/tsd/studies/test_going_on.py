"""A simulation that is cut off at any moment goes on elsewhere, and ends with the bits of one that never was.

`tests/conformance` says so of every study's example; here are the ways that a simulation can take otherwise.
"""

from random import Random

import pytest
from lives import Lost, Mortal, in_one_go_and_in_lives

from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.store import Store
from tsd.studies import STUDIES, _deep_perceptron_training

LIVES = 6
HOPFIELD = {"size": 14, "sweeps": 8, "students": 3, "load": 2.0, "curve_points": 5}
ESCAPE = {"student_width": 2, "input_dim": 20, "alpha_max": 15, "curve_points": 7}
CASES = {
    "dense_hopfield, couplings": HOPFIELD | {"size": 24, "load": 6.0},
    "dense_hopfield, examples": HOPFIELD | {"order": 4, "teacher_order": 4, "start": "random"},
    "dense_hopfield, wide fields": HOPFIELD | {"order": 9, "teacher_order": 9, "load": 0.5, "temperature": 30.0},
    "dense_hopfield, attacked": HOPFIELD | {"temperature": 0, "teacher_temperature": 2.0, "start": "adversarial"},
    "deep_perceptron, annealed": {"width": 10, "students": 3, "sweeps": 64, "temperature": 3.0, "test_patterns": 100},
    "deep_perceptron, many inputs": {"width": 14, "fan_in": 14, "sweeps": 9, "students": 2, "curve_points": 0},
    "copy_average, relu": {"teacher_width": 5, "student_width": 3, "activation": "relu", "flow_time": 30},
    "copy_average, to the limit": {"teacher_width": 4, "student_width": 3, "step_limit": 7},
    "escape, equations": ESCAPE | {"dynamics": "ode"},
    "escape, flow": ESCAPE | {"dynamics": "gradient_flow", "curve_points": 400},
    "escape, equations that blow up": ESCAPE | {"dynamics": "ode", "lr": 1.5, "curve_points": 300},
    "escape, steps": ESCAPE | {"dynamics": "sgd", "input_dim": 600, "alpha_max": 2},
    "escape, steps that blow up": ESCAPE | {"dynamics": "sgd", "lr": 9.0, "input_dim": 600, "alpha_max": 2},
}


def streams(number):
    return Streams(dict.fromkeys(STREAMS, number))


@pytest.mark.parametrize("case", CASES)
def test_a_simulation_in_several_lives_has_the_bits_of_one_in_one_go(case, tmp_path, monkeypatch):
    monkeypatch.setattr(_deep_perceptron_training, "PROPOSALS_AT_ONCE", 37)  # several between two records
    study, values = STUDIES.load(case.partition(",")[0]), CASES[case]
    trials, seeds = [study.Trial.of(values)] * 3, [streams(number) for number in range(3)]

    def run(keep):
        return run_pack(study, trials, seeds, None, keep=keep)

    whole, found = in_one_go_and_in_lives(run, Store(tmp_path / "example").files, LIVES, Random(case))
    assert found == whole
    assert ("diverged" in whole[0]) == case.endswith("blow up")


@pytest.mark.parametrize(("study", "array"), [("dense_hopfield", "spins"), ("deep_perceptron", "weights")])
@pytest.mark.parametrize("more", [1, -1])
def test_compiled_code_sees_no_state_that_does_not_fit(study, array, more, tmp_path):
    """As a file may say that somebody else has written: with one place more or less along its last axis."""
    files, study = Store(tmp_path / "example").files, STUDIES.load(study)
    trials, seeds = [study.Trial.of(study.EXAMPLE)], [streams(0)]
    with pytest.raises(Lost):
        run_pack(study, trials, seeds, None, keep=Mortal(files, last=2))

    class Tampered(Mortal):
        def read(self, name):
            kept = super().read(name)
            if kept and array in kept[0]:
                values = kept[0][array]
                kept[0][array] = values.repeat(2, -1)[..., : values.shape[-1] + more]
            return kept

    with pytest.raises(ValueError):
        run_pack(study, trials, seeds, None, keep=Tampered(files))
