"""MLflow: one run a sweep, with its fixed parameters, the summary as metrics, and the tables as artifacts."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tsd.errors import UserError
from tsd.trackers._report import Report

PACKAGE = "mlflow"
EXPERIMENT = "tsd"
BATCH = 100
"""Parameters in one request, which is the server's own limit; of metrics it takes more."""
LONGEST = 6000
"""Characters of a parameter's value."""


def track(report: Report, at: str | None) -> str:
    """Send to the server, or the folder or database, `at`; by default where MLFLOW_TRACKING_URI says.

    A sweep that was sent before is sent to the same run as long as its parameters are the same. Raises UserError where
    the server refuses.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        client = mlflow.MlflowClient(at)
        run = _run(client, report)
        _send(client, run, report)
        client.set_terminated(run)
    except (MlflowException, OSError) as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"MLflow at {at or mlflow.get_tracking_uri()} did not take {report.name}: {said}. Check --at or "
            "MLFLOW_TRACKING_URI, and that the server is up; results are not touched."
        ) from error
    return f"run {run} of the experiment {EXPERIMENT} at {at or mlflow.get_tracking_uri()}"


def _parameters(report: Report) -> dict[str, str]:
    return {name: str(value)[:LONGEST] for name, value in {"study": report.study, **report.fixed}.items()}


def _run(client: Any, report: Report) -> str:
    """The run of this sweep: that of before, or a new one."""
    from mlflow.entities import Param

    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
    parameters = _parameters(report)
    for run in client.search_runs([experiment], f"tags.`tsd.key` = '{report.key}'"):
        if run.data.params == parameters:
            return str(run.info.run_id)
    tags = {"tsd.key": report.key, "tsd.results": report.place}
    new = str(client.create_run(experiment, run_name=report.name, tags=tags).info.run_id)
    told = [Param(name, value) for name, value in parameters.items()]
    for start in range(0, len(told), BATCH):
        client.log_batch(new, params=told[start : start + BATCH])
    return new


def _send(client: Any, run: str, report: Report) -> None:
    """Everything that may change as the sweep grows."""
    import time

    from mlflow.entities import Metric, RunTag

    now, step = int(time.time() * 1000), int(report.summary["trials"])
    metrics = [Metric(name, float(value), now, step) for name, value in report.summary.items()]
    tags = [RunTag(f"tsd.{name}", value) for name, value in report.about.items()]
    tags.append(RunTag("tsd.axes", json.dumps(list(report.axes))))
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[start : start + BATCH])
    client.log_batch(run, tags=tags)
    with TemporaryDirectory() as folder:
        _write(report, Path(folder))
        client.log_artifacts(run, folder)


def _write(report: Report, folder: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    pyarrow.csv.write_csv(report.settings, folder / "settings.csv")
    pyarrow.parquet.write_table(report.trials, folder / "trials.parquet")
