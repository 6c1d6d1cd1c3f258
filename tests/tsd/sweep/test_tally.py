"""Counters of a run, moved by its events alone: read back from the log they are what the driver had."""

import json
from dataclasses import replace

import pytest
from runs_made_up import finish, tally

from tsd.sweep.tally import replay
from tsd.sweep.waves import Pack
from tsd.sweep.work import Report

COUNTERS = ("states", "failures", "running", "measured", "lost", "restarts", "artefacts", "reason", "refused", "phase")


def test_a_pack_that_the_store_refuses_is_not_counted_and_its_reason_is_kept():
    one, _ = tally()
    pack = Pack(0, 0, 0, 10)
    one.started(pack)
    one.finished(pack, Report("", {}, 0.0, {}, "The disk is full."))
    assert one.stored == 0 and not one.running and one.refused == "The disk is full."


def test_a_pack_that_was_taken_over_is_timed_from_its_second_start():
    one, clock = tally()
    one.started(Pack(0, 0, 0, 10))
    clock.now = 50.0
    one.restarted(Pack(0, 0, 0, 10))
    finish(one, 0, 0, 10, 2.0)
    assert one.measured[0].seconds == 2.0 and one.restarts == 1


@pytest.fixture
def logged():
    """A run with everything in it: what the log holds, and copies of the counters after each event."""
    log, after = [], []

    def note(kind, facts):
        stamp = f"2026-01-01T{int(clock.now) // 3600:02}:{int(clock.now) // 60 % 60:02}:{clock.now % 60:09.6f}+00:00"
        log.append(json.loads(json.dumps({"at": stamp, "kind": kind} | facts)))
        after.append({name: repr(getattr(one, name)) for name in COUNTERS if name != "running"} | {"n": one.at_work})

    one, clock = tally(note=note)
    one.begin(mode="cached", host="here")
    one.enter("training 1 × teacher")
    one.trained(Report("teacher", {}, 3.0, {}))
    one.enter("running")
    finish(one, 0, 0, 10, 5.0, errors={"ValueError": 1}, done=7, diverged=2, failed=1)
    one.started(Pack(1, 0, 10, 10))
    clock.now += 3
    one.restarted(Pack(1, 0, 10, 10))
    one.alive()
    finish(one, 1, 0, 10, 4.0)
    one.started(Pack(2, 0, 20, 10))
    one.dropped(Pack(2, 0, 20, 10), "killed")
    one.finish()
    return one, log, after


def test_replayed_events_move_the_same_counters_at_every_step(logged):
    one, log, after = logged
    seen = []
    for again in replay(log):
        seen.append({n: repr(getattr(again, n)) for n in COUNTERS if n != "running"} | {"n": again.at_work})
    assert seen == after
    assert (again.task, again.ended, again.lost, again.stored) == (one.task, True, 10, 20)


def test_replayed_time_is_that_of_the_run(logged):
    one, log, _ = logged
    *_, again = replay(log)
    assert again.elapsed == pytest.approx(one.elapsed) and again.rate == pytest.approx(one.rate)
    assert again.remaining().seconds == pytest.approx(one.remaining().seconds)


def test_packs_that_were_cut_anew_are_known_from_then_on():
    log = []
    one, _ = tally(note=lambda kind, facts: log.append({"at": "2026-01-01T00:00:00+00:00", "kind": kind} | facts))
    one.begin()
    one.recut([replace(shape, packs=5, size=20) for shape in one.task.shapes])
    *_, again = replay(json.loads(json.dumps(log)))
    assert again.task == one.task and one.task.packs == 10 and one.task.shapes[0].size == 20


def test_events_of_a_later_version_are_passed_over(logged):
    _, log, _ = logged
    *_, plain = replay(log)
    *_, more = replay([*log[:3], {"at": log[3]["at"], "kind": "weather", "sun": True}, *log[3:]])
    assert more.states == plain.states and more.measured == plain.measured


def test_a_log_without_its_beginning_tells_nothing():
    assert list(replay([{"at": "2026-01-01T00:00:00+00:00", "kind": "alive"}])) == []
