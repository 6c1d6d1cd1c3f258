"""Trials that are theory for the others, as equations of motion are beside SGD: their line over the others' points."""

from pathlib import Path

import example_results as example
import numpy as np
import pytest
from PIL import Image

from analysis import load
from analysis.errors import AnalysisError
from analysis.figures.curves import command, curves

EQUATIONS = "dynamics = 'ode'"


@pytest.fixture(scope="module")
def motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of width w the equations say e^(−w step / 10), from three starts; SGD is a tenth above."""
    trials, points = [], []
    for dynamics, width, seed in [(d, w, s) for d in ("ode", "sgd") for w in (2, 4) for s in range(3)]:
        height = (1 + 0.01 * seed) * (1.1 if dynamics == "sgd" else 1.0)
        points += [(len(trials), "error", s, float(height * np.exp(-width * s / 10))) for s in range(11)]
        trials.append({"dynamics": dynamics, "student_width": width, "seed_init": seed})
    return example.write(
        tmp_path_factory.mktemp("r") / "motion",
        trials,
        parameters={"dynamics": "", "student_width": "nodes"},
        metrics={},
        curves=points,
        steps={"error": "step"},
    )


def drawn(axes, label: str) -> list[list[float]]:
    return [line.get_ydata() for line in axes.lines if line.get_label() == label]


def law(width: int, height: float = 1.0):
    return pytest.approx(1.01 * height * np.exp(-width * np.arange(11) / 10))


def test_every_group_has_its_own_line_over_the_points_of_the_others(motion: Path):
    axes = curves(load(motion, curve="error"), value="error", by="student_width", as_theory=EQUATIONS)
    assert drawn(axes, f"_{EQUATIONS}") == [law(2), law(4)]
    assert (drawn(axes, "2"), drawn(axes, "4")) == ([law(2, 1.1)], [law(4, 1.1)])


def test_groups_that_theory_does_not_know_have_one_line_for_all(motion: Path):
    frame = load(motion, "student_width = 4", curve="error")
    axes = curves(frame, value="error", by="dynamics", as_theory=EQUATIONS)
    assert (drawn(axes, f"_{EQUATIONS}"), drawn(axes, "sgd"), drawn(axes, "ode")) == ([law(4)], [law(4, 1.1)], [])


def test_the_verb_counts_the_others_and_calls_the_line_what_it_is(motion: Path, tmp_path: Path):
    options = {"by": "student_width", "as_theory": f"{EQUATIONS} -- of motion"}
    command(str(motion), value="error", **options, output=[tmp_path / "c.png"])
    said = Image.open(tmp_path / "c.png").text["Description"]
    assert said.startswith("6 trials, n = 3 seeds a point. Points and bars: mean over seeds")
    assert "Lines: theory." in said


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("dynamcs = 'ode'", "Did you mean `dynamics`"),
        ("student_width > 9", "None of the 12 trials"),
        ("true", "of the 12"),
    ],
)
def test_a_condition_that_parts_nothing_is_told(condition: str, told: str, motion: Path, tmp_path: Path):
    with pytest.raises(AnalysisError, match=told):
        command(str(motion), value="error", as_theory=condition, output=[tmp_path / "c.png"])
    assert not list(tmp_path.iterdir())
