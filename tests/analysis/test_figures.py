"""What figures show, read back from the axes, and what their files carry."""

import inspect
import json
import warnings
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import duckdb
import example_results as example
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from PIL import Image

from analysis import figures, load
from analysis.data.cells import gather
from analysis.data.load import Results
from analysis.data.rows import Rows
from analysis.data.tally import Totals
from analysis.drawing import style
from analysis.drawing.axis import Axis
from analysis.drawing.diagram import Diagram, View
from analysis.drawing.series import Series
from analysis.errors import AnalysisError
from analysis.figures.curves import command as curves_command
from analysis.figures.curves import curves
from analysis.figures.lines import lines
from analysis.figures.phase import command as phase_command
from analysis.figures.phase import phase
from analysis.statistics.intervals import half_width
from analysis.writing.provenance import Told, provenance

pytestmark = pytest.mark.usefixtures("no_window")

PHASE = {"x": "student_width", "y": "second", "value": "test_mse", "log_y": True, "log_value": True}


def only(axes, kind):
    [found] = [c for c in axes.collections if isinstance(c, kind)]
    return found


def page(folder, where=None, **view):
    """The figure of a phase diagram as it is saved, drawn."""
    rows = Results.open(folder).rows_for(view["value"], [view["x"], view["y"], view.get("by")], where)
    with style.paper():
        figure = Diagram.of(rows, View(**view)).page()
        FigureCanvasAgg(figure).draw()
    return figure


@pytest.mark.parametrize("name", figures.names())
def test_a_figure_file_has_a_verb_and_a_function_of_its_name(name):
    module = figures.find(name)
    drawn = inspect.signature(getattr(module, name)).parameters
    asked = inspect.signature(module.command).parameters
    assert module.__doc__
    returns = inspect.signature(getattr(module, name)).return_annotation
    assert returns == "Table" or (returns == "Axes" and drawn["ax"].default is None)
    assert {"results", "where", "output"} <= set(asked)
    assert set(drawn) - {"data", "ax"} <= set(asked)


def test_every_cell_shows_the_mean_of_its_trials(plane: Path):
    trials = load(plane)
    wanted = trials.pivot_table(index="second", columns="student_width", values="test_mse", dropna=False)
    mesh = only(phase(trials, **PHASE), QuadMesh)
    shown = np.ma.filled(mesh.get_array(), np.nan)
    np.testing.assert_allclose(shown, wanted.reindex(index=[1e-4, 1e-3, 1e-2]).to_numpy(), rtol=1e-12)
    corners = np.asarray(mesh.get_coordinates())
    np.testing.assert_allclose(corners[0, :, 0], [10, 30, 50, 80, 125, 175, 225])
    np.testing.assert_allclose(corners[:, 0, 1], 10.0 ** np.array([-4.5, -3.5, -2.5, -1.5]))


def test_a_table_in_duckdb_or_pandas_makes_the_same_figure(plane: Path):
    trials = load(plane)
    first = only(phase(trials, **PHASE), QuadMesh)
    second = only(phase(duckdb.from_arrow(duckdb.from_df(trials).to_arrow_table()), **PHASE), QuadMesh)
    np.testing.assert_allclose(first.get_array().filled(0), second.get_array().filled(0), rtol=1e-12)


def test_a_figure_is_drawn_on_the_axes_that_it_is_given(plane: Path, spectral: Path):
    mine = Figure().subplots()
    assert phase(load(plane), ax=mine, **PHASE) is mine
    assert mine.get_xlabel() == "student width (nodes)"
    assert mine.figure.axes[-1].get_ylabel() == "test MSE (target$^{2}$)"
    assert (mine.get_xscale(), mine.get_yscale()) == ("linear", "log")
    assert mine.get_legend().get_texts()[0].get_text() == "no trial"
    other = Figure().subplots()
    points = load(spectral, curve="alive_nodes")
    assert curves(points, value="alive_nodes", by="layer", ax=other) is other
    assert [text.get_text() for text in other.get_legend().get_texts()] == ["spectral", "direct"]


def test_lost_and_missing_cells_are_hatched_and_explained(plane: Path):
    axes = phase(load(plane), threshold=0.1, **PHASE)
    hatched = {c.get_hatch(): len(c.get_paths()) for c in axes.collections if isinstance(c, PolyCollection)}
    assert hatched == {"/////": 1, "xxxxx": 1, ".....": 1}
    [crosses] = [line for line in axes.lines if line.get_marker() == "x"]
    assert crosses.get_xydata().tolist() == [[20, 0.01]]
    said = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert set(said) == {"test MSE = 0.1", "no trial", "diverged", "failed", "some diverged or failed"}


