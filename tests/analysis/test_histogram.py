"""Histograms against NumPy's own, and what they count."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis import load
from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.figures.histogram import command
from analysis.figures.histogram import histogram as drawn
from analysis.statistics.histogram import histogram
from tsd.words import number


def counted(data, value="v", **options):
    return histogram(Rows.of(data), value, **options)


@pytest.mark.parametrize("log", [False, True])
def test_counts_are_numpys(log):
    values = np.random.default_rng(0).lognormal(size=5000)
    found = counted(pd.DataFrame({"v": values}), bins=20, log=log)
    measured = np.log(values) if log else values
    wanted, edges = np.histogram(measured, 20)
    np.testing.assert_array_equal(found.counts[None], wanted)
    np.testing.assert_allclose(found.edges, np.exp(edges) if log else edges)


@pytest.mark.parametrize("count", [30, 5000])
def test_bins_are_chosen_as_numpy_advises(count):
    values = np.random.default_rng(1).normal(size=count)
    assert len(counted(pd.DataFrame({"v": values})).edges) == len(np.histogram_bin_edges(values, "auto"))


def test_each_of_few_whole_numbers_has_a_bin_of_its_own():
    found = counted(pd.DataFrame({"v": [3, 3, 5]}))
    assert found.edges.tolist() == [2.5, 3.5, 4.5, 5.5]
    assert found.counts[None].tolist() == [2, 0, 1]


def test_densities_of_groups_of_any_size_have_one_area():
    frame = pd.DataFrame({"v": np.random.default_rng(2).exponential(size=900), "g": ["a"] * 100 + ["b"] * 800})
    found = counted(frame, by="g", log=True)
    for group in "ab":
        assert (found.density(group) * np.diff(found.edges)).sum() == pytest.approx(1)


def test_what_is_not_finished_finite_or_positive_is_not_counted_but_told():
    frame = pd.DataFrame({"v": [1.0, 2.0, np.nan, np.inf, -1.0, 3.0], "state": ["done"] * 5 + ["diverged"]})
    found = counted(frame, log=True)
    assert (found.size, found.unplaced, found.totals.diverged, found.totals.valueless) == (2, 1, 1, 2)
    with pytest.raises(AnalysisError, match="no value of `v` is finite"):
        counted(frame[frame.v.isna()])


def test_equal_values_make_one_bar():
    found = counted(pd.DataFrame({"v": [2.5] * 4}))
    assert found.counts[None].tolist() == [4]
    assert found.edges.mean() == pytest.approx(2.5)


def test_a_curve_counts_at_all_of_its_steps(spectral: Path, tmp_path: Path):
    command(str(spectral), value="mse_keep", by="layer", density=True, log_value=True, output=[tmp_path / "h.png"])
    told = Image.open(tmp_path / "h.png").text
    points = load(spectral, curve="mse_keep").dropna(subset=["mse_keep"])
    assert told["Description"].startswith(f"{number(len(points))} values of 24 trials at all `nodes_kept`;")
    assert json.loads(told["Source"])["counts"]["diverged"] == 1


def test_outlines_are_the_counts(few_samples: Path):
    axes = drawn(load(few_samples), value="test_accuracy", by="method", bins=6)
    shown = [patch.get_data().values for patch in axes.patches[1::2]]
    found = counted(load(few_samples), "test_accuracy", by="method", bins=6)
    np.testing.assert_array_equal(shown, [found.counts[m] for m in ("none", "kd", "at")])
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["none", "kd", "at"]
