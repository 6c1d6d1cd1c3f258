"""Laws fitted to points whose law is known."""

from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.data.rows import Rows
from analysis.drawing.laws import Laws
from analysis.drawing.style import numbers
from analysis.errors import AnalysisError
from analysis.figures.scaling import command, scaling
from analysis.statistics.fits import FORMS, RARE, fit_all, weights
from analysis.statistics.repeats import Repeats

X = np.geomspace(10, 10_000, 12)
LAWS = {
    "power": ((3.0, 0.5), lambda x: 3 * x**-0.5),
    "power + floor": ((3.0, 0.8, 0.05), lambda x: 3 * x**-0.8 + 0.05),
    "exponential": ((2.0, 800.0, 0.1), lambda x: 2 * np.exp(-x / 800) + 0.1),
}


def seeds_of(law, x=X, *, seed=0, seeds=4, relative=0.04, shared=0.0):
    """Values of seeds, shape (seeds, points); `shared` of their variance is the same along a seed."""
    rng = np.random.default_rng(seed)
    noise = np.sqrt(shared) * rng.normal(size=(seeds, 1)) + np.sqrt(1 - shared) * rng.normal(size=(seeds, len(x)))
    return Repeats(np.log(x), law(x) * (1 + relative * noise))


@pytest.mark.parametrize("name", LAWS)
def test_the_law_that_made_the_points_is_chosen_and_its_parameters_found(name):
    known, law = LAWS[name]
    fits = fit_all(X, seeds_of(law))
    assert fits[0].form.name == name
    for interval, value in zip(fits[0].parameters.values(), known, strict=True):
        assert interval.low <= value <= interval.high
        assert interval.half < 0.25 * value
    assert weights(fits)[0] > 0.5
    assert sum(weights(fits)) == pytest.approx(1)
    assert fits[0].chance > 0.05 > RARE > fits[-1].chance


def test_exact_points_give_the_exact_law():
    """Over ten decades of values too, of which the least are known as well as the greatest."""
    wide, steep = np.geomspace(1, 1e6, 14), lambda x: 5 * x**-2 + 1e-10
    cases = [(form.name, X, *LAWS[form.name]) for form in FORMS] + [("power + floor", wide, (5, 2, 1e-10), steep)]
    for name, x, known, law in cases:
        values = law(x) * np.array([[0.99], [1.01]])
        fit = next(f for f in fit_all(x, Repeats(np.log(x), values)) if f.form.name == name)
        assert [i.mean for i in fit.parameters.values()] == pytest.approx(known, rel=1e-4)
        assert fit.chi2 < 1e-6


@pytest.mark.parametrize(("name", "shared"), [("power", 0.0), ("power", 0.8), ("exponential", 0.8)])
def test_intervals_cover_what_they_promise_with_three_seeds(name, shared):
    """Of 100 draws 95 on average, whether or not points share their seeds; fewer than 88 once in 300 times."""
    known, law = LAWS[name]
    inside = np.zeros(len(known))
    for seed in range(100):
        drawn = seeds_of(law, seed=seed, seeds=3, relative=0.1, shared=shared)
        fit = next(f for f in fit_all(X, drawn) if f.form.name == name)
        inside += [i.low <= value <= i.high for i, value in zip(fit.parameters.values(), known, strict=True)]
    assert (inside >= 88).all()


def test_few_seeds_do_not_invent_a_floor():
    """With known errors AICc takes one power law of sixteen for one with a floor; errors from three seeds double it."""
    chosen = [fit_all(X, seeds_of(LAWS["power"][1], seed=s, seeds=3))[0].form.name for s in range(60)]
    assert chosen.count("power") >= 45


def test_seeds_of_their_own_at_every_point_count_as_so_many():
    """The same numbers, each by a seed of its own: the errors of an exponent have more degrees of freedom."""
    together = seeds_of(LAWS["power"][1], seeds=3)
    values = np.full((3 * len(X), len(X)), np.nan)
    for i in range(len(X)):
        values[3 * i : 3 * i + 3, i] = together.values[:, i]
    apart = Repeats(together.places, values)
    assert (together.freedom(), apart.freedom()) == (2, 24)
    assert apart.error == pytest.approx(together.error)
    narrow, wide = (next(f for f in fit_all(X, r) if f.form.name == "power").parameters["b"] for r in (apart, together))
    assert narrow.mean == pytest.approx(wide.mean)
    assert narrow.half < wide.half


