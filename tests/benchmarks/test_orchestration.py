"""The cost of a pack is all that passes which is not its work."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from benchmarks import orchestration, planning
from tsd.sweep import spec


def event(kind, at, pack, **facts):
    return {"kind": kind, "at": datetime.fromtimestamp(at, UTC).isoformat(), "pack": pack} | facts


def test_the_cost_of_a_pack_is_its_wait_and_what_its_worker_does_beside_the_work():
    """One worker. Pack 0 starts it, pack 1 works 5 s of 5.2 s and the next begins 0.3 s later, pack 2 ends the run."""
    values = {"steps": 7}
    events = [
        event("pack_started", 100.0, 0, values=values),
        event("pack_finished", 110.0, 0, seconds=3.0),
        event("pack_started", 110.1, 1, values=values),
        event("pack_finished", 115.3, 1, seconds=5.0),
        event("pack_started", 115.6, 2, values=values),
        event("pack_finished", 120.0, 2, seconds=4.0),
    ]
    [(steps, seconds, cost)] = orchestration._costs(events, 1)
    assert (steps, seconds) == (7, 5.0) and cost == pytest.approx(0.2 + 0.3)
    assert orchestration._share(0.6, 29.4) == pytest.approx(0.02)


def test_the_sweeps_that_are_measured_are_valid(tmp_path):
    texts = {
        "orchestration": orchestration.SWEEP.format(fixed="{curve_points: 0}", steps=[3, 4], stop=22, members=8),
        "simulated": orchestration.MANY.format(seeds=2),
        "first": planning.FIRST,
    }
    for name, text in texts.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(text)
        assert spec.load(file).name == name


def test_it_says_what_it_measures_without_measuring():
    command = [sys.executable, "-m", "benchmarks", "orchestration", "--help"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "python -m benchmarks orchestration" in told and "--simulate" in told
