"""A run as another terminal sees it while it goes on, and as its log tells it afterwards."""

import json
import subprocess
import time
from collections import Counter

import pytest

from tsd.store import Store
from tsd.sweep.__main__ import main
from tsd.sweep.tally import replay

from .conftest import TINY

MIXED = TINY.replace("eigenvalue_l2: [1e-4, 1e-3]", "lr: [1e-3, 1e18]").replace("epochs: 2", "epochs: 30")
MIXED = MIXED.replace("student_width: [3, 6]", "student_width: [3, 6, 9, 12]") + "\n"


@pytest.fixture
def status(tsd, capsys, monkeypatch):
    """`status --json` in this process, while the run goes on in another one."""
    monkeypatch.chdir(tsd.folder)

    def ask(file):
        main(["status", file, "--json"])
        return json.loads(capsys.readouterr().out)

    return ask


def test_another_terminal_sees_the_run_move_and_its_log_replays_to_what_is_stored(tsd, status):
    file = tsd.write(MIXED)
    run = subprocess.Popen(
        tsd.command(file, "--here", "--set", "optimizer=sgd"), cwd=tsd.folder, stdout=subprocess.PIPE, text=True
    )
    seen, deadline = [], time.monotonic() + 120
    while run.poll() is None and time.monotonic() < deadline:
        if (tsd.folder / "results/tiny/events").exists():
            seen += status(file)["runs"]
        time.sleep(0.2)
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 0, output
    assert all(one["alive"] for one in seen)
    assert [one["stored"] for one in seen] == sorted(one["stored"] for one in seen)
    assert any(0 < one["stored"] < one["todo"] and one["left"] for one in seen)
    assert status(file)["runs"] == [] and "Interrupted" not in output

    store = Store(tsd.folder / "results/tiny")
    *_, tally = replay(store.events())
    assert tally.states == Counter(row["state"] for row in tsd.rows()) == {"done": 24, "diverged": 24}
    assert tally.ended and not tally.running and tally.stored == tally.task.todo == 48
    trials = store.trials(["pack_id", "host"]).to_pylist()
    finished = [event for event in store.events() if event["kind"] == "pack_finished"]
    assert {event["pack_id"]: event["trials"] for event in finished} == Counter(row["pack_id"] for row in trials)
    assert {event["host"] for event in finished} == {row["host"] for row in trials}
