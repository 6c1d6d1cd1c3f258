"""The same sweep through Ray Tune: equal numbers, and nothing lost when the driver or a worker is killed."""

import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tsd.store import Store
from tsd.sweep.__main__ import main
from tsd.sweep.tally import replay

from .conftest import TINY, Tsd

pytestmark = pytest.mark.cluster
SLOW = TINY.replace("epochs: 2", "epochs: 150")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The rows that `SLOW` gives without Ray and without anything that dies."""
    calm = Tsd(tmp_path_factory.mktemp("undisturbed"))
    file = calm.folder / calm.write(SLOW)
    assert main([str(file), "--here", "--results", str(calm.folder / "results")]) == 0
    return calm.rows()


def processes(parent: psutil.Process) -> list[psutil.Process]:
    return [parent, *parent.children(recursive=True)]


def title(process: psutil.Process) -> str:
    """What Ray calls a worker while it works: ray::… ."""
    return " ".join(process.cmdline())


def stored(tsd) -> int:
    return len(list((tsd.folder / "results/tiny/trials").glob("*.parquet")))


@contextmanager
def begun(tsd, file: str) -> Iterator[subprocess.Popen]:
    """A run in the background that has stored its first part; whatever is left of it afterwards is ended."""
    with (tsd.folder / "output").open("w") as output:
        driver = subprocess.Popen(tsd.command(file), cwd=tsd.folder, stdout=output, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 90
    while not stored(tsd) and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    family = processes(psutil.Process(driver.pid))
    try:
        yield driver
    finally:
        end(family)
        driver.wait()


def end(family: list[psutil.Process]) -> None:
    """Ray's own processes of a killed driver, by id."""
    for one in family:
        if one.is_running():
            one.kill()
    psutil.wait_procs(family, timeout=20)


def parts(tsd) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in (tsd.folder / "results/tiny/trials").glob("*.parquet")}


def test_a_killed_driver_loses_only_what_was_in_flight_and_ray_gives_the_rows_of_here(tsd, undisturbed):
    file = tsd.write(SLOW)
    with begun(tsd, file) as driver:
        time.sleep(random.Random(os.getpid()).uniform(0, 1))
        driver.kill()
    kept = parts(tsd)
    assert kept
    again = tsd(file)
    assert again.returncode == 0, again.stdout + again.stderr
    after = parts(tsd)
    assert all(after[name] == content for name, content in kept.items()), "a finished pack ran again"
    assert tsd.rows() == undisturbed
    assert not [p for p in (tsd.folder / "results/tiny").rglob("*") if p.name.startswith(".")]


def test_a_killed_worker_is_replaced_and_no_row_is_missing(tsd, undisturbed):
    file = tsd.write(SLOW)
    with begun(tsd, file) as driver:
        family = processes(psutil.Process(driver.pid))
        workers = [p for p in family if "Trainable" in title(p)]
        assert workers, [title(p) for p in family]
        workers[0].kill()
        assert driver.wait(timeout=120) == 0, (tsd.folder / "output").read_text()
    *_, told = replay(Store(tsd.folder / "results/tiny").events())
    assert told.restarts == 1 and told.ended and told.states == {"done": len(tsd.rows())}
    assert tsd.rows() == undisturbed


@pytest.fixture
def head(monkeypatch):
    """A running cluster of one core on a port of its own, which asks for a token; its address."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-")
    start = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={port}", "--num-cpus=1"]
    start += ["--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={folder}"]
    with (Path(folder) / "output").open("w") as output:
        environment = os.environ | {"RAY_AUTH_MODE": "token"}
        started = subprocess.Popen(start, stdout=output, stderr=subprocess.STDOUT, env=environment)
    deadline = time.monotonic() + 60
    while "Ray runtime started" not in (Path(folder) / "output").read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    family = processes(psutil.Process(started.pid))
    yield f"127.0.0.1:{port}"
    end(family)
    started.wait()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_running_cluster_that_asks_for_a_token_is_joined_and_outlives_the_run(tsd, head):
    file = tsd.write(TINY.replace("seeds: 3", "seeds: 1"))
    for epochs in (1, 2):
        ran = tsd(file, "--address", head, "--set", f"epochs={epochs}")
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(tsd.rows()) == 16


def test_an_address_where_nothing_listens_is_told_at_once(tsd):
    started = time.monotonic()
    refused = tsd(tsd.write(TINY), "--address", "127.0.0.1:9")
    assert refused.returncode == 3 and "127.0.0.1:9" in refused.stderr and "Traceback" not in refused.stderr
    assert time.monotonic() - started < 30
    assert not list((tsd.folder / "results").rglob("*.parquet"))


@pytest.mark.parametrize(("dies", "told"), [(1, []), (2, [(1, "gone")])])
def test_what_tune_gives_up_is_worked_apart_before_it_counts_as_lost(monkeypatch, dies, told):
    from tsd.sweep import schedule
    from tsd.sweep.errand import Errand
    from tsd.sweep.waves import Pack

    class Told:
        """A tally that remembers what it is told."""

        def __init__(self):
            self.lost, self.restarts = [], []

        def restarted(self, pack):
            self.restarts.append(pack.index)

        def dropped(self, pack, reason):
            self.lost.append((pack.index, reason))

    runs = []

    def tuned(self, load, listener, limit, retries):
        handed = list(iter(listener.queue.take, None))
        runs.append(([listener.queue.jobs[number].index for number in handed], load.apart))
        for number in handed:
            if len(runs) <= dies and listener.queue.jobs[number].index == 1:
                trial = SimpleNamespace(config={"job": number}, get_error=lambda: "because\ngone")
                listener.on_trial_error(0, [], trial)
        return True

    tally, packs = Told(), [Pack(index, 0, 0, 1) for index in range(3)]
    monkeypatch.setattr(schedule.Cluster, "_tuned", tuned)
    monkeypatch.setattr(schedule.Cluster, "__init__", lambda self: setattr(self, "slots", 2))
    assert schedule.Cluster().run(Errand(None, [], [lambda: packs]), None, tally)
    assert runs == [([0, 1, 2], False), ([1], True)]
    assert (tally.lost, tally.restarts) == (told, [1])
