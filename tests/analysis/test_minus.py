"""A value minus that of its pair: against tables, closed forms and pairs that are missing."""

import re
from pathlib import Path

import example_results as example
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from PIL import Image

from analysis import load
from analysis.data.cells import gather
from analysis.data.minus import minus
from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.figures.phase import command, phase
from analysis.statistics.compare import compare
from analysis.statistics.intervals import half_width
from analysis.writing.verify import facts_of, verify

pytestmark = pytest.mark.usefixtures("no_window")

NONE = "method = 'none'"
GAP = {"x": "teacher_width", "y": "student_width", "value": "accuracy", "minus": NONE}


@pytest.fixture
def gap(tmp_path: Path) -> Path:
    """Whatever the seed says, an assistant is worth teacher − 2 student; `none` knows no assistant."""
    trials, rng = [], np.random.default_rng(0)
    for teacher in (1, 2, 4):
        for student in (1, 2):
            for seed, luck in enumerate(rng.normal(size=3).tolist()):
                trial = {"teacher_width": teacher, "student_width": student, "seed_init": seed}
                gain = teacher - 2 * student
                trials.append(trial | {"method": "none", "assistant": None, "accuracy": 60 + 9 * luck})
                trials += [
                    trial | {"method": "with", "assistant": a, "accuracy": 60 + 9 * luck + gain + more}
                    for a, more in (("s", 0.0), ("l", 0.5))
                ]
    parameters = dict.fromkeys(("teacher_width", "student_width", "method", "assistant"), "")
    return example.write(tmp_path / "gap", trials, parameters=parameters, metrics={"accuracy": "%"})


def test_a_difference_is_that_of_a_table_to_its_reference(few_samples: Path):
    trials = load(few_samples, where="method <> 'at'")
    axes = ("method", "samples_per_class")
    told = {"better": None, "interval": "t"}
    entries = compare(Rows.of(trials), axes, "test_accuracy", reference="none", **told).entries
    cells = gather(minus(Rows.of(trials), NONE, "test_accuracy", axes), axes, "Δ test_accuracy").frame
    for row in cells.to_dict("records"):
        wanted = entries[row["method"], row["samples_per_class"]].difference.interval
        assert row["_mean"] == pytest.approx(wanted.mean, rel=1e-9)
        assert half_width(row["_n"], row["_sd"]) == pytest.approx(wanted.half, rel=1e-9)
    assert len(cells) == 2


def test_what_a_seed_does_to_both_falls_out(gap: Path):
    rows = minus(Rows.of(load(gap, where="assistant is null or assistant = 's'")), NONE, "accuracy", ["teacher_width"])
    frame = rows.relation.to_df()
    np.testing.assert_allclose(frame["Δ accuracy"], frame["teacher_width"] - 2 * frame["student_width"], atol=1e-9)
    assert rows.unit("Δ accuracy") == "%"


def test_a_parameter_that_one_of_a_pair_lacks_parts_no_pair(gap: Path):
    rows = minus(Rows.of(load(gap)), NONE, "accuracy", ["teacher_width", "student_width", "assistant"])
    frame = gather(rows, ["assistant", "student_width", "teacher_width"], "Δ accuracy").frame
    assert len(frame) == 12
    wanted = frame["teacher_width"] - 2 * frame["student_width"] + 0.5 * (frame["assistant"] == "l")
    np.testing.assert_allclose(frame["_mean"], wanted, atol=1e-9)


def test_a_pair_shares_parameters_that_no_axis_shows():
    trials = [(m, lr, s, v) for m, v in (("none", 0.0), ("kd", 1.0)) for lr in (1, 2) for s in (0, 1)]
    frame = pd.DataFrame(trials, columns=["method", "lr", "seed_init", "v"]).assign(v=lambda f: f.v + 10 * f.lr)
    frame.attrs["tsd"] = {"fields": {n: {"role": "parameter"} for n in ("method", "lr")}}
    assert minus(Rows.of(frame), NONE, "v", ["seed_init"]).relation.to_df()["Δ v"].tolist() == [1.0] * 4
    alone = frame[(frame.method == "kd") | (frame.lr == 1)]
    alone.attrs = frame.attrs
    found = minus(Rows.of(alone), NONE, "v", ["seed_init"]).relation.to_df()
    assert found.set_index("lr")["Δ v"].isna().to_dict() == {1: False, 2: True}


def test_several_references_of_a_trial_are_averaged_and_lost_ones_are_not():
    frame = pd.DataFrame(
        [("none", 0, 1.0, "done"), ("NONE", 0, 3.0, "done"), ("none", 1, 9.0, "failed"),
         ("kd", 0, 5.0, "done"), ("kd", 1, 7.0, "done")],
        columns=["method", "seed_init", "v", "state"],
    )  # fmt: skip
    found = minus(Rows.of(frame), "lower(method) = 'none'", "v", ["method"]).relation.to_df()
    assert found.set_index("seed_init")["Δ v"].to_dict() == pytest.approx({0: 3.0, 1: np.nan}, nan_ok=True)


def test_differences_run_along_curves_step_by_step(spectral: Path):
    curve = load(spectral, curve="alive_nodes")
    rows = minus(Rows.of(curve), "layer = 'direct'", "alive_nodes", ["student_width", "step"])
    frame = rows.relation.to_df().dropna(subset=["Δ alive_nodes"])
    values = curve.set_index(["layer", "student_width", "seed_init", "step"])["alive_nodes"]
    keys = ["student_width", "seed_init", "step"]
    wanted = [values["spectral"][tuple(k)] - values["direct"][tuple(k)] for k in frame[keys].to_numpy()]
    np.testing.assert_allclose(frame["Δ alive_nodes"], wanted, atol=1e-9)
    assert len(frame) == (4 * 3 - 1) * 21, "one direct trial diverged"


def test_zero_is_the_middle_of_the_colours(gap: Path):
    axes = phase(load(gap, where="assistant is null or assistant = 's'"), **GAP)
    [mesh] = [c for c in axes.collections if isinstance(c, QuadMesh)]
    low, high = mesh.get_clim()
    assert (low, high) == pytest.approx((-3, 3))
    np.testing.assert_allclose(mesh.get_array(), [[-1, 0, 2], [-3, -2, 0]], atol=1e-9)
    assert mesh.get_cmap().name == "RdBu"
    assert axes.figure.axes[-1].get_ylabel() == "Δ accuracy (%)"


def test_the_footer_says_what_was_taken_from_what(gap: Path, tmp_path: Path):
    file = tmp_path / "gap.png"
    command(str(gap), by="assistant", output=[file], **GAP)
    with Image.open(file) as image:
        told = image.info["Description"]
    assert f"Colour: each trial minus the one where {NONE}, with its seeds and other parameters." in told
    assert re.match("36 trials, n = 3 seeds a cell", told)
    assert facts_of(file)["asked"]["minus"] == NONE
    assert verify(file).state == "fresh"


def test_where_no_pair_is_left_the_columns_to_share_are_named(gap: Path):
    with pytest.raises(AnalysisError, match="with the same seed_init, teacher_width, student_width"):
        phase(load(gap, where="(method = 'none') = (student_width = 1)"), **GAP)
