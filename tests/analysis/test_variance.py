"""Components of variance on crossed seeds whose components are known."""

from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.figures.variance import command, variance
from analysis.statistics.intervals import Interval
from analysis.statistics.variance import components, divided, table
from analysis.writing.rounding import bounded


def crossed(shape, sds, rest, rng):
    """Values with one random effect for each axis, and noise."""
    values = rest * rng.normal(size=shape)
    for axis, sd in enumerate(sds):
        values += together(shape, {axis}, sd, rng)
    return values


def together(shape, axes, sd, rng):
    """What the seeds of some axes make together: one draw for each combination of theirs."""
    return sd * rng.normal(size=[n if axis in axes else 1 for axis, n in enumerate(shape)])


def test_estimates_are_right_on_average():
    """ANOVA estimators have no bias. 500 draws of 3 × 4 × 5 seeds, within four standard errors of the mean."""
    rng, names = np.random.default_rng(0), ("teacher", "data", "init")
    found = [divided(crossed((3, 4, 5), (1.0, 0.0, 0.5), 0.7, rng), names) for _ in range(500)]
    for name, known in {"teacher": 1.0, "data": 0.0, "init": 0.25, "rest": 0.49}.items():
        estimates = np.array([f[name].mean for f in found])
        assert abs(estimates.mean() - known) < 4 * estimates.std() / np.sqrt(500), name


def test_what_two_streams_make_together_is_of_neither():
    """Teachers that like certain starts, and nothing else but noise: with three streams, too, it all is of the rest."""
    rng, shape, names = np.random.default_rng(2), (3, 3, 4), ("teacher", "data", "init")
    found = [divided(together(shape, {0, 2}, 1.0, rng) + crossed(shape, (), 0.3, rng), names) for _ in range(500)]
    for name, known in {"teacher": 0.0, "data": 0.0, "init": 0.0, "rest": 1.09}.items():
        estimates = np.array([f[name].mean for f in found])
        assert abs(estimates.mean() - known) < 4 * estimates.std() / np.sqrt(500), name
        assert np.mean([f[name].low <= known <= f[name].high for f in found]) > 0.925, name


def test_intervals_cover_what_they_promise():
    """They hold what they promise, less once in a hundred draws than 0.925 of 500."""
    rng = np.random.default_rng(1)
    found = [divided(crossed((6, 8), (1.0, 0.3), 0.5, rng), ("teacher", "init")) for _ in range(500)]
    for name, known in {"teacher": 1.0, "init": 0.09, "rest": 0.25}.items():
        inside = np.mean([f[name].low <= known <= f[name].high for f in found])
        assert inside > 0.925, name


def test_the_interval_of_the_rest_is_that_of_a_variance():
    values = crossed((4, 6), (1.0, 0.5), 0.3, np.random.default_rng(3))
    rest = divided(values, ("teacher", "init"))["rest"]
    low, high = (15 * rest.mean / chi2.ppf(p, 15) for p in (0.975, 0.025))
    assert (rest.low, rest.high) == pytest.approx((low, high), rel=1e-3)


def test_values_that_all_agree_have_no_parts():
    found = divided(np.full((3, 4), 0.7), ("teacher", "init"))
    assert all((i.mean, i.low, i.high) == pytest.approx((0, 0, 0), abs=1e-30) for i in found.values())


def test_components_are_those_of_the_means_of_rows_and_columns():
    """Two factors: σ²_A = (b var(row means) − MS_rest) / b, and the other way round."""
    values = np.array([[1.0, 2.0, 3.0], [4.0, 6.0, 5.0]])
    found = divided(values, ("a", "b"))
    a, b = values.mean(axis=1), values.mean(axis=0)
    rest = ((values - a[:, None] - b + values.mean()) ** 2).sum() / 2
    assert found["rest"].mean == pytest.approx(rest)
    assert found["a"].mean == pytest.approx((3 * a.var(ddof=1) - rest) / 3)
    assert found["b"].mean == pytest.approx((2 * b.var(ddof=1) - rest) / 2)


def trials(shape=(4, 6), seed=0, groups=("relu", "erf")):
    rng, rows = np.random.default_rng(seed), []
    for group in groups:
        values = crossed(shape, (1.0, 0.1), 0.1, rng)
        rows += [
            {"activation": group, "seed_teacher": t, "seed_init": i, "test_mse": float(values[t, i])}
            for t in range(shape[0])
            for i in range(shape[1])
        ]
    return pd.DataFrame(rows)


