"""Values between scattered points, against fields that are known everywhere."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from analysis.data.cells import gather
from analysis.data.rows import Rows
from analysis.drawing.axis import Axis
from analysis.drawing.plane import Plane
from analysis.drawing.surface import Surface
from analysis.errors import AnalysisError
from analysis.figures.phase import phase
from analysis.statistics.boundary import Grid, Heights

pytestmark = pytest.mark.usefixtures("no_window")

COARSE = [(x, y) for x in (0.0, 1.0, 2.0, 3.0) for y in (1.0, 4.0, 16.0, 64.0)]
REFINED = sorted(
    {*COARSE, *((x, 2.0**k) for x in np.arange(0, 3.1, 0.25) for k in np.arange(0, 6.1, 0.5) if abs(k - 2 * x) < 0.6)}
)


def field(x, y):
    """Zero where y = 4^x, and linear in x and log₂ y."""
    return np.log2(y) - 2 * x


def table(points=REFINED, seeds=3):
    rows = [{"x": x, "y": y, "v": field(x, y), "seed_init": s} for x, y in points for s in range(seeds)]
    return pd.DataFrame(rows)


def surface(frame):
    cells = gather(Rows.of(frame), ["x", "y"], "v")
    return Surface.of(Plane.of(cells.frame, Axis.of(cells, "x"), Axis.of(cells, "y", log=True)), scattered=True)


def colours(axes):
    [mesh] = [c for c in axes.collections if isinstance(c, QuadMesh)]
    corners = np.asarray(mesh.get_coordinates())
    shown = np.ma.filled(mesh.get_array().astype(float), np.nan).reshape(corners.shape[0] - 1, -1)
    x, y = ((corners[1:, 1:, i] * corners[:-1, :-1, i]) ** 0.5 if i else corners[1:, 1:, i] for i in (0, 1))
    return (x + corners[:-1, :-1, 0]) / 2, y, shown


def test_a_linear_field_is_shown_exactly_between_its_points():
    x, y, shown = colours(phase(table(), x="x", y="y", value="v", log_y=True))
    assert np.isfinite(shown).all()
    np.testing.assert_allclose(shown, field(x, y), atol=1e-9)


def test_its_crossing_is_the_straight_line_of_the_law():
    points = np.concatenate(surface(table()).boundary(0.0))
    assert len(points) > 20
    np.testing.assert_allclose(field(*points.T), 0, atol=1e-9)
    assert (points[:, 0].min(), points[:, 0].max()) == pytest.approx((0, 3))


def test_of_a_power_law_the_logarithm_is_linear():
    frame = table().assign(v=lambda t: 2 ** t["v"])
    points = np.concatenate(surface(frame).boundary(1.0, log=True))
    np.testing.assert_allclose(field(*points.T), 0, atol=1e-9)
    x, y, shown = colours(phase(frame, x="x", y="y", value="v", log_y=True, log_value=True))
    np.testing.assert_allclose(np.log2(shown), field(x, y), atol=1e-9)


def test_the_boundary_of_a_refined_grid_passes_over_places_that_were_never_run():
    cells = gather(Rows.of(table()), ["x", "y"], "v")
    sides = (Grid(n, np.array(cells.values(n)), n == "y") for n in "xy")
    found = Heights.of(cells, *sides, 0.0, between=True).boundary()
    assert len(found) > 8
    np.testing.assert_allclose(field(found["x"], found["y"]), 0, atol=1e-9)
    np.testing.assert_allclose(found["low"], found["high"])


def test_around_a_point_without_a_mean_nothing_is_shown():
    frame = table().assign(state="done")
    frame.loc[(frame.x == 1) & (frame.y == 4), "state"] = "failed"
    axes = phase(frame, x="x", y="y", value="v", log_y=True)
    x, y, shown = colours(axes)
    near = np.abs(x - 1) / 3 + np.abs(np.log2(y) - 2) / 6 < 0.01
    assert near.any()
    assert np.isnan(shown[near]).all()
    assert np.isfinite(shown).mean() > 0.9
    assert "failed" in [text.get_text() for text in axes.figure.legends[0].get_texts()]


def test_an_outcome_is_that_of_the_nearest_point():
    frame = table().assign(v=lambda t: np.where(t["x"] < 1.1, "left", "right"))
    x, y, shown = colours(phase(frame, x="x", y="y", value="v", log_y=True))
    even = np.column_stack([frame["x"] / 3, np.log2(frame["y"]) / 6])
    places = np.stack([x / 3, np.log2(y) / 6], axis=-1)[::17, ::17]
    distance = np.linalg.norm(places[:, :, None] - even, axis=-1)
    left = (frame["v"] == "left").to_numpy()
    nearer = distance[:, :, ~left].min(axis=-1) - distance[:, :, left].min(axis=-1)
    clear = np.abs(nearer) > 1e-6
    assert (shown[::17, ::17][clear] == (nearer < 0)[clear]).all()


def test_what_was_not_asked_for_is_a_surface_only_where_most_of_a_grid_was_never_run():
    def pixels(points, **options):
        return colours(phase(table(points, 1), x="x", y="y", value="v", log_y=True, **options))[2].shape

    assert pixels(COARSE) == (4, 4)
    assert pixels(REFINED)[0] > 100
    assert pixels(COARSE, shading="continuous")[0] > 100
    assert pixels(REFINED, shading="tiles") == (len({y for _, y in REFINED}), len({x for x, _ in REFINED}))


def test_on_a_grid_a_place_that_was_never_run_is_a_hole():
    shown = colours(phase(table(COARSE[:-1], 1), x="x", y="y", value="v", log_y=True, shading="continuous"))[2]
    assert np.isnan(shown[-1, -1])
    assert np.isfinite(shown[0, 0])


@pytest.mark.parametrize("place", range(len(COARSE)))
def test_a_place_of_a_grid_without_a_mean_takes_half_of_each_square_around_it(place):
    frame = table([point for point in COARSE if point != COARSE[place]], 1)
    shown = colours(phase(frame, x="x", y="y", value="v", log_y=True, shading="continuous"))[2]
    squares = np.prod([1 if side in (0, 3) else 2 for side in divmod(place, 4)])
    assert np.isnan(shown).mean() == pytest.approx(squares / 2 / 9, abs=0.01)


@pytest.mark.parametrize("frame", [table(COARSE).assign(x="word"), table([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)])])
def test_words_and_points_on_one_line_make_no_surface(frame):
    with pytest.raises(AnalysisError, match="continuous needs two axes of numbers"):
        phase(frame, x="x", y="y", value="v", shading="continuous", ax=Figure().subplots())
    assert phase(frame, x="x", y="y", value="v", ax=Figure().subplots()).has_data()


@pytest.mark.parametrize("value", ["v", "outcome"])
@pytest.mark.parametrize("shading", ["tiles", "continuous"])
def test_cells_of_less_than_half_of_the_seeds_are_marked(shading, value):
    frame = table(COARSE, 5).assign(outcome=lambda t: np.where(t["v"] > 0, "above", "below"))
    for x, seeds in ((0.0, 1), (1.0, 2), (2.0, 3)):
        frame = frame[(frame.x != x) | (frame.y > 1) | (frame.seed_init < seeds)]
    axes = phase(frame, x="x", y="y", value=value, log_y=True, shading=shading)
    [rings] = [line for line in axes.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    assert sorted(rings.get_xydata()[:, 0]) == pytest.approx([0, 1])
    assert "few seeds" in [text.get_text() for text in axes.figure.legends[0].get_texts()]


def test_fewer_trials_of_an_outcome_are_not_fewer_seeds():
    """One place was run with three learning rates, by as many seeds as the others with one."""
    frame = table(COARSE, 2).assign(outcome="same", lr=0.1)
    more = [frame[(frame.x == 1) & (frame.y == 4)].assign(lr=lr) for lr in (0.2, 0.3)]
    axes = phase(pd.concat([frame, *more]), x="x", y="y", value="outcome", log_y=True)
    assert not [line for line in axes.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
