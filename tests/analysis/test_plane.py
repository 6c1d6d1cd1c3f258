"""Where cells lie, what they lack, and where a level is crossed, against closed forms."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.data.cells import gather
from analysis.data.rows import Rows
from analysis.drawing.axis import Axis
from analysis.drawing.plane import Plane
from analysis.drawing.style import numbers
from analysis.errors import AnalysisError

numbers_lists = st.lists(st.integers(1, 10_000), min_size=1, max_size=30, unique=True).map(sorted)


def axis(values, log=False, name="x"):
    words = isinstance(values[0], str)
    return Axis(name, name, tuple(values), numeric=not words, log=log)


def frame(x, y, mean, **more):
    return pd.DataFrame({"x": x, "y": y, "_mean": mean, "_trials": 1, "_diverged": 0, "_failed": 0} | more)


@given(numbers_lists, st.booleans())
def test_every_value_lies_in_its_own_cell(values, log):
    along = axis([float(v) for v in values], log)
    edges = along.edges()
    assert len(edges) == len(values) + 1
    assert (edges[:-1] < along.centres()).all()
    assert (along.centres() < edges[1:]).all()


def test_cells_end_half_way_between_values():
    assert axis([20, 40, 100]).edges() == pytest.approx([10, 30, 70, 130])


def test_on_a_logarithmic_axis_half_way_is_the_geometric_mean():
    assert axis([1, 4, 100], log=True).edges() == pytest.approx([0.5, 2, 20, 500])


def test_categories_have_equal_cells():
    assert axis(["relu", "erf"]).edges() == pytest.approx([-0.5, 0.5, 1.5])


def test_a_cell_is_missing_or_lost_or_thinned():
    cells = frame([1, 2, 2], [1, 1, 2], [0.5, np.nan, 0.7], _diverged=[0, 2, 0], _failed=[0, 0, 1])
    plane = Plane.of(cells, axis([1, 2]), axis([1, 2], name="y"))
    np.testing.assert_array_equal(plane.mean, [[0.5, np.nan], [np.nan, 0.7]])
    assert plane.missing.tolist() == [[False, False], [True, False]]
    assert plane.lost().tolist() == [[False, True], [False, False]]
    assert plane.thinned.tolist() == [[False, False], [False, True]]
    np.testing.assert_array_equal(plane.boxes(plane.missing), [[[0.5, 1.5], [1.5, 1.5], [1.5, 2.5], [0.5, 2.5]]])


@pytest.mark.parametrize("flipped", [False, True])
def test_a_curve_fills_its_own_steps_and_nothing_is_missing_beyond_them(flipped):
    """Column 1 has steps 0 and 4, column 2 steps 2 and 3: between their own steps the nearest value stands."""
    cells = frame([1, 1, 2, 2], [0, 4, 2, 3], [10.0, 14.0, 22.0, 23.0])
    steps = axis([0, 2, 3, 4], name="y")
    if flipped:
        plane = Plane.of(cells, steps, axis([1, 2]), step="y")
        mean, beyond = plane.mean.T, plane.beyond.T
    else:
        plane = Plane.of(cells, axis([1, 2]), steps, step="y")
        mean, beyond = plane.mean, plane.beyond
    np.testing.assert_array_equal(mean[:, 0], [10, 10, 14, 14])
    np.testing.assert_array_equal(mean[:, 1], [np.nan, 22, 23, np.nan])
    assert beyond[:, 1].tolist() == [True, False, False, True]
    assert not plane.missing.any()


def test_a_group_without_any_curve_is_lost_at_all_steps():
    cells = frame([1, 1, 2], [0.0, 1.0, np.nan], [5.0, 6.0, np.nan], _diverged=[0, 0, 3])
    plane = Plane.of(cells, axis([1, 2]), axis([0, 1], name="y"), step="y")
    assert plane.lost().tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize("log", [False, True])
def test_the_boundary_of_a_power_law_is_a_straight_line(log):
    """mean = x / y (log: in logarithms) crosses 1 where x = y, on any spacing."""
    values = [1.0, 2.0, 5.0, 9.0, 20.0]
    x, y = axis(values, log), axis(values, log, "y")
    columns, rows = np.meshgrid(values, values)
    mean = columns / rows if log else 1 + columns - rows
    plane = Plane.of(frame(columns.ravel(), rows.ravel(), mean.ravel()), x, y)
    points = np.concatenate(plane.boundary(1.0, log))
    assert len(points) > 4
    np.testing.assert_allclose(points[:, 0], points[:, 1], rtol=1e-9)
    assert points.min() == pytest.approx(1)
    assert points.max() == pytest.approx(20)


def test_between_categories_the_boundary_runs_along_cells():
    cells = frame(["a", "b", "a", "b"], [1, 1, 2, 2], [0.0, 1.0, 1.0, 1.0])
    lines = Plane.of(cells, axis(["a", "b"]), axis([1, 2], name="y")).boundary(0.5)
    assert sorted(line.tolist() for line in lines) == [[[-0.5, 1.5], [0.5, 1.5]], [[0.5, 0.5], [0.5, 1.5]]]


def test_no_boundary_next_to_a_cell_without_a_mean():
    cells = frame(["a", "b"], [1, 1], [0.0, np.nan], _failed=[0, 1])
    assert Plane.of(cells, axis(["a", "b"]), axis([1], name="y")).boundary(0.5) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([20, 100, 1000], ["20", "100", "1000"]),
        ([0.05, 0.1, 0.25], ["0.05", "0.1", "0.25"]),
        ([1e-4, 1e-3], ["$10^{−4}$", "$10^{−3}$"]),
        ([5e-4, 2e-3], [r"$5\times10^{−4}$", r"$2\times10^{−3}$"]),
        ([-1.5, 0.0, 1.5], ["−1.5", "0", "1.5"]),
        ([1024, 2048], ["1024", "2048"]),
        ([1.00049, 1.0005], ["1.00049", "1.0005"]),
        ([0.1 + 0.2, -1e-17], ["0.3", "0"]),
    ],
)
def test_numbers_are_said_alike_and_apart(values, said):
    assert numbers(values) == said


def test_an_axis_refuses_what_it_cannot_show():
    frame = pd.DataFrame({"w": ["a", "b"], "z": [0, 1], "n": [None, None], "v": [1.0, 2.0]}).astype({"n": "float"})
    cells = gather(Rows.of(frame), ["w", "z"], "v")
    with pytest.raises(AnalysisError, match="words"):
        Axis.of(cells, "w", log=True)
    with pytest.raises(AnalysisError, match="z > 0"):
        Axis.of(cells, "z", log=True)
    with pytest.raises(AnalysisError, match="none of these trials"):
        Axis.of(gather(Rows.of(frame), ["n"], "v"), "n")