def test_each_group_has_components_of_its_own():
    frame = trials()
    _, found = components(Rows.of(frame), "test_mse", "activation")
    assert [one.group for one in found] == ["erf", "relu"]
    cube = frame[frame.activation == "erf"].pivot(index="seed_teacher", columns="seed_init", values="test_mse")
    assert found[0].variance == divided(cube.to_numpy(), ("teacher", "init"))
    assert found[0].share("teacher") > 0.9
    assert sum(found[0].share(name) for name in found[0].variance) == pytest.approx(1)


def test_lost_trials_cost_the_seed_that_lacks_most():
    frame = trials(groups=("relu",))
    lost = frame.drop(frame[(frame.seed_init == 2) & (frame.seed_teacher < 2)].index)
    _, [found] = components(Rows.of(lost), "test_mse")
    assert found.levels == {"teacher": 4, "init": 5}
    assert found.dropped == 2


def test_one_group_that_does_not_cross_leaves_the_others(capsys):
    """`tied` moves its seeds together and `lost` has no value: a place for each, and numbers for neither."""
    frame = trials(groups=("relu", "tied", "lost"))
    frame = frame[(frame.activation != "tied") | (frame.seed_teacher == frame.seed_init)]
    frame["state"] = np.where(frame.activation == "lost", "failed", "done")
    _, found = components(Rows.of(frame), "test_mse", "activation")
    assert {one.group: bool(one.variance) for one in found} == {"lost": False, "relu": True, "tied": False}
    lines = dict(variance(frame, value="test_mse", by="activation").lines)
    assert [(cell.text, cell.note) for cell in lines["tied"][1:]] == [("–", "seeds do not cross"), ("–", ""), ("–", "")]
    assert [(cell.text, cell.note) for cell in lines["lost"][:2]] == [("–", ""), ("–", "no value")]
    assert table(found, "activation").set_index("activation")["variance"].isna().sum() == 6


def test_a_stream_that_tells_the_groups_apart_is_none_of_their_spread():
    with pytest.raises(AnalysisError, match="Only init has several seeds"):
        components(Rows.of(trials(groups=("relu",))), "test_mse", "seed_teacher")


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.5712, 0.0, 30.2), "0.57 [0, 30]"),
        (Interval(-0.0617, 0.0, 0.0), "−0.062 [0, 0]"),
        (Interval(134.0, 31.9, 3600.0), "130 [32, 3600]"),
        (Interval(0.0, 0.0, 0.0), "0 [0, 0]"),
        (Interval(-9e-14, 0.0, 2.1e-13), "(−0.90 [0, 2.1]) × 10⁻¹³"),
        (Interval(8.3e11, 3.4e11, 4e12), "(0.83 [0.34, 4.0]) × 10¹²"),
    ],
)
def test_each_bound_has_two_digits(interval, text):
    assert bounded(interval) == text


def test_seeds_that_do_not_cross_are_said_so():
    frame = trials(groups=("relu",))
    with pytest.raises(AnalysisError, match="Only init has several seeds"):
        components(Rows.of(frame[frame.seed_teacher == 0]), "test_mse")
    with pytest.raises(AnalysisError, match="do not cross"):
        components(Rows.of(frame[frame.seed_teacher == frame.seed_init]), "test_mse")


def test_the_table_names_streams_and_shares(tmp_path: Path, capsys):
    rows = trials().to_dict("records")
    folder = example.write(tmp_path / "r", rows, parameters={"activation": ""}, metrics={"test_mse": "target²"})
    command(str(folder), value="test_mse", by="activation")
    out = capsys.readouterr().out
    assert "| activation | mean | teacher | init | rest |" in out
    assert " %)" in out
    command(str(folder), value="test_mse", by="activation", output=[tmp_path / "v.csv"])
    numbers = pd.read_csv(tmp_path / "v.csv", comment="#")
    assert numbers.groupby("activation")["share"].sum().tolist() == pytest.approx([1, 1])
    assert numbers["seeds"].dropna().unique().tolist() == [4, 6]
    assert "<table>" in variance(trials(), value="test_mse", by="activation")._repr_html_()
