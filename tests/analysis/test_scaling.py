"""Laws fitted to points whose law is known."""

from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.errors import AnalysisError
from analysis.figures.scaling import command, scaling
from analysis.statistics.fits import FORMS, fit_all, weights

X = np.geomspace(10, 10_000, 12)
LAWS = {
    "power": ((3.0, 0.5), lambda x: 3 * x**-0.5),
    "power + floor": ((3.0, 0.8, 0.05), lambda x: 3 * x**-0.8 + 0.05),
    "exponential": ((2.0, 800.0, 0.1), lambda x: 2 * np.exp(-x / 800) + 0.1),
}


def noisy(law, seed=0, relative=0.02):
    y = law(X)
    return y * (1 + relative * np.random.default_rng(seed).normal(size=len(X))), relative * y


@pytest.mark.parametrize("name", LAWS)
def test_the_law_that_made_the_points_is_chosen_and_its_parameters_found(name):
    known, law = LAWS[name]
    fits = fit_all(X, *noisy(law))
    assert fits[0].form.name == name
    for interval, value in zip(fits[0].parameters.values(), known, strict=True):
        assert interval.low <= value <= interval.high
        assert interval.half < 0.25 * value
    assert weights(fits)[0] > 0.5
    assert sum(weights(fits)) == pytest.approx(1)


def test_exact_points_give_the_exact_law():
    for form in FORMS:
        known, law = LAWS[form.name]
        fit = next(f for f in fit_all(X, law(X), 0.01 * law(X)) if f.form is form)
        assert [i.mean for i in fit.parameters.values()] == pytest.approx(known, rel=1e-4)
        assert fit.chi2 < 1e-6


def test_intervals_of_an_exponent_cover_what_they_promise():
    """Of 40 draws 38 on average; fewer than 34 once in a hundred times."""
    inside = 0
    for seed in range(40):
        fit = next(f for f in fit_all(X, *noisy(LAWS["power"][1], seed)) if f.form.name == "power")
        inside += fit.parameters["b"].low <= 0.5 <= fit.parameters["b"].high
    assert inside >= 34


def test_a_further_parameter_must_be_worth_its_cost():
    """With four points a law of three parameters has no finite AICc: the power law stands alone."""
    fits = fit_all(X[:4], *(v[:4] for v in noisy(LAWS["power + floor"][1])))
    assert [np.isfinite(f.aicc) for f in fits] == [True, False, False]
    with pytest.raises(AnalysisError, match="at least four points"):
        fit_all(X[:3], X[:3], X[:3])


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, trials = np.random.default_rng(0), []
    for teacher, exponent in (("narrow", 1.0), ("wide", 0.5)):
        for samples in (10, 30, 100, 300, 1000, 3000):
            for seed in range(5):
                error = samples**-exponent * (1 + 0.05 * rng.normal())
                trials.append({"samples": samples, "teacher": teacher, "test_error": error, "seed_init": seed})
    return example.write(
        tmp_path_factory.mktemp("r") / "learning",
        trials,
        parameters={"samples": "", "teacher": ""},
        metrics={"test_error": ""},
    )


def test_the_verb_draws_and_tells(learning: Path, tmp_path: Path, capsys):
    outputs = [tmp_path / "s.png", tmp_path / "s.csv"]
    command(str(learning), x="samples", value="test_error", by="teacher", output=outputs)
    told = Image.open(outputs[0]).text["Description"]
    assert "teacher narrow: a x^(−b), a = " in told
    numbers = pd.read_csv(outputs[1], comment="#")
    power = numbers[(numbers["law"] == "power") & (numbers["parameter"] == "b")].set_index("teacher")["estimate"]
    assert power.to_dict() == pytest.approx({"narrow": 1.0, "wide": 0.5}, abs=0.03)
    assert "teacher wide: " in capsys.readouterr().out


def test_the_line_runs_through_the_points():
    frame = pd.DataFrame({"x": np.repeat(X, 3), "y": np.repeat(LAWS["power"][1](X), 3) * np.tile([0.99, 1, 1.01], 12)})
    axes = scaling(frame, x="x", value="y")
    line = axes.lines[-1]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(line.get_ydata(), 3 * line.get_xdata() ** -0.5, rtol=1e-3)