def test_a_figure_without_lost_trials_has_no_legend(spectral: Path):
    axes = phase(load(spectral, where="layer = 'spectral'"), x="student_width", y="seed_init", value="test_mse")
    assert not axes.figure.legends


def test_the_threshold_lies_between_the_cells_that_it_divides(plane: Path):
    axes = phase(load(plane), threshold=0.1, **PHASE)
    cells = gather(Results.open(plane).rows(), ["student_width", "second"], "test_mse").frame
    row = cells[(cells.second == 1e-3) & (cells._n > 0)].sort_values("student_width")
    above = row[row["_mean"] > 0.1]["student_width"].max()
    below = row[row["_mean"] < 0.1]["student_width"].min()
    lines = [c for c in axes.collections if isinstance(c, LineCollection)][-1].get_segments()
    [crossing] = [x for line in lines for x, y in line if y == pytest.approx(1e-3)]
    assert above < crossing < below


def test_a_threshold_that_is_nowhere_crossed_is_said_so(plane: Path):
    axes = phase(load(plane), threshold=1e9, **PHASE)
    assert axes.figure.legends[0].get_texts()[0].get_text() == "test MSE = 1e+09 (never crossed)"


def test_panels_share_colours_and_stand_in_the_order_of_the_sweep(panels: Path):
    figure = page(panels, x="student_width", y="second", value="test_mse", by="panel", log_value=True)
    shown = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in shown] == ["panel: b", "panel: a"]
    assert len({only(axes, QuadMesh).get_clim() for axes in shown}) == 1
    downwards = sorted(shown[0].get_yticklabels(), key=lambda text: -text.get_window_extent().y0)
    assert [text.get_text() for text in downwards] == ["relu", "erf", "tanh"]
    assert not any(text.get_text() for text in shown[1].get_yticklabels())


@pytest.mark.parametrize("step", ["step", "nodes_kept"])
def test_a_curve_is_a_value_over_its_step_by_either_name(spectral: Path, step):
    figure = page(spectral, x="student_width", y=step, value="mse_keep", where="layer = 'spectral'")
    mesh = only(figure.axes[0], QuadMesh)
    shown = np.ma.filled(mesh.get_array(), np.nan)
    points = load(spectral, where="layer = 'spectral'", curve="mse_keep")
    wanted = points.pivot_table(index="nodes_kept", columns="student_width", values="mse_keep")
    assert figure.axes[0].get_ylabel() == step.replace("_", " ")
    assert figure.axes[-1].get_ylabel() == "MSE keep (target$^{2}$)"
    np.testing.assert_allclose(shown, wanted, rtol=1e-12)
    assert not any(isinstance(c, PolyCollection) for c in figure.axes[0].collections), (
        "beyond a curve nothing is missing"
    )


def test_a_trial_lost_to_a_curve_is_marked_once(spectral: Path):
    axes = phase(load(spectral, "layer = 'direct'", "mse_keep"), x="student_width", y="nodes_kept", value="mse_keep")
    [crosses] = [line for line in axes.lines if line.get_marker() == "x"]
    assert crosses.get_xdata().tolist() == [100]


def test_a_metric_that_is_also_a_curve_is_a_curve_where_its_step_is_an_axis(spectral: Path):
    results = Results.open(spectral)
    assert results.rows_for("alive_nodes", ["student_width", "layer"]).step is None
    assert results.rows_for("alive_nodes", ["student_width", "step"]).step == "step"


def test_curves_show_mean_and_interval(spectral: Path):
    points = load(spectral, where="layer = 'spectral'", curve="alive_nodes")
    axes = curves(points, value="alive_nodes", by="student_width")
    found = points[points.student_width == 60].groupby("step")["alive_nodes"].agg(["mean", "std"])
    [line] = [line for line in axes.lines if line.get_label() == "60"]
    np.testing.assert_allclose(line.get_xydata(), np.column_stack([found.index, found["mean"]]), rtol=1e-12)
    band = axes.collections[2].get_paths()[0].vertices
    high = found["mean"] + half_width(3, found["std"])
    assert band[:, 1].max() == pytest.approx(high.max())
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["20", "40", "60", "100"]


