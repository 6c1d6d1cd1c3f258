"""Aggregation in DuckDB against the same in pandas, and what is counted but not averaged."""

from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest

from analysis import load
from analysis.data import tally
from analysis.data.cells import gather, paired, seed_means
from analysis.data.load import Results
from analysis.data.rows import Rows
from analysis.data.tally import Totals
from analysis.statistics.intervals import half_width


def test_means_are_those_of_pandas(plane: Path):
    cells = gather(Results.open(plane).rows(), ["student_width", "second"], "test_mse").frame
    trials = load(plane)
    wanted = (
        trials[trials.state == "done"].groupby(["student_width", "second"])["test_mse"].agg(["size", "mean", "std"])
    )
    found = cells[cells._n > 0].set_index(["student_width", "second"])
    assert found.index.equals(wanted.index)
    np.testing.assert_allclose(found[["_n", "_mean", "_sd"]], wanted, rtol=1e-12)


def test_lost_trials_are_counted_in_their_cell_and_in_no_mean(plane: Path):
    cells = gather(Results.open(plane).rows(), ["student_width", "second"], "test_mse")
    by_place = cells.frame.set_index(["student_width", "second"])
    assert by_place.loc[(20, 1e-4), ["_n", "_diverged", "_failed"]].tolist() == [0, 4, 0]
    assert by_place.loc[(20, 1e-2), ["_n", "_diverged", "_failed"]].tolist() == [3, 1, 0]
    assert by_place.loc[(200, 1e-2), ["_n", "_diverged", "_failed"]].tolist() == [0, 0, 4]
    assert (40, 1e-4) not in by_place.index
    assert cells.totals == Totals(trials=68, diverged=5, failed=4, valueless=0, placeless=0)
    assert cells.seeds() == (3, 4)
    assert cells.streams == {"init": 4}


def test_a_value_that_is_not_finite_is_no_value_and_a_missing_axis_no_place():
    frame = pd.DataFrame(
        {"x": [1.0, 1.0, 1.0, None], "v": [2.0, np.inf, np.nan, 5.0], "seed_init": [0, 1, 2, 0], "state": "done"}
    )
    cells = gather(Rows.of(frame), ["x"], "v")
    assert cells.frame[["x", "_n", "_mean"]].to_numpy().tolist() == [[1.0, 1, 2.0]]
    assert cells.totals == Totals(trials=4, diverged=0, failed=0, valueless=2, placeless=1)


def test_other_parameters_are_averaged_seed_by_seed_and_named(few_samples: Path):
    """Two settings a seed: n counts seeds, not trials, and the spread is that of the seeds' means."""
    trials = load(few_samples, where="method = 'kd'")
    cells = gather(Rows.of(trials), ["method"], "test_accuracy")
    per_seed = trials.groupby("seed_init")["test_accuracy"].mean()
    found = cells.frame.iloc[0]
    assert cells.pooled == ("samples_per_class",)
    assert (found["_n"], found["_mean"], found["_sd"]) == pytest.approx((4, per_seed.mean(), per_seed.std()))


def test_a_seed_that_lacks_a_setting_is_not_averaged_with_seeds_that_have_it(few_samples: Path):
    cells = gather(Results.open(few_samples).rows("method = 'at'"), ["method"], "test_accuracy")
    trials = load(few_samples, where="method = 'at' and seed_init > 0")
    assert cells.frame["_n"].tolist() == [3]
    assert cells.frame["_mean"][0] == pytest.approx(trials["test_accuracy"].mean())


def test_a_trial_that_did_not_finish_is_lost_to_its_whole_curve(spectral: Path):
    rows = Results.open(spectral).steps("alive_nodes")
    cells = gather(rows, ["layer", "student_width", "step"], "alive_nodes")
    lost = cells.frame[(cells.frame.layer == "direct") & (cells.frame.student_width == 100)]
    assert len(lost) == 21
    assert (lost._n == 2).all()
    assert (lost._diverged == 1).all()
    assert cells.totals == Totals(trials=24, diverged=1, failed=0, valueless=0, placeless=0)


def test_curves_of_two_lengths_have_a_mean_only_at_the_steps_that_they_share(tmp_path: Path):
    """Means are 50 − n + 0.005 over both widths, and 100 − n + 0.005 over the one width of the other layer."""
    rows = Results.open(example.two_lengths(tmp_path / "r")).steps("k")
    cells = gather(rows, ["layer", "kept"], "k")
    means = {layer: frame[["kept", "_n", "_mean"]].to_numpy() for layer, frame in cells.frame.groupby("layer")}
    assert cells.pooled == ("student_width",)
    np.testing.assert_allclose(means["flat"], [(n, 2, 50.005 - n) for n in range(1, 5)])
    np.testing.assert_allclose(means["deep"], [(n, 2, 100.005 - n) for n in range(1, 9)])


