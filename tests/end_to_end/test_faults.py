"""Whatever dies or hangs under a run on one machine: every trial asked for is one row, equal to an undisturbed run."""

import json
import time

import pytest

from .wards import (
    PATIENCE_S,
    SWEEP,
    command_in,
    expected,
    interrupt,
    kill,
    left_behind,
    listening,
    must_hold,
    named,
    wait_for,
    ward,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
BEDS = 48
CALM = SWEEP.format(beds=BEDS, pause=0.1)
EPIDEMIC = """\
name: ward
study: ward
fixed: {ill_bed: 1}
axes: {bed: [0, 1]}
zip: [{room: [0, 1, 2], ill: ["", hangs, is killed]}]
resources: {cpu: 1, gpu: 0, deadline: 5}
"""


@pytest.fixture
def calm(tmp_path):
    with ward(tmp_path, CALM) as run:
        yield run


def test_one_ill_trial_a_pack_is_alone_in_failing_whatever_it_does(tmp_path):
    with ward(tmp_path, EPIDEMIC) as run:
        ran = run("ward.yaml")
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert "(raylet)" not in ran.stdout + ran.stderr, "the run tells of dead workers in its own words"
        rows = run.store.trials().to_pylist()
        failed = {(r["room"], r["bed"]): r["error_type"] for r in rows if r["state"] == "failed"}
        assert failed == {(1, 1): "DeadlineExceeded", (2, 1): "WorkerDied(SIGKILL)"}, ran.stdout + ran.stderr
        assert run.values() == {at: v for at, v in expected(2, 3).items() if at not in failed}
        causes = json.loads(run("failures", "ward.yaml", "--json").stdout)
        assert {cause["shared"].get("bed") for cause in causes} == {1}
        assert json.loads(run("plan", "ward.yaml", "--mode", "retry", "--json").stdout)["todo"] == 2
        wait_for(lambda: not left_behind(run), "processes of the run to end")


def test_ctrl_c_once_finishes_the_packs_that_run_and_twice_stops_at_once(calm):
    with calm.begun() as driver:
        with calm.closed():
            wait_for(calm.parts, "the first part")
            interrupt(driver)
            wait_for(lambda: "once more" in calm.output, "an answer to Ctrl-C")
        assert driver.wait(PATIENCE_S) == 130, calm.output
    kinds = [event["kind"] for event in calm.events()]
    assert kinds.count("pack_started") == kinds.count("pack_finished"), "a pack that ran was cut off"
    assert kinds[-1] == "run_finished" and command_in(calm.output) == ["python", "-m", "tsd.sweep", "run", "ward.yaml"]
    kept = calm.parts()
    assert 0 < len(calm.values()) < 2 * BEDS
    with calm.begun("--set", "pause=60") as driver:
        wait_for(
            lambda: [e for e in calm.events() if e["kind"] == "pack_started"][kinds.count("pack_started") :], "a pack"
        )
        begun = time.monotonic()
        interrupt(driver)
        wait_for(lambda: "once more" in calm.output, "an answer to the first Ctrl-C")
        interrupt(driver)
        assert driver.wait(PATIENCE_S) == 130 and time.monotonic() - begun < 50, calm.output
    again = calm("ward.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    must_hold(calm, expected(BEDS), kept)


def test_a_raylet_that_dies_is_replaced_and_its_ports_are_on_loopback(calm):
    with calm.begun() as driver:
        with calm.closed():
            wait_for(calm.parts, "the first part")
            assert listening(driver.pid) == {"127.0.0.1"}
            [raylet] = named(driver.pid, "raylet")
            raylet.kill()
            kept = calm.parts()
        assert driver.wait(PATIENCE_S) == 0, calm.output
    assert "is started again" in calm.output
    must_hold(calm, expected(BEDS), kept)
    assert not list(calm.temporary.glob("tsd-*"))


def test_what_a_killed_driver_leaves_behind_is_removed_by_the_next_and_by_no_other(calm):
    with calm.begun() as driver:
        wait_for(lambda: list(calm.temporary.glob("tsd-*/tune-*")), "Tune's folder")
        held = set(calm.temporary.glob("tsd-*"))
        assert calm("plan", "ward.yaml").returncode == 0
        assert set(calm.temporary.glob("tsd-*")) == held, "folders of a run at work were removed"
        kill(driver)
    assert held <= set(calm.temporary.glob("tsd-*"))
    strange = calm.temporary / "tsd-by-someone-else"
    strange.mkdir()
    assert calm("plan", "ward.yaml").returncode == 0
    assert set(calm.temporary.glob("tsd-*")) == {strange}
