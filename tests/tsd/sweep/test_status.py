"""The status of a sweep counts what is stored against what is asked for, in one line a person reads."""

import pytest

from tsd.sweep.status import Status


def status(**counts):
    return Status("example", "results/example", 12480, dict.fromkeys(("done", "failed", "new"), 0) | counts, ())


@pytest.mark.parametrize(
    ("counts", "complete"),
    [({"done": 12480}, True), ({"done": 12479, "new": 1}, False), ({"done": 12479, "failed": 1}, False)],
)
def test_a_sweep_is_complete_once_all_is_stored_and_nothing_failed(counts, complete):
    assert status(**counts).complete is complete


def test_a_person_reads_what_there_is_and_what_still_waits():
    line = "example   12\u202f480 trials: {}   (results/example)"
    assert str(status(done=12000, new=480)) == line.format("12\u202f000 done · 480 waiting")
    assert str(status()) == line.format("nothing stored")
    assert "3 stored but no longer in this file" in str(status(orphans=3))
    assert status(done=3).as_dict() == {
        "name": "example",
        "trials": 12480,
        "runs": [],
        "done": 3,
        "failed": 0,
        "new": 0,
    }