def test_errors_of_few_seeds_lie_on_their_trend():
    """Where spread falls as a power of the place, seeds tell it nearly as well as the true one."""
    rng, places, ratio = np.random.default_rng(0), np.linspace(0, 5, 12), []
    for _ in range(100):
        own = Repeats(places, np.exp(-places) * rng.normal(size=(3, 12)))
        ratio.append(((own.mean / own.error) ** 2).mean())
    assert 0.8 < np.mean(ratio) < 2, "each by its own three seeds: 8"
    flat = Repeats(places, np.where(places < 3, rng.normal(size=(5, 12)), 1.0))
    assert (flat.error > 0).all() and not flat.variance[-1]


def test_a_further_parameter_must_be_worth_its_cost():
    """With four points a law of three parameters has no finite AICc: the power law stands alone."""
    fits = fit_all(X[:4], seeds_of(LAWS["power + floor"][1], X[:4]))
    assert [np.isfinite(f.aicc) for f in fits] == [True, False, False]
    with pytest.raises(AnalysisError, match="at least four points"):
        fit_all(X[:3], seeds_of(LAWS["power"][1], X[:3]))


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


def rows_of(law, x, **same):
    values = seeds_of(law, np.asarray(x), seeds=3).values
    return pd.DataFrame(
        [{"x": x[i], "y": values[s, i], "seed_init": s} | same for s in range(3) for i in range(len(x))]
    )


def told(frame, by=None):
    return Laws.of(Rows.of(frame), "y", "x", by).sentences()


def test_what_speaks_against_a_law_is_told():
    broken = rows_of(lambda x: np.where(x < 300, x**-0.3, 300**0.7 / x), X)
    assert "No law passes through the points within their errors: look for a break." in told(broken)[0]
    assert "No exponent is told from zero." in told(rows_of(np.ones_like, X))[0]
    assert "x spans a factor of 2 only." in told(rows_of(LAWS["power"][1], [10.0, 13, 16, 18, 20]))[0]
    assert "4 points tell no other law." in told(rows_of(LAWS["power"][1], X[::3]))[0]
    straight = told(rows_of(LAWS["power"][1], X))[0]
    assert straight.endswith(")."), "and of a power law through all points there is nothing to say"


def test_points_that_no_law_reaches_are_counted():
    law = rows_of(LAWS["power"][1], X).query("x > 10 or seed_init == 0")
    zero = pd.DataFrame([{"x": 0.0, "y": 1.0, "seed_init": s} for s in range(3)])
    assert "Left out: 2 points with one seed, or at x ≤ 0." in told(pd.concat([law, zero]))[0]


def test_columns_that_are_the_same_are_refused():
    with pytest.raises(AnalysisError, match="--x x --value y --by x: each needs a column of its own"):
        told(rows_of(LAWS["power"][1], X), "x")


def test_a_group_that_has_no_law_is_named():
    whole = rows_of(LAWS["power"][1], X, layer="wide")
    with pytest.raises(AnalysisError, match="here are 3 of layer = narrow"):
        told(pd.concat([whole, rows_of(LAWS["power"][1], X[:3], layer="narrow")]), "layer")
    with pytest.raises(AnalysisError, match="layer = narrow agree everywhere"):
        told(pd.concat([whole, whole.assign(layer="narrow", y=1.0)]), "layer")


def test_ticks_over_ten_decades_have_names_of_their_own():
    """What is small beside its neighbours is zero; what is small beside the largest need not be."""
    assert len(set(numbers([10.0**d for d in range(-10, 2)])) - {"0"}) == 12
    assert numbers([-0.2, 1e-17, 0.2]) == ["−0.2", "0", "0.2"]
