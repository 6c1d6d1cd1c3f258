"""A sweep of any size is one summary and one table, whose numbers can be worked out by hand."""

import sys

import duckdb
import pytest

from tsd.errors import UserError
from tsd.trackers import TRACKERS, ready
from tsd.trackers._report import Report


def test_the_summary_counts_states_and_spans_metrics_over_finished_experiments(report):
    counts = {name: report.summary[name] for name in ("trials", "done", "failed")}
    assert counts == {"trials": 7, "done": 6, "failed": 1}
    assert report.summary["mse/mean"] == (1.0 + 3.0 + 0.5 + 0.25) / 4, "neither failed, nor NaN, nor theory"
    assert (report.summary["mse/min"], report.summary["mse/max"]) == (0.25, 3.0)


def test_a_setting_is_what_varies_but_for_seeds(report):
    assert report.axes == ["width"] and report.fixed == {"layer": "spectral", "lr": 0.1}
    assert report.settings.to_pylist() == [
        {"width": 10, "n": 2, "mse": 2.0, "learned": 0.0},
        {"width": 20, "n": 3, "mse": 0.375, "learned": 2 / 3},
    ]


def test_a_report_says_where_it_comes_from_and_holds_every_row(report, store):
    assert (report.name, report.study, report.place) == ("tracked sweep", "spectral", str(store.root))
    assert report.about == {"git_sha": "abc123", "torch": "2.13.0"}
    assert report.trials.num_rows == 7


def test_nothing_is_tracked_where_nothing_is_stored(store):
    connection = duckdb.connect()
    connection.register("rows", store.trials().slice(0, 0))
    with pytest.raises(UserError, match="Run the sweep first"):
        Report.of(store, connection, ["width"])


def test_the_trackers_are_the_files_of_the_folder():
    assert TRACKERS.names() == ["mlflow", "tensorboard", "wandb"]


@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_tracker_whose_package_is_missing_says_how_to_get_it(report, name, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(UserError, match=rf"pip install -e '\.\[{name}\]'"):
        ready(name)(report, None)


def test_an_unknown_tracker_is_told_with_those_that_there_are(report):
    with pytest.raises(UserError, match="There are: mlflow, tensorboard, wandb"):
        ready("comet")(report, None)


def test_no_tracker_is_loaded_unless_it_is_asked_for():
    import subprocess

    code = "import sys, tsd.trackers._report, tsd.sweep.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"mlflow", "wandb", "tensorboardX", "torch", "ray"}.isdisjoint(done.stdout.split())
