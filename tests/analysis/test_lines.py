"""Lines over a parameter and predictions beside them, read back from the axes."""

from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from analysis import load
from analysis.data.load import Results
from analysis.drawing.series import Series
from analysis.errors import AnalysisError
from analysis.figures.curves import command as curves_command
from analysis.figures.curves import curves
from analysis.figures.lines import command, lines
from analysis.figures.phase import command as phase_command
from analysis.statistics.intervals import half_width


@pytest.fixture(scope="module")
def decay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`loss` = c / x with noise for c = 1, 2; `law` says c / x; theory rows say `loss` at more places."""
    rng, trials, curves = np.random.default_rng(0), [], []
    for c in (1, 2):
        for x in (1, 2, 4):
            for seed in range(4):
                trial = {"x": float(x), "c": c, "seed_init": seed, "loss": c / x + 0.01 * rng.normal(), "law": c / x}
                curves += [(len(trials), "along", s, c / s + 0.01 * rng.normal()) for s in range(1, 101)]
                trials.append(trial)
        for x in np.geomspace(1, 4, 9):
            curves += [(len(trials), "along", s, c / s) for s in range(1, 101)]
            trials.append({"x": float(x), "c": c, "kind": "theory", "loss": c / x})
    return example.write(
        tmp_path_factory.mktemp("r") / "decay",
        trials,
        parameters={"x": "", "c": ""},
        metrics={"loss": "", "law": ""},
        curves=curves,
        steps={"along": "updates"},
    )


def test_lines_show_mean_and_interval(decay: Path):
    trials = load(decay)
    axes = lines(trials, x="x", value="loss", by="c")
    found = trials[trials.c == 2].groupby("x")["loss"].agg(["mean", "std"])
    [line] = [line for line in axes.lines if line.get_label() == "2"]
    np.testing.assert_allclose(line.get_xydata(), np.column_stack([found.index, found["mean"]]), rtol=1e-12)
    bars = [c for c in axes.collections if isinstance(c, LineCollection)][1].get_segments()
    half = half_width(4, found["std"])
    np.testing.assert_allclose([(bar[1, 1] - bar[0, 1]) / 2 for bar in bars], half, rtol=1e-9)


def test_a_column_of_theory_is_a_line_and_means_are_points(decay: Path):
    axes = lines(load(decay), x="x", value="loss", by="c", theory=["law"])
    theory = [line for line in axes.lines if line.get_label() == "_law"]
    for c, line in zip((1, 2), theory, strict=True):
        np.testing.assert_allclose(line.get_xydata(), [(x, c / x) for x in (1, 2, 4)])
    [points] = [line for line in axes.lines if line.get_label() == "1"]
    assert (points.get_linestyle(), points.get_marker()) == ("None", "o")
    assert tuple(theory[0].get_color()) == tuple(points.get_color())
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["1", "2", "law"]


def test_rows_of_kind_theory_come_before_columns_and_have_places_of_their_own(decay: Path):
    opened = Results.open(decay)
    assert set(opened.theory("loss", ["x"]).sql("SELECT DISTINCT kind FROM rows")["kind"]) == {"theory"}
    assert set(opened.theory("law", ["x"]).sql("SELECT DISTINCT kind FROM rows")["kind"]) == {"experiment"}
    assert set(opened.theory("loss", ["x"], "seed_init = 1").sql("SELECT DISTINCT kind FROM rows")["kind"]) == {
        "experiment"
    }, "where no theory fulfils the condition, the trials' own column is left"


def test_the_verb_draws_theory_between_the_points(decay: Path, tmp_path: Path):
    command(str(decay), x="x", value="loss", by="c", theory=["loss"], log_x=True, output=[tmp_path / "l.png"])
    said = Image.open(tmp_path / "l.png").text["Description"]
    assert said.startswith("24 trials, n = 4 seeds a point. Points and bars: mean over seeds and its 95 % t interval.")


def test_theory_of_curves_is_a_line_over_a_few_of_the_points(decay: Path, tmp_path: Path):
    curves_command(str(decay), value="along", by="c", theory=["along"], log_x=True, output=[tmp_path / "c.png"])
    assert Results.open(decay).theory("along", ["updates"]).step == "updates"
    axes = curves(
        load(decay, curve="along").assign(law2=lambda t: t.c / t.updates), value="along", by="c", theory=["law2"]
    )
    points = next(line for line in axes.lines if line.get_label() == "1").get_xdata()
    law = next(line for line in axes.lines if line.get_label() == "_law2")
    assert (points[0], len(points)) == (1, 24)
    assert points[-1] == 100 - 0.01 * 99, "beside the other group, of which the seeds say the same"
    np.testing.assert_allclose(law.get_ydata(), 1 / np.arange(1, 101))


def test_a_prediction_without_steps_is_a_constant(decay: Path):
    constant = load(decay).groupby("c")["law"].mean()
    axes, opened = Figure().subplots(), Results.open(decay)
    rows = {"law": opened.rows_for("law", ["c"])}
    Series.of(opened.steps("along"), "along", "updates", by="c", theory=rows).draw(axes, False)
    drawn = [line.get_xydata().tolist() for line in axes.lines if line.get_label() == "_law"]
    assert drawn == [[[1, pytest.approx(constant[c])], [100, pytest.approx(constant[c])]] for c in (1, 2)]


def test_theory_that_knows_no_groups_is_drawn_once():
    trials = pd.DataFrame({"x": [1, 2] * 4, "g": ["a", "b"] * 4, "v": 1.0, "seed_init": [0, 0, 1, 1, 2, 2, 3, 3]})
    trials["law"], trials["nothing"] = 1.0, np.nan
    axes = lines(trials, x="x", value="v", theory=["law"])
    assert len([line for line in axes.lines if line.get_label() == "_law"]) == 1
    with pytest.raises(AnalysisError, match="no value"):
        lines(trials, x="x", value="v", theory=["nothing"])


def test_groups_stand_side_by_side_over_categories(few_samples: Path):
    axes = lines(load(few_samples), x="method", value="test_accuracy", by="samples_per_class")
    first, second = (next(line for line in axes.lines if line.get_label() == n).get_xdata() for n in ("10", "50"))
    assert (first < second).all()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["none", "kd", "at"]


@pytest.mark.parametrize("log", [False, True])
def test_groups_whose_bars_would_lie_over_each_other_stand_a_little_aside(log, tmp_path: Path):
    near = [
        {"x": x, "g": g, "seed_init": s, "v": x + 0.1 * s} for x in (1.0, 10.0, 100.0) for g in "abc" for s in (0, 1)
    ]
    lines_of = lines(pd.DataFrame(near), x="x", value="v", by="g", log_x=log).lines
    placed = np.array([line.get_xdata() for line in lines_of if line.get_label() in "abc"])
    even = np.log(placed) if log else placed
    np.testing.assert_allclose(even[1], np.log([1, 10, 100]) if log else [1, 10, 100])
    apart = 0.02 * (np.log(100) if log else 99)
    np.testing.assert_allclose(np.diff(even, axis=0), apart)
    folder = example.write(tmp_path / "r", near, parameters={"x": "", "g": ""}, metrics={"v": ""})
    command(str(folder), x="x", value="v", by="g", output=[tmp_path / "l.png"])
    assert "Groups stand a little aside of a number at which" in Image.open(tmp_path / "l.png").text["Description"]
    far = pd.DataFrame(near).assign(v=lambda t: t["v"] + 1000 * (t["g"] == "b") + 2000 * (t["g"] == "c"))
    exact = [
        line.get_xdata().tolist() for line in lines(far, x="x", value="v", by="g").lines if line.get_label() in "abc"
    ]
    assert exact == [[1, 10, 100]] * 3


def test_beside_theory_groups_stand_aside_where_their_bars_meet_and_nowhere_else():
    rows = [
        {"x": x, "g": g, "seed_init": s, "v": x + 0.1 * s + 1000 * (g + str(x) == "b100.0"), "law": x}
        for x in (1.0, 10.0, 100.0) for g in "ab" for s in (0, 1)
    ]  # fmt: skip
    drawn = lines(pd.DataFrame(rows), x="x", value="v", by="g", theory=["law"]).lines
    placed = [line.get_xdata() for line in drawn if line.get_label() in "ab"]
    np.testing.assert_allclose(placed, [[1 - 0.99, 10 - 0.99, 100], [1 + 0.99, 10 + 0.99, 100]])
    assert all(line.get_xdata().tolist() == [1, 10, 100] for line in drawn if line.get_label() == "_law")


def test_means_without_a_logarithm_are_counted(tmp_path: Path):
    rows = [{"x": x, "y": y, "seed_init": s, "v": x * y} for x in (0.0, 1.0, 2.0) for y in (1.0, 2.0) for s in (0, 1)]
    folder, log = (
        example.write(tmp_path / "r", rows, parameters={"x": "", "y": ""}, metrics={"v": ""}),
        {"log_value": True},
    )
    for verb, by, said in (
        (command, "by", "lie below the scale: 2."),
        (phase_command, "y", "have the least colour: 2."),
    ):
        verb(str(folder), x="x", value="v", **{by: "y"}, **log, output=[tmp_path / "f.png"])
        assert f"Means that are not positive {said}" in Image.open(tmp_path / "f.png").text["Description"]


def test_lines_on_axes_of_ones_own(few_samples: Path):
    mine = Figure().subplots()
    trials = load(few_samples)
    assert lines(trials, x="samples_per_class", value="test_accuracy", by="method", log_x=True, ax=mine) is mine
    assert mine.get_xscale() == "log"
    assert mine.get_legend().get_title().get_text() == "method"
    with pytest.raises(AnalysisError, match="column of its own"):
        lines(trials, x="method", value="test_accuracy", by="method")
