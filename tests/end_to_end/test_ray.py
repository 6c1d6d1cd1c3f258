"""The same sweep through Ray Tune: equal numbers, and nothing lost when the driver or a worker is killed."""

import os
import random
import signal
import subprocess
import time

import psutil
import pytest

from .conftest import TINY

pytestmark = pytest.mark.cluster
SLOW = TINY.replace("epochs: 2", "epochs: 150")


def test_ray_and_here_give_the_same_rows(tsd):
    file = tsd.write(TINY)
    ran = tsd(file)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    through_ray = tsd.rows()
    assert tsd(file, "--here", "--set", "name=here").returncode == 0
    assert tsd.rows("here") == through_ray


def processes(parent: psutil.Process) -> list[psutil.Process]:
    return [parent, *parent.children(recursive=True)]


def stored(tsd) -> int:
    return len(list((tsd.folder / "results/tiny/trials").glob("*.parquet")))


def begin(tsd, file: str) -> subprocess.Popen:
    begun = subprocess.Popen(
        tsd.command(file), cwd=tsd.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 90
    while not stored(tsd) and begun.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return begun


def end(family: list[psutil.Process]) -> None:
    """Ray's own processes of a killed driver, by id."""
    for one in family:
        if one.is_running():
            one.kill()
    psutil.wait_procs(family, timeout=20)


def test_a_killed_driver_loses_only_what_was_in_flight(tsd):
    file = tsd.write(SLOW)
    begun = begin(tsd, file)
    family = processes(psutil.Process(begun.pid))
    time.sleep(random.Random(os.getpid()).uniform(0, 1))
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    end(family)
    kept = {part.name: part.read_bytes() for part in (tsd.folder / "results/tiny/trials").glob("*.parquet")}
    assert kept
    again = tsd(file)
    assert again.returncode == 0, again.stdout + again.stderr
    after = {part.name: part.read_bytes() for part in (tsd.folder / "results/tiny/trials").glob("*.parquet")}
    assert all(after[name] == content for name, content in kept.items()), "a finished pack ran again"
    assert tsd(file, "--here", "--set", "name=undisturbed").returncode == 0
    assert tsd.rows() == tsd.rows("undisturbed")
    assert not [p for p in (tsd.folder / "results/tiny").rglob("*") if p.name.startswith(".")]


def test_a_killed_worker_is_replaced_and_no_row_is_missing(tsd):
    file = tsd.write(SLOW)
    begun = begin(tsd, file)
    workers = [p for p in processes(psutil.Process(begun.pid)) if "PackTrainable" in " ".join(p.cmdline())]
    assert workers or begun.poll() is not None
    for worker in workers[:1]:
        worker.kill()
    output, _ = begun.communicate(timeout=240)
    assert begun.returncode == 0, output
    assert tsd(file, "--here", "--set", "name=undisturbed").returncode == 0
    assert tsd.rows() == tsd.rows("undisturbed")


def test_an_address_where_nothing_listens_is_told_at_once(tsd):
    started = time.monotonic()
    refused = tsd(tsd.write(TINY), "--address", "127.0.0.1:9")
    assert refused.returncode == 3 and "127.0.0.1:9" in refused.stderr and "Traceback" not in refused.stderr
    assert time.monotonic() - started < 30
    assert not list((tsd.folder / "results").rglob("*.parquet"))
