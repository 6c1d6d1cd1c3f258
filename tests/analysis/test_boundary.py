"""Where a mean crosses a level, against the law that made the cells."""

from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Polygon

from analysis import load
from analysis.data.cells import gather
from analysis.data.rows import Rows
from analysis.figures.phase import command, phase
from analysis.statistics.boundary import Grid, boundary, crossings

X, Y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def ramp(sd=0.3, seeds=12, seed=0):
    """`v` = log₂ y − x + e with one e for each seed, so that y = 2^x is where the mean crosses zero, ± sd / √seeds."""
    rng, rows = np.random.default_rng(seed), []
    for s, shift in enumerate(sd * rng.normal(size=seeds)):
        rows += [{"x": x, "y": y, "v": np.log2(y) - x + shift, "seed_init": s} for x in X for y in Y]
    return pd.DataFrame(rows)


def found(frame, **options):
    return boundary(gather(Rows.of(frame), ["x", "y"], "v"), Grid("x", X, False), Grid("y", Y, True), 0.0, **options)


def test_crossings_are_interpolated_and_the_first_is_taken():
    height = np.array([[-1.0, 1.0, 0.0], [1.0, np.nan, 0.0], [-1.0, -1.0, 0.0]])
    np.testing.assert_allclose(crossings(height, np.array([0.0, 10.0, 20.0]), 0.5), [7.5, np.nan, np.nan])


def test_the_boundary_of_a_ramp_is_its_law():
    table = found(ramp(sd=0.0))
    assert set(table["along"]) == {"y"}
    np.testing.assert_allclose(table["y"], 2.0 ** table["x"])
    np.testing.assert_allclose(table["low"], table["y"])


def test_bounds_are_those_of_the_seeds_mean():
    """All cells share a seed's shift: in log₂ y the boundary moves by the mean shift, whose error is sd / √n."""
    frame = ramp(seeds=20)
    table = found(frame)
    error = frame[(frame.x == 1) & (frame.y == 1)]["v"].std() / np.sqrt(20)
    half = np.log2(table["high"] / table["low"]) / 2
    np.testing.assert_allclose(half, 1.96 * error, rtol=0.2)
    assert (table["share"] == 1).all()


def test_a_vertical_boundary_is_followed_along_x():
    frame = ramp(sd=0.0).assign(v=lambda t: t.x - 1.5)
    table = found(frame)
    assert set(table["along"]) == {"x"}
    np.testing.assert_allclose(table[["x", "y"]], [(1.5, y) for y in Y])


def test_two_seeds_have_no_bounds():
    assert found(ramp(seeds=2))["low"].isna().all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [t | {"half": h} for h in ("a", "b") for t in ramp().to_dict("records")]
    place = tmp_path_factory.mktemp("r") / "ramp"
    return example.write(place, rows, parameters={"x": "", "y": "", "half": ""}, metrics={"v": ""})


def test_the_verb_writes_points_of_every_panel(folder: Path, tmp_path: Path):
    outputs = [tmp_path / "p.png", tmp_path / "p.csv"]
    command(str(folder), x="x", y="y", value="v", by="half", log_y=True, threshold=0.0, output=outputs)
    table = pd.read_csv(outputs[1], comment="#")
    assert table.groupby("half")["x"].apply(list).to_dict() == {"a": [1, 2, 3], "b": [1, 2, 3]}
    assert ((table["low"] < table["y"]) & (table["y"] < table["high"])).all()


def test_the_band_encloses_the_line(folder: Path):
    axes = phase(load(folder, "half = 'a'"), x="x", y="y", value="v", log_y=True, threshold=0.0)
    [band] = [patch for patch in axes.patches if isinstance(patch, Polygon)]
    corners = band.get_xy()
    for x in X:
        low, high = sorted(set(corners[corners[:, 0] == x, 1]))[:2]
        shift = load(folder, "half = 'a'").query("x == 1 and y == 1")["v"].mean() + 1
        assert low < 2 ** (x - shift) < high