def test_a_seed_without_one_of_the_curves_is_in_no_mean_over_them(tmp_path: Path):
    rows = Results.open(example.two_lengths(tmp_path / "r", lost=[(8, 0)])).steps("k", "layer = 'flat'")
    found = gather(rows, ["kept"], "k").frame
    np.testing.assert_allclose(found[["kept", "_n", "_mean"]], [(n, 1, 50.01 - n) for n in range(1, 5)])


def test_seeds_that_lack_different_settings_are_not_averaged(tmp_path: Path):
    rows = Results.open(example.two_lengths(tmp_path / "r", lost=[(4, 0), (8, 1)])).steps("k", "layer = 'flat'")
    cells = gather(rows, ["kept"], "k")
    assert cells.seeds() == (0, 0)
    assert cells.lack() == "No mean: no seed has all values of student_width at one `kept`."


def test_trials_without_seeds_are_averaged_whatever_their_settings(few_samples: Path):
    trials = load(few_samples, where="method = 'kd'")
    alone = trials.drop(columns=[name for name in trials.columns if name.startswith("seed_")])
    found = gather(Rows.of(alone), ["method"], "test_accuracy").frame
    assert (found["_n"][0], found["_mean"][0]) == pytest.approx((8, trials["test_accuracy"].mean()))


def test_paired_differences_are_those_of_pandas(few_samples: Path):
    rows = Results.open(few_samples).rows()
    cells = gather(rows, ["method", "samples_per_class"], "test_accuracy")
    wide = load(few_samples).pivot_table(
        index=["samples_per_class", "seed_init"], columns="method", values="test_accuracy"
    )
    wanted = (wide["at"] - wide["none"]).groupby("samples_per_class").agg(["count", "mean", "std"])
    found = paired(cells, "none").query("method == 'at'").set_index("samples_per_class").sort_index()
    np.testing.assert_allclose(found[["_n", "_mean", "_sd"]], wanted, rtol=1e-9)


DAYS = pd.to_datetime([0, 1], unit="D", utc=True)


@pytest.mark.parametrize("targets", [("it's", "b"), (0.1, 0.2), (True, False), DAYS])
def test_a_difference_may_be_to_a_value_of_any_kind(targets):
    frame = pd.DataFrame({"x": np.repeat(targets, 2), "seed_init": [0, 1] * 2, "v": [1.0, 2.0, 4.0, 5.0]})
    found = paired(gather(Rows.of(frame), ["x"], "v"), targets[0]).set_index("x")
    assert found["_mean"].to_dict() == {targets[0]: 0.0, targets[1]: 3.0}


def test_repetitions_are_the_values_behind_a_cell(few_samples: Path):
    rows = Results.open(few_samples).rows("method = 'kd' and samples_per_class = 10")
    cells = gather(rows, ["method"], "test_accuracy")
    assert sorted(seed_means(cells)["_v"]) == sorted(rows.sql("SELECT test_accuracy FROM rows")["test_accuracy"])


def test_rows_without_seeds_are_repetitions_each():
    cells = gather(Rows.of(pd.DataFrame({"x": ["a", "a", "b"], "v": [1.0, 3.0, 5.0]})), ["x"], "v")
    assert cells.frame[["_n", "_mean"]].to_numpy().tolist() == [[2, 2.0], [1, 5.0]]


def test_theory_is_not_averaged_with_experiments(tmp_path: Path):
    trials = [{"x": 1.0, "v": 2.0}, {"x": 1.0, "v": 100.0, "kind": "theory", "seed_init": 1}]
    folder = example.write(tmp_path / "r", trials, parameters={"x": ""}, metrics={"v": ""})
    assert gather(Results.open(folder).rows(), ["x"], "v").frame["_mean"].tolist() == [2.0]


def test_categories_stand_in_the_order_of_the_sweep_file(panels: Path):
    for rows in (Results.open(panels).rows(), Rows.of(load(panels))):
        cells = gather(rows, ["second", "panel", "student_width"], "test_mse")
        assert cells.values("second") == ["relu", "erf", "tanh"]
        assert cells.values("panel") == ["b", "a"]
        assert cells.values("student_width") == [20, 40, 60]


