"""Where a mean crosses a level, against the law that made the cells."""

from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from matplotlib.contour import QuadContourSet

from analysis import load
from analysis.data.cells import gather
from analysis.data.rows import Rows
from analysis.figures.phase import command, phase
from analysis.statistics.boundary import FEWEST, Grid, Heights, resampled
from analysis.statistics.intervals import half_width

X, Y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def ramp(sd=0.3, seeds=12, seed=0):
    """`v` = log₂ y − x + e with one e for each seed, so that y = 2^x is where the mean crosses zero, ± sd / √seeds."""
    rng, rows = np.random.default_rng(seed), []
    for s, shift in enumerate(sd * rng.normal(size=seeds)):
        rows += [{"x": x, "y": y, "v": np.log2(y) - x + shift, "seed_init": s} for x in X for y in Y]
    return pd.DataFrame(rows)


def found(frame, level=0.0, **options):
    cells = gather(Rows.of(frame), ["x", "y"], "v")
    x, y = (Grid(name, np.array(cells.values(name)), name == "y") for name in "xy")
    return Heights.of(cells, x, y, level, **options).boundary()


def drawn(field, noise, seeds, rng):
    """The boundary of a field on [−1, 1]² measured with noise that every cell and seed has of its own."""
    size = len(field)
    values = field + noise * rng.normal(size=(seeds, size, size))
    planes = resampled(values, half_width(seeds, values.std(axis=0, ddof=1)))
    x, y = (Grid(name, np.linspace(-1, 1, size), False) for name in "xy")
    return Heights(x, y, values.mean(axis=0), planes, np.ones((size, size), dtype=bool)).boundary()


def test_a_crossing_is_interpolated_and_none_lies_next_to_what_is_unknown():
    height = np.array([[-1.0, 1.0, 0.0], [1.0, np.nan, 0.0], [-1.0, -1.0, 0.0]])
    sides = Grid("x", np.arange(3.0), False), Grid("y", np.array([0.0, 10.0, 20.0]), False)
    table = Heights(*sides, height - 0.5, np.empty((0, 3, 3)), np.ones((3, 3), dtype=bool)).boundary()
    assert table[["x", "y"]].to_numpy().tolist() == [[0, 7.5], [0, 12.5]]
    assert table[["low", "high", "share"]].isna().all(axis=None)


def test_the_boundary_of_a_ramp_is_its_law():
    table = found(ramp(sd=0.0))
    assert set(table["along"]) == {"y"}
    np.testing.assert_allclose(table["y"], 2.0 ** table["x"])
    np.testing.assert_allclose(table[["low", "high"]], table[["y", "y"]])


def test_bounds_are_those_of_the_seeds_mean():
    """All cells share a seed's shift: in log₂ y the boundary moves by the mean shift, and its interval is Student's."""
    frame = ramp(seeds=20)
    table = found(frame)
    shift = frame[(frame.x == 1) & (frame.y == 1)]["v"]
    np.testing.assert_allclose(np.log2(table["high"] / table["low"]) / 2, half_width(20, shift.std()), rtol=0.1)
    assert (table["share"] == 1).all()


@pytest.mark.parametrize("seeds", [3, 8])
def test_nineteen_of_twenty_intervals_hold_the_true_boundary(seeds):
    """The field is x + y, so that the boundary is y = −x."""
    side, rng = np.linspace(-1, 1, 9), np.random.default_rng(seeds)
    tables = pd.concat([drawn(side + side[:, None], 0.15, seeds, rng) for _ in range(50)])
    upright = tables["along"] == "y"
    other, crossed = tables["x"].where(upright, tables["y"]), -tables["x"].where(upright, tables["y"])
    inner = other.abs() < 0.8
    held = ~(tables["low"] > crossed) & ~(tables["high"] < crossed)
    assert inner.sum() > 300
    assert 0.92 < held[inner].mean() < 0.98


def test_a_loop_crosses_each_column_twice_and_both_crossings_have_bounds():
    side = np.linspace(-1, 1, 21)
    table = drawn(np.hypot(side, 2 * side[:, None]) - 0.7, 0.02, 6, np.random.default_rng(0))
    assert set(table["along"]) == {"y"}
    np.testing.assert_allclose(np.hypot(table["x"], 2 * table["y"]), 0.7, atol=0.05)
    middle = table[table["x"].abs() < 0.55]
    assert (middle.groupby("x").size() == 2).all()
    assert ((middle["low"] < middle["y"]) & (middle["y"] < middle["high"])).all()


def test_a_side_that_is_open_up_to_the_edge_has_no_bound_there():
    """The line lies on the last row but one, and one seed in three would have it beyond the last."""
    frame = ramp(sd=0.0, seeds=6).assign(v=lambda t: np.log2(t["y"]) - 3.5 + 0.6 * (t["seed_init"] % 3 - 1))
    table = found(frame)
    assert table["high"].isna().all()
    assert (table["low"] < table["y"]).all()


def test_a_place_of_few_seeds_gives_no_bounds_and_no_share_beside_it():
    frame = ramp()
    table = found(frame[(frame.x != 2) | (frame.y != 4) | (frame.seed_init < FEWEST - 1)])
    unknown = table.set_index("x")[["low", "high", "share"]].isna()
    assert unknown.all(axis=1).tolist() == unknown.any(axis=1).tolist() == [False, True, False]


def test_a_vertical_boundary_is_followed_along_x():
    table = found(ramp(sd=0.0).assign(v=lambda t: t.x - 1.5))
    assert set(table["along"]) == {"x"}
    np.testing.assert_allclose(table[["x", "y"]], [(1.5, y) for y in Y])


def test_too_many_cells_to_resample_have_a_boundary_without_bounds(monkeypatch):
    whole = found(ramp())
    monkeypatch.setattr("analysis.statistics.boundary.MOST_RESAMPLED", 14)
    table = found(ramp())
    np.testing.assert_allclose(table[["x", "y"]], whole[["x", "y"]])
    assert table[["low", "high", "share"]].isna().all(axis=None)


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


@pytest.mark.parametrize("shading", ["tiles", "continuous"])
def test_the_band_ends_at_the_bounds_of_the_line(folder: Path, shading):
    frame = load(folder, "half = 'a'")
    axes = phase(frame, x="x", y="y", value="v", log_y=True, threshold=0.0, shading=shading)
    band = next(c for c in axes.collections if isinstance(c, QuadContourSet))
    corners = np.concatenate([path.vertices for path in band.get_paths()])
    bounds = found(frame)
    own = corners[np.isclose(corners[:, 0], 2.0), 1]
    assert (own.min(), own.max()) == pytest.approx(bounds[bounds["x"] == 2][["low", "high"]].to_numpy()[0], rel=0.03)