def test_curves_on_logarithmic_scales_end_with_the_data(spectral: Path):
    points = load(spectral, where="layer = 'direct'", curve="mse_keep")
    axes = curves(points, value="mse_keep", by="student_width", log_x=True, log_value=True)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    means = np.concatenate([line.get_ydata() for line in axes.lines])
    assert 0.05 * means.min() < axes.get_ylim()[0] < means.min()


def test_too_many_lines_are_refused(spectral: Path):
    points = load(spectral, curve="mse_keep").rename(columns={"step": "s"})
    with pytest.raises(AnalysisError, match="100 values"):
        curves(points.assign(other=points.nodes_kept), value="mse_keep", by="other")


def overlaps(figure, side):
    """Pairs of labels of one side of the first panel that lie over each other, and how many there are."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [t for t in getattr(figure.axes[0], f"get_{side}ticklabels")() if t.get_text()]
    boxes = sorted((t.get_window_extent(renderer) for t in texts), key=lambda box: getattr(box, f"{side}0"))
    return [(a, b) for a, b in pairwise(boxes) if a.overlaps(b)], len(boxes)


@pytest.mark.parametrize("count", [3, 10, 30, 300])
@pytest.mark.parametrize("log", [False, True])
def test_tick_labels_never_overlap(tmp_path: Path, count, log):
    xs = sorted({round(x) for x in np.geomspace(10, 30_000, count)})
    ys = np.linspace(0.001, 1, min(count, 30)).tolist()
    folder = example.plane(tmp_path / "r", xs, ys, seeds=1)
    figure = page(folder, x="student_width", y="second", value="test_mse", log_x=log)
    for side in "xy":
        found, labels = overlaps(figure, side)
        assert not found
        assert labels >= 2


def test_long_names_of_categories_are_slanted_and_cut(tmp_path: Path):
    names = ["relu", "a name of some length", "tanh", "an activation that is called by far too long a name"]
    folder = example.plane(tmp_path / "r", [20, 40], names, seeds=2)
    figure = page(folder, x="second", y="student_width", value="test_mse")
    labels = figure.axes[0].get_xticklabels()
    assert [t.get_rotation() for t in labels] == [45] * 4
    assert labels[-1].get_text() == "an activation that is c…"


def test_names_that_differ_at_their_end_are_cut_in_the_middle():
    side = Axis("x", "x", tuple(f"a long name of activation {i}" for i in range(3)), numeric=False)
    assert side.names() == [f"a long name…activation {i}" for i in range(3)]
    assert max(map(len, side.names())) == 24


@pytest.mark.parametrize("width", ["one", "two"])
def test_titles_of_panels_stand_apart_however_long(tmp_path: Path, width):
    names = [f"a panel of a name that is long, number {i}" for i in range(5)]
    folder = example.plane(tmp_path / "r", [20, 40], [f"activation {i}" for i in range(3)], seeds=1, panels=names)
    rows = Results.open(folder).rows()
    with style.paper():
        figure = Diagram.of(rows, View("second", "student_width", "test_mse", "panel")).page(width)
        FigureCanvasAgg(figure).draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_labels_and_legends_take_their_room_from_the_page_not_from_the_panel():
    words = [f"a name of some length {i}" for i in range(8)]
    rows = [{"x": x, "g": g, "v": float(len(x) + len(g)), "seed_init": 0} for x in words for g in words]
    for page in (
        lines(pd.DataFrame(rows), x="x", value="v", by="g"),
        phase(pd.DataFrame(rows), x="x", y="g", value="v"),
    ):
        page.figure.draw_without_rendering()
        assert page.bbox.height / page.figure.dpi > 1.2


def test_a_legend_is_read_line_by_line():
    handles = [Line2D([], [], label=str(i)) for i in range(8)]
    look = style.in_lines(handles, 200)
    assert look["ncols"] == 4
    figure = Figure()
    legend = figure.legend(**look)
    FigureCanvasAgg(figure).draw()
    read = sorted(legend.get_texts(), key=lambda t: (-round(t.get_window_extent().y0), t.get_window_extent().x0))
    assert [text.get_text() for text in read] == [str(i) for i in range(8)]


def test_everything_drawn_lies_inside_the_page(panels: Path):
    figure = page(panels, x="student_width", y="second", value="test_mse", by="panel", threshold=0.1)
    with style.paper():
        style.footer(figure, "A footer of many words. " * 20)
        FigureCanvasAgg(figure).draw()
    box = figure.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.get_figwidth()
    assert box.y1 <= figure.get_figheight()
    footer = figure.texts[-1].get_window_extent()
    lowest = min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert footer.y1 < lowest, "the footer lies below everything"


@pytest.fixture(scope="module")
def files(plane: Path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    paths = [folder / name for name in ("phase.png", "phase.pdf")]
    phase_command(str(plane), threshold=0.1, output=paths, **PHASE)
    return folder


def test_a_png_has_the_width_of_a_column_and_is_not_blank(files: Path):
    pixels = imread(files / "phase.png")
    assert pixels.shape[1] == round(style.WIDTH["one"] * 300)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 100


def test_files_say_what_they_show_and_where_it_comes_from(files: Path, plane: Path):
    told = Image.open(files / "phase.png").text
    facts = json.loads(told["Source"])
    assert facts["asked"] == {**PHASE, "threshold": 0.1}
    assert facts["counts"] == {
        "trials": 68, "diverged": 5, "failed": 4, "valueless": 0, "placeless": 0, "missing_cells": 1,
    }  # fmt: skip
    assert facts["seeds_per_cell"] == [3, 4]
    assert facts["interval"] == {"kind": "t", "level": 0.95}
    assert facts["source"]["results"] == str(plane)
    assert facts["source"]["git_sha"] == ["0123456789abcdef0123456789abcdef01234567"]
    assert told["Description"].startswith("68 trials, n = 3 to 4 seeds a cell. 95 % t interval of a mean over seeds: ±")
    assert told["Description"].endswith("Source: plane, git 0123456, tsd 0.1.0, 2026-03-14.")
    pdf = (files / "phase.pdf").read_bytes()
    assert b"git 0123456" in pdf or b"g\000i\000t" in pdf or "git 0123456".encode("utf-16-be") in pdf


def test_the_same_results_make_the_same_bytes(files: Path, plane: Path, tmp_path: Path):
    paths = [tmp_path / name for name in ("phase.png", "phase.pdf")]
    phase_command(str(plane), threshold=0.1, output=paths, **PHASE)
    for path in paths:
        assert path.read_bytes() == (files / path.name).read_bytes()


def test_letters_that_no_font_has_are_told_once_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = example.plane(tmp_path / "r", [20, 40, 60], ["\ue000\ue001", "$x", "a$b$"], seeds=2)
    for name in ("f.png", "f.pdf"):
        phase_command(str(folder), x="student_width", y="second", value="test_mse", output=[tmp_path / name])
        assert (tmp_path / name).stat().st_size > 10_000
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "No font here has \ue000\ue001: boxes stand in their place."
    assert len(said) == 2, "the second figure says it no more"


def test_other_warnings_are_shown_while_a_figure_is_drawn():
    with pytest.warns(UserWarning, match="of its own"), style.paper():
        warnings.warn("of its own", stacklevel=1)


def test_large_counts_are_written_as_on_the_screen():
    counts = Totals(trials=10_000_000, diverged=12_480, failed=0, valueless=0, placeless=0)
    many = replace(gather(Rows.of(pd.DataFrame({"x": [1, 2], "v": [1.0, 2.0]})), ["x"], "v"), totals=counts)
    said = provenance(Told("lines", {}, ""), many, many.rows.source).text()
    assert said.startswith("10\u202f000\u202f000 trials, n = 1 seed a cell.")
    assert "Left out: 12\u202f480 diverged." in said
    assert style.wrapped(said, 60, style.FOOT)[0].startswith("10\u202f000\u202f000"), "a number is on one line"


def test_curves_are_published_too(spectral: Path, tmp_path: Path):
    curves_command(str(spectral), value="alive_nodes", by="layer", width="two", output=[tmp_path / "c.png"])
    image = Image.open(tmp_path / "c.png")
    facts = json.loads(image.text["Source"])
    assert image.width == 2100
    assert facts["averaged_over"] == ["student_width"]
    assert facts["seeds_per_cell"] == [2, 3]


def test_a_line_ends_with_the_shortest_of_the_curves_it_averages(tmp_path: Path):
    folder = example.two_lengths(tmp_path / "r")
    axes = curves(load(folder, curve="k"), value="k", by="layer")
    ends = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert (ends["flat"], ends["deep"]) == ([1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7, 8])
    curves_command(str(folder), value="k", by="layer", output=[tmp_path / "c.png"])
    said = Image.open(tmp_path / "c.png").text["Description"]
    assert "Averaged also over student_width, where a seed has them all, at the steps that they share." in said
    assert "Bands: 95 % t interval of the mean over seeds. Thin: single runs. None diverged" in said


def test_runs_that_a_mean_cannot_follow_are_drawn_thin(tmp_path: Path, monkeypatch):
    """Of layer `flat`, whose two widths have curves of 4 and 8 steps; not of `deep`, whose curves are all as long."""
    points = load(example.two_lengths(tmp_path / "r"), curve="k")
    runs = [line for line in curves(points, value="k", by="layer").lines if line.get_label() == "_run"]
    wanted = [own["k"].tolist() for _, own in points[points.layer == "flat"].groupby("trial_id")]
    assert sorted(run.get_ydata().tolist() for run in runs) == sorted(wanted)
    assert {len(run.get_xdata()) for run in runs} == {4, 8}
    monkeypatch.setattr("analysis.drawing.runs.MOST", 3)
    shown = Series.of(Rows.of(points), "k", "kept", by="layer", theory={})
    assert shown.told() == ["Thin: single runs, 3 of 4."]
    assert shown.runs.frame["x"].max() == shown.axis.values[-1] == 8


def test_a_mean_over_fewer_seeds_goes_on_dotted(tmp_path: Path):
    lengths = [(seed, step) for seed, end in enumerate((5, 5, 9)) for step in range(1, end + 1)]
    curve = [(seed, "k", step, float(step + seed)) for seed, step in lengths]
    trials = [{"x": 1, "seed_init": seed} for seed in range(3)]
    folder = example.write(tmp_path / "r", trials, parameters={"x": ""}, metrics={}, curves=curve)
    axes = curves(load(folder, curve="k"), value="k")
    [dotted] = [line for line in axes.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose(dotted.get_ydata(), [2, 3, 4, 5, 6, 8, 9, 10, 11])
    [solid] = [line for line in axes.lines if line.get_label() == "_"]
    assert np.isfinite(solid.get_ydata()).tolist() == [True] * 5 + [False] * 4


def test_a_phase_diagram_is_empty_beyond_the_shortest_of_the_curves_it_averages(tmp_path: Path):
    axes = page(example.two_lengths(tmp_path / "r"), x="layer", y="kept", value="k").axes[0]
    shown = np.ma.filled(only(axes, QuadMesh).get_array(), np.nan)
    layers = [text.get_text() for text in axes.get_xticklabels()]
    flat = [50.005 - n for n in range(1, 5)] + [np.nan] * 4
    np.testing.assert_allclose(shown[:, layers.index("flat")], flat)
    np.testing.assert_allclose(shown[:, layers.index("deep")], [100.005 - n for n in range(1, 9)])
    assert not any(isinstance(c, PolyCollection) for c in axes.collections)


def test_a_cell_whose_seeds_lack_different_settings_has_trials_but_no_mean():
    known = {name: {"role": "parameter"} for name in ("x", "y", "lr")}
    trials = pd.DataFrame({"x": [1, 1, 2, 2], "y": 0, "lr": [0.1, 0.2] * 2, "seed_init": [0, 1, 0, 0], "v": 1.0})
    trials.attrs["tsd"] = {"fields": known}
    axes = phase(trials, x="x", y="y", value="v")
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["no mean"]
    assert np.ma.getmaskarray(only(axes, QuadMesh).get_array()).tolist() == [[True, False]]


@pytest.mark.parametrize("draw", [lambda t: curves(t, value="k"), lambda t: phase(t, x="layer", y="kept", value="k")])
def test_nothing_to_draw_is_said(tmp_path: Path, draw):
    points = load(example.two_lengths(tmp_path / "r"), curve="k")
    with pytest.raises(AnalysisError, match="every trial failed or diverged"):
        draw(points.assign(state="failed", kept=np.nan))


def test_code_that_differs_from_its_commit_is_told(tmp_path: Path):
    trials = [{"x": x, "y": y, "v": 1.0 * x * y, "git_sha": sha * 8} for x, sha in enumerate("abc") for y in (1, 2)]
    folder = example.write(tmp_path / "r", trials, parameters={"x": "", "y": ""}, metrics={"v": ""})
    sweep = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(json.dumps(sweep | {"provenance": {"git_dirty": True}}))
    phase_command(str(folder), x="x", y="y", value="v", output=[tmp_path / "f.png"])
    told = Image.open(tmp_path / "f.png").text["Description"]
    assert "git aaaaaaa, bbbbbbb and 1 more with changes, tsd 0.1.0" in told
    assert "No interval: one seed says nothing of the spread." in told