def test_a_parameter_may_be_called_as_what_is_computed_of_it():
    frame = pd.DataFrame({"n": [5, 5, 7], "mean": ["a", "a", "b"], "v": [1.0, 3.0, 5.0]})
    cells = gather(Rows.of(frame), ["n", "mean"], "v")
    assert cells.frame[["n", "mean", "_n", "_mean"]].to_numpy().tolist() == [[5, "a", 2, 2.0], [7, "b", 1, 5.0]]


@pytest.mark.parametrize("word", [1, 2, 64])
def test_a_setting_without_a_value_is_a_setting_too(monkeypatch, word):
    """Seed 0 has settings 1, 2 and the empty one twice; seed 1 lacks the empty one."""
    monkeypatch.setattr(tally, "WORD", word)
    frame = pd.DataFrame({"seed_init": [0, 0, 0, 0, 1, 1], "a": [1, 2, None, None, 1, 2], "v": [1.0, 2, 6, 8, 3, 3]})
    frame.attrs["tsd"] = {"fields": {"a": {"role": "parameter"}}}
    found = seed_means(gather(Rows.of(frame), [], "v"))
    assert found[["seed_init", "_v"]].to_numpy().tolist() == [[0, 17 / 4]]


def test_a_parameter_has_a_mean_too():
    """Seed 1 lacks the setting 3."""
    frame = pd.DataFrame({"seed_init": [0, 0, 1], "a": [1, 3, 1]})
    frame.attrs["tsd"] = {"fields": {"a": {"role": "parameter"}}}
    assert gather(Rows.of(frame), [], "a").frame[["_n", "_mean"]].to_numpy().tolist() == [[1, 2.0]]


@pytest.mark.parametrize("settings", [63, 64, 65])
def test_as_many_settings_as_a_word_has_bits_are_told_apart(settings):
    """Seed 1 lacks the last setting, seed 2 the first."""
    pairs = [(seed, a) for seed in range(3) for a in range(settings) if (seed, a) not in {(1, settings - 1), (2, 0)}]
    frame = pd.DataFrame(pairs, columns=["seed_init", "a"]).assign(v=1.0)
    frame.attrs["tsd"] = {"fields": {"a": {"role": "parameter"}}}
    assert seed_means(gather(Rows.of(frame), [], "v"))["seed_init"].tolist() == [0]


def grid() -> pd.DataFrame:
    """3 places × 4 seeds × 5 settings of a word and a number that may be missing."""
    settings = [("a", 1.0), ("a", None), ("b", 1.0), ("b", 0.0), (None, None)]
    rows = [(x, seed, *both) for x in (0.0, 0.1, np.pi) for seed in range(4) for both in settings]
    frame = pd.DataFrame(rows, columns=["x", "seed_init", "word", "number"])
    return frame.assign(state="done", v=np.random.default_rng(0).normal(size=len(frame)))


def swapped(frame: pd.DataFrame) -> pd.DataFrame:
    """The grid with the words of one seed exchanged: each word and each number is there as often as before."""
    return frame.assign(word=frame.word.mask(frame.seed_init == 1, frame.word.replace({"a": "b", "b": "a"})))


LACKING = {
    "nothing": (lambda frame: frame, True),
    "nothing, of one setting": (lambda frame: frame[(frame.word == "a") & (frame.number == 1)], True),
    "nothing, in time": (lambda frame: frame.assign(x=pd.to_datetime(frame.x, unit="D", utc=True)), True),
    "a setting": (lambda frame: frame.drop(index=7), False),
    "a seed": (lambda frame: frame.drop(index=range(5, 10)), True),
    "a value": (lambda frame: frame.assign(v=frame.v.where(frame.index != 7)), False),
    "a state": (lambda frame: frame.assign(state=np.where(frame.index == 7, "failed", "done")), False),
    "a place": (lambda frame: frame.assign(x=frame.x.where(frame.x > 0)), True),
    "every value": (lambda frame: frame.assign(v=np.nan), False),
    "settings that others make of the same parts": (swapped, False),
    "one setting, another twice": (lambda frame: frame.assign(word=frame.word.replace("b", "a")), False),
    "nothing, all twice": (lambda frame: pd.concat([frame, frame]), False),
    "nothing, all three times": (lambda frame: pd.concat([frame] * 3), False),
    "every trial": (lambda frame: frame[:0], False),
}


