"""Outcomes as regions, and lines of theory over phase diagrams, against what made the rows."""

from itertools import product
from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_hex
from PIL import Image

from analysis import load
from analysis.data.load import Results
from analysis.data.outcomes import outcomes
from analysis.data.rows import Rows
from analysis.drawing import style
from analysis.figures.phase import command, phase


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`end` is "above" where y > x, else "below", but one seed of cells on the line; `law`, `edge` foretell it."""
    trials = []
    for x, y, seed in product(range(1, 6), range(1, 7), range(3)):
        end = "above" if y > x or (y == x and seed == 0) else "below"
        trial = {"x": x, "y": y, "seed_init": seed, "end": end, "height": 1.0 * y - x, "edge": x + 0.5}
        trials.append(trial | {"law": "above" if y > x else "below", "gap": y - x + 0.25})
    trials += [{"x": x, "y": 0, "kind": "theory", "edge": 2.0 * x} for x in (1, 3, 5)]
    return example.write(
        tmp_path_factory.mktemp("r") / "regions",
        trials,
        parameters={"x": "", "y": ""},
        metrics={"end": "", "height": "", "edge": "", "law": "", "gap": ""},
    )


def lines_of(axes, colour):
    kinds = [c for c in axes.collections if isinstance(c, LineCollection)]
    return [c.get_segments() for c in kinds if to_hex(c.get_colors()[0]) == colour]


def test_a_cell_has_the_outcome_of_most_of_its_trials(regions: Path):
    found = outcomes(Results.open(regions).rows(), ["x", "y"], "end")
    wanted = load(regions).groupby(["x", "y"])["end"].agg(lambda ends: ends.mode()[0])
    shown = found.cells.frame.set_index(["x", "y"])["_mean"].map(dict(enumerate(found.categories)))
    assert shown.sort_index().tolist() == wanted.sort_index().tolist()
    assert found.categories == ("above", "below")
    assert found.divided() == 5
    assert (found.cells.frame["_n"] == 3).all()


def test_of_equally_frequent_outcomes_the_first_is_taken():
    frame = pd.DataFrame({"x": [1, 1, 2], "o": ["b", "a", "b"], "seed_init": [0, 1, 0]})
    found = outcomes(Rows.of(frame), ["x"], "o").cells.frame
    assert found[["_mean", "_share"]].to_numpy().tolist() == [[0, 0.5], [1, 1]]


def test_trials_without_an_outcome_are_counted_as_such():
    frame = pd.DataFrame({"x": [1, 1, 2], "o": ["b", None, "b"], "state": ["done", "done", "diverged"]})
    cells = outcomes(Rows.of(frame), ["x"], "o").cells
    assert (cells.totals.valueless, cells.totals.diverged) == (1, 1)
    assert cells.frame["_n"].tolist() == [1, 0]


def test_regions_have_the_colours_of_the_legend_and_disagreement_a_mark(regions: Path):
    axes = phase(load(regions), x="x", y="y", value="end")
    [mesh] = [c for c in axes.collections if isinstance(c, QuadMesh)]
    assert np.asarray(mesh.get_array())[5, 0] == 0
    assert np.asarray(mesh.get_array())[0, 4] == 1
    legend = axes.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["above", "below", "seeds disagree"]
    colours = [to_hex(patch.get_facecolor()) for patch in legend.get_patches()]
    assert [to_hex(mesh.to_rgba(place)) for place in (0, 1)] == colours
    [dots] = [line for line in axes.lines if line.get_marker() == "o"]
    assert dots.get_xydata().tolist() == [[i, i] for i in range(1, 6)]


def test_outcomes_are_told_without_an_interval(regions: Path, tmp_path: Path):
    command(str(regions), x="x", y="y", value="end", theory="law", output=[tmp_path / "p.png"])
    said = Image.open(tmp_path / "p.png").text["Description"]
    assert "Colour: the outcome of most trials of a cell; in 5 of 30 cells they disagree." in said


def test_predicted_outcomes_meet_along_the_borders_of_cells(regions: Path):
    [lines] = lines_of(phase(load(regions), x="x", y="y", value="end", theory="law"), style.INK)
    borders = {(tuple(a), tuple(b)) for a, b in lines}
    assert ((0.5, 1.5), (1.5, 1.5)) in borders
    assert len(borders) == 5 + 4


def test_a_predicted_value_crosses_the_threshold_where_the_law_says(regions: Path):
    axes = phase(load(regions), x="x", y="y", value="height", threshold=0.5, theory="gap")
    [[theory]], [[measured]] = lines_of(axes, style.THEORY), lines_of(axes, style.INK)
    np.testing.assert_allclose(measured[:, 1] - measured[:, 0], 0.5)
    np.testing.assert_allclose(theory[:, 1] - theory[:, 0], 0.25)


def test_a_column_that_predicts_y_is_a_line_over_x(regions: Path):
    [[line]] = lines_of(phase(load(regions), x="x", y="y", value="end", line=["edge"]), style.INK)
    np.testing.assert_allclose(line, [(x, x + 0.5) for x in range(1, 6)])


def test_the_verb_takes_a_line_from_rows_of_theory(regions: Path, tmp_path: Path):
    command(str(regions), x="x", y="y", value="height", threshold=0.0, line=["edge"], output=[tmp_path / "p.png"])
    rows = Results.open(regions).theory("edge", ["x"])
    assert rows.sql("SELECT x, edge FROM rows ORDER BY x").to_numpy().tolist() == [[1, 2], [3, 6], [5, 10]]
    assert (tmp_path / "p.png").stat().st_size > 10_000
