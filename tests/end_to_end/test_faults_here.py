"""Faults of a place and of the clock, and two drivers, in runs without Ray."""

import errno
import os
import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tsd.store import EventLog, Store
from tsd.store.errors import told
from tsd.sweep import work
from tsd.sweep.__main__ import main
from tsd.sweep.asked import Asked
from tsd.sweep.here import Here

from .conftest import TINY, numbers


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """The command line in this process: exit code and what was printed on either stream."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text(TINY)

    def call(*words):
        code = main(["run", "sweep.yaml", "--here", *words])
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return call


def rows(folder, name="tiny"):
    return numbers(Store(folder / "results" / name).trials())


def test_a_place_that_takes_no_more_after_some_packs_keeps_them_and_the_same_command_goes_on(
    here, tmp_path, monkeypatch
):
    files = type(Store(tmp_path / "results/tiny").files)
    write, written = files.write, []

    def until_two(self, name, data):
        if name.startswith("trials/") and len(written) == 2:
            raise told(OSError(errno.EACCES, os.strerror(errno.EACCES)), "write", name)
        written.extend([name] if name.startswith("trials/") else [])
        return write(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", until_two)
        code, said = here()
    assert code == 2 and "no permission" in said and "Traceback" not in said
    kept = {row["trial_id"]: row for row in rows(tmp_path)}
    assert 0 < len(kept) < 24
    assert here()[0] == 0 and here("--set", "name=calm")[0] == 0
    assert rows(tmp_path) == rows(tmp_path, "calm")
    assert not list((tmp_path / "results").rglob(".*"))


@pytest.mark.parametrize("days", [-4000, 4000])
def test_a_clock_that_jumps_between_runs_changes_no_row_and_runs_nothing_twice(here, tmp_path, monkeypatch, days):
    class Jumped(datetime):
        """Far from now."""

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz or UTC) + timedelta(days=days)

    assert here("--where", "student_width = 3")[0] == 0
    before = {path.name for path in (tmp_path / "results/tiny/trials").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(work, "datetime", Jumped)
        assert here()[0] == 0
    assert before < {path.name for path in (tmp_path / "results/tiny/trials").iterdir()}
    code, said = here()
    assert code == 0 and "nothing to run" in said
    assert here("--set", "name=calm")[0] == 0 and rows(tmp_path) == rows(tmp_path, "calm")


def test_a_clock_that_jumps_back_does_not_let_an_old_failure_hide_a_row_that_was_run_again(here, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(work, "_outcomes", lambda study, trials, *rest: [work.Outcome("failed")] * len(trials))
        assert here("--where", "seed_init = 0")[0] == 1

    class Yesterday(datetime):
        """Before the failure."""

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz or UTC) - timedelta(days=1)

    monkeypatch.setattr(work, "datetime", Yesterday)
    assert here("--mode", "retry")[0] == 0
    assert {row["state"] for row in rows(tmp_path)} == {"done"} and len(rows(tmp_path)) == 24


@pytest.fixture
def elsewhere(here, tmp_path):
    """Another run of the sweep at work on this machine: its process, and a log that says so."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    store = Store(tmp_path / "results/tiny")
    with Asked.of(tmp_path / "sweep.yaml", str(tmp_path / "results")) as asked:
        store.prepare(asked.sweep.as_dict())
    task = {"sweep": "tiny", "todo": 24, "packs": 4, "slots": 1, "device": "cpu", "shapes": []}
    EventLog(store, "other").add(
        "run_started", {"run": "other", "host": socket.gethostname(), "pid": process.pid} | task
    )
    yield process
    process.kill()
    process.wait()


def test_a_second_run_of_all_is_refused_while_the_first_is_at_work_and_not_when_it_has_died(
    here, tmp_path, elsewhere, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(Here, "__init__", lambda *_: pytest.fail("something was started"))
        code, said = here()
    assert code == 2 and f"process {elsewhere.pid}" in said and "Nothing was launched" in said
    assert not list((tmp_path / "results").rglob("*.parquet"))
    elsewhere.kill()
    elsewhere.wait()
    assert here()[0] == 0 and len(rows(tmp_path)) == 24


def test_a_second_run_of_a_part_is_told_of_the_first_and_goes_on(here, tmp_path, elsewhere):
    code, said = here("--where", "student_width = 3")
    assert code == 0 and "is at work" in said and len(rows(tmp_path)) == 12


def test_ctrl_c_lets_the_pack_that_runs_come_to_its_end_and_starts_no_other(here, tmp_path, monkeypatch):
    outcomes = work._outcomes

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return outcomes(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(work, "_outcomes", interrupted)
        code, said = here()
    assert code == 130 and "The same command goes on" in said
    assert len(list((tmp_path / "results/tiny/trials").iterdir())) == 1
    assert here()[0] == 0 and len(rows(tmp_path)) == 24


def test_ctrl_c_twice_stops_in_the_middle_of_a_pack(here, tmp_path, monkeypatch):
    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")

    with monkeypatch.context() as patch:
        patch.setattr(work, "_outcomes", interrupted)
        code, said = here()
    assert code == 130 and "0 of 24 trials are stored" in said
    assert here()[0] == 0 and len(rows(tmp_path)) == 24


def test_retry_runs_what_failed_and_nothing_else(here, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(work, "_outcomes", lambda study, trials, *rest: [work.Outcome("failed")] * len(trials))
        assert here("--where", "seed_init = 0")[0] == 1
    assert here()[0] == 1
    before = {row["trial_id"]: row["started_at"] for row in stored(tmp_path) if row["state"] == "done"}
    assert main(["retry", "sweep.yaml", "--here"]) == 0
    assert "8 trials" in " ".join(capsys.readouterr().out.split())
    after = {row["trial_id"]: row["started_at"] for row in stored(tmp_path)}
    assert len(before) == 16 and len(after) == 24 and before.items() <= after.items()
    assert {row["state"] for row in stored(tmp_path)} == {"done"}


def stored(folder):
    return Store(folder / "results/tiny").trials().to_pylist()