@pytest.mark.parametrize("lacking", LACKING)
def test_settings_need_no_numbers_where_nothing_is_missing(monkeypatch, lacking):
    """The quick way finds what the numbered settings do, and is gone where it should be."""
    change, quick = LACKING[lacking]
    frame, real, taken = change(grid()).reset_index(drop=True), tally._whole, []
    frame.attrs["tsd"] = {"fields": {name: {"role": "parameter"} for name in ("x", "word", "number")}}
    monkeypatch.setattr(tally, "_whole", lambda *of: taken.append(real(*of)) or taken[-1])
    found = [gather(Rows.of(frame), ["x"], "v")]
    monkeypatch.setattr(tally, "_whole", lambda *of: None)
    found.append(gather(Rows.of(frame), ["x"], "v"))
    pd.testing.assert_frame_equal(found[0].frame, found[1].frame)
    pd.testing.assert_frame_equal(*map(seed_means, found))
    assert found[0].totals == found[1].totals and found[0].pooled == found[1].pooled
    assert [one is not None for one in taken] == ([quick] if found[0].pooled else [])


def crossed(shape=(3, 4), sds=(1.0, 0.5), rest=0.3, seed=0) -> pd.DataFrame:
    """A value over teacher × init seeds whose mean is 0, with a spread of its own for each stream and the rest."""
    rng = np.random.default_rng(seed)
    teacher, init = (sd * rng.normal(size=n) for n, sd in zip(shape, sds, strict=True))
    values = teacher[:, None] + init + rest * rng.normal(size=shape)
    frame = pd.DataFrame(values).melt(ignore_index=False, var_name="seed_init", value_name="v")
    return frame.rename_axis("seed_teacher").reset_index().assign(method="a")


def test_crossed_seeds_are_no_independent_repetitions():
    """The error of a mean is that of the teachers' means and that of the starts' together; freedom by Satterthwaite."""
    trials = crossed().drop(index=5)
    found = gather(Rows.of(trials), ["method"], "v").frame.iloc[0]
    means = [trials.groupby(seed)["v"].mean() for seed in ("seed_teacher", "seed_init")]
    parts, freedoms = [m.var() / len(m) for m in means], [2, 3]
    free = sum(parts) ** 2 / sum(p**2 / f for p, f in zip(parts, freedoms, strict=True))
    assert found["_n"] == 11
    assert found["_free"] - 1 == pytest.approx(free)
    assert found["_sd"] ** 2 / found["_free"] == pytest.approx(sum(parts))


def test_the_interval_of_a_mean_over_crossed_seeds_holds_it_as_often_as_it_says():
    """As if independent, those of 3 × 4 seeds hold it 70 times of 100: 300 cells, two standard errors below 0.95."""
    trials = pd.concat([crossed(seed=seed).assign(method=seed) for seed in range(300)])
    found = gather(Rows.of(trials), ["method"], "v").frame
    held, alone = (
        np.mean(abs(found["_mean"]) <= half_width(n, sd))
        for n, sd in ((found["_free"], found["_sd"]), (12, trials.groupby("method")["v"].std()))
    )
    assert held > 0.925
    assert alone < 0.8


def test_seeds_that_move_together_are_independent_repetitions():
    trials = crossed((4, 4)).query("seed_teacher == seed_init")
    for extra in ({}, {"seed_data": trials["seed_init"]}, {"seed_teacher": 0}):
        found = gather(Rows.of(trials.assign(**extra)), ["method"], "v").frame.iloc[0]
        assert (found["_free"], found["_sd"]) == pytest.approx((4, trials["v"].std()))


def test_streams_that_move_together_count_once_where_another_crosses_them():
    alone, both = crossed(), crossed().assign(seed_data=lambda f: f["seed_teacher"])
    frames = [gather(Rows.of(trials), ["method"], "v").frame for trials in (alone, both)]
    pd.testing.assert_frame_equal(*frames)


def test_starts_that_belong_to_one_teacher_each_count_as_their_teachers():
    trials = crossed().assign(seed_init=lambda f: f["seed_init"] + 10 * f["seed_teacher"])
    found = gather(Rows.of(trials), ["method"], "v").frame.iloc[0]
    teachers = trials.groupby("seed_teacher")["v"].mean()
    assert (found["_free"], found["_sd"]) == pytest.approx((3, teachers.std()))


def test_differences_of_crossed_seeds_cross_too():
    trials = pd.concat([crossed(seed=i).assign(method=m) for i, m in enumerate("ab")])
    apart = trials.pivot(index=["seed_teacher", "seed_init"], columns="method", values="v")
    alone = (apart["b"] - apart["a"]).rename("v").reset_index().assign(method="b")
    found = paired(gather(Rows.of(trials), ["method"], "v"), "a").query("method == 'b'").reset_index(drop=True)
    wanted = gather(Rows.of(alone), ["method"], "v").frame
    pd.testing.assert_frame_equal(found, wanted[found.columns])
