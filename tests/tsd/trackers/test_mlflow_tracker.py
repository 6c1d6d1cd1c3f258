"""One run a sweep on a real MLflow server, which this file starts on its own port with a database of its own."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pyarrow.csv
import pyarrow.parquet
import pytest

from tsd.errors import UserError
from tsd.trackers import ready

SERVER = ("sqlalchemy", "alembic", "flask", "huey", "aiohttp", "graphene")
MISSING = f"no MLflow server here: pip install 'tsd[mlflow]' {' '.join(SERVER)}"
mlflow = pytest.importorskip("mlflow", reason=MISSING)
for package in SERVER:
    pytest.importorskip(package, reason=MISSING)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, database = f"http://127.0.0.1:{port}", f"sqlite:///{folder}/mlflow.db"
    words = ["server", "--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
    words += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "output").open("w") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words], stdout=output, stderr=subprocess.STDOUT, process_group=0
        )
    try:
        _answers(address, started, folder / "output")
        yield address
    finally:
        subprocess.run(["kill", "-TERM", "--", f"-{started.pid}"], check=False)
        started.wait(timeout=60)


def _answers(address, started, output):
    deadline = time.monotonic() + 150
    while started.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    pytest.fail(output.read_text())


def runs(client):
    experiment = client.get_experiment_by_name("tsd")
    return client.search_runs([experiment.experiment_id])


@pytest.mark.filterwarnings("default")
def test_a_sweep_is_one_run_however_often_it_is_sent(report, server, tmp_path):
    ready("mlflow")(report, server)
    told = ready("mlflow")(report, server)
    client = mlflow.MlflowClient(server)
    [run] = runs(client)
    assert run.info.run_id in told and run.info.status == "FINISHED" and run.info.run_name == "tracked sweep"
    assert run.data.params == {"study": "spectral", "layer": "spectral", "lr": "0.1"}
    assert run.data.metrics == dict(report.summary)
    assert run.data.tags["tsd.git_sha"] == "abc123" and run.data.tags["tsd.axes"] == '["width"]'
    kept = client.download_artifacts(run.info.run_id, "", str(tmp_path))
    assert pyarrow.csv.read_csv(f"{kept}/settings.csv").num_rows == 2
    assert pyarrow.parquet.read_table(f"{kept}/trials.parquet").num_rows == 7


@pytest.mark.filterwarnings("default")
def test_a_server_that_does_not_answer_is_told(report, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with pytest.raises(UserError, match=r"MLflow at http://127.0.0.1:9 did not take tracked sweep"):
        ready("mlflow")(report, "http://127.0.0.1:9")
