"""Which runs are at work, as their logs tell."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from runs_made_up import finish, tally

from tsd.sweep.runs import SILENT_S, render, unfinished
from tsd.sweep.waves import Pack


def log(name="one", ago=10.0, **facts):
    """The log of a run that began `ago` seconds before now, stored ten trials and works at ten more."""
    events, began = [], datetime.now(UTC) - timedelta(seconds=ago)

    def note(kind, told):
        at = (began + timedelta(seconds=one.clock.now)).isoformat()
        events.append({"at": at, "kind": kind, "run": name} | told)

    one, _ = tally(note=note)
    one.begin(**({"host": "elsewhere", "pid": 1} | facts))
    finish(one, 0, 0, 10, 1.0)
    one.started(Pack(1, 0, 10, 10))
    return events


def ended(events):
    return [*events, events[-1] | {"kind": "run_finished"}]


def test_only_runs_that_have_not_ended_are_told():
    both = [event for pair in zip(log("one"), ended(log("two")), strict=False) for event in pair]
    assert [run.name for run in unfinished([*both, ended(log("two"))[-1]])] == ["one"]
    assert unfinished([]) == [] == unfinished(ended(log()))


def test_a_run_at_work_tells_how_far_it_is():
    [run] = unfinished(log())
    assert run.alive and run.heard_s == pytest.approx(9, abs=2)
    assert (run.as_dict()["stored"], run.as_dict()["at_work"], run.as_dict()["waiting"]) == (10, 10, 90)
    assert "run one on elsewhere" in render(run) and "10 / 110 trials" in render(run) and "left" in render(run)


def test_a_silent_run_is_taken_for_dead():
    [run] = unfinished(log(ago=SILENT_S + 10))
    assert not run.alive and "has died" in render(run)


def test_on_this_machine_a_process_that_is_gone_is_dead_at_once():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive = {pid: unfinished(log(host=socket.gethostname(), pid=pid))[0].alive for pid in (gone.pid, os.getpid())}
    assert alive == {gone.pid: False, os.getpid(): True}


def test_logs_of_an_earlier_version_are_passed_over():
    at = datetime.now(UTC).isoformat()
    assert unfinished([{"at": at, "kind": "run_started", "run": "old", "sweep": "s", "todo": 3, "packs": 1}]) == []
