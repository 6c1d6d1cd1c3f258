"""Trials of a simulation that have ended stay ended, with every bit, whatever becomes of the rest of their pack."""

import math

import pytest
from lives import Lost, Mortal, written

from tsd.engine.checkpoint import Checkpoint, Outcomes
from tsd.engine.rng import Streams
from tsd.store import Store
from tsd.studies._base import Curve, Measured, Outcome, Study

ENDS = {
    "done": Outcome(
        "done", Measured({"loss": 0.1 + 0.2, "count": 3, "phase": "gR"}, [Curve("loss", range(2), [1e-300, 7.0])])
    ),
    "diverged": Outcome("diverged", Measured({}, [Curve("loss", [0], [math.nan])]), way="loop"),
    "failed": Outcome("failed", error_type="ValueError", error="at ξ = 0"),
    "beyond": Outcome("done", Measured({"loss": -math.inf, "zero": -0.0})),
}


class Steps:
    """Work that stands at a step."""

    def __init__(self, left):
        self.step = left[1]["step"] if left else 0

    def kept(self):
        return {}, {"step": self.step}


@pytest.fixture
def files(tmp_path):
    return Store(tmp_path / "example").files


def seeds(*numbers):
    return [Streams({"init": number}) for number in numbers]


def simulate(checkpoint, numbers, calls, steps=3):
    """Trials one by one, of so many steps each; `calls` gets the number of every trial that takes a step."""

    def one(trial, streams, place):
        work = Steps(place.left())
        while work.step < steps:
            work.step += 1
            calls.append(streams.seeds["init"])
            place.at(work)
        return Outcome("done", Measured({"number": streams.seeds["init"]}))

    return checkpoint.one_by_one([Study()] * len(numbers), seeds(*numbers), one)


def test_outcomes_come_back_with_every_bit():
    there = Outcomes(ENDS)
    back = Outcomes.of(there.kept()).by_name
    assert written(back.values()) == written(ENDS.values())
    assert math.copysign(1, back["beyond"].measured.metrics["zero"]) == -1
    assert isinstance(back["done"].measured.metrics["count"], int)


def test_a_pack_that_is_soon_over_keeps_nothing(files):
    keep = Mortal(files)
    simulate(Checkpoint(keep), range(3), [])
    assert keep.asked == 9 and not files.listed("checkpoints")


def test_trials_that_ended_are_known_in_the_halves_of_their_pack(files):
    """As where the last trial of a pack raises: each half is asked for alone, and takes what has ended of it."""
    calls = []
    with pytest.raises(Lost):
        simulate(Checkpoint(Mortal(files, last=8)), range(4), calls)
    assert calls == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for half, again in (((0, 1), []), ((2, 3), [2, 3, 3, 3])):
        calls = []
        ends = simulate(Checkpoint(Mortal(files)), half, calls)
        assert [end.measured.metrics["number"] for end in ends] == list(half)
        assert calls == again


def test_equal_trials_of_a_pack_are_one_trial(files):
    calls = []
    assert len(simulate(Checkpoint(Mortal(files)), [5, 5, 5], calls)) == 3
    assert calls == [5, 5, 5]


def test_parts_that_ended_are_kept_as_long_as_their_stack_is_under_way(files):
    """Two trials of two parts each. Of the first one, once it has ended, its outcome alone is written."""

    def of_two_parts(trial, streams, place):
        for name in ("first", "second"):
            part = place.part(name)
            work = Steps(part.left())
            while work.step < 2:
                work.step += 1
                part.at(work)
            part.ended(work)
        return Outcome("done")

    def states(last):
        with pytest.raises(Lost):
            Checkpoint(Mortal(files, last)).one_by_one([Study()] * 2, seeds(0, 1), of_two_parts)
        return sorted(entry.name for entry in files.listed("checkpoints") if entry.name.endswith(".safetensors"))

    parts = [name.rpartition("-")[2] for name in states(last=7)]
    assert parts == ["first.safetensors", "second.safetensors", "outcomes.safetensors"]


@pytest.mark.parametrize("last", [1, 5, 8])
def test_without_a_place_to_keep_it_nothing_changes(files, last):
    calls = []
    ends = simulate(Checkpoint(None), range(3), calls)
    with pytest.raises(Lost):
        simulate(Checkpoint(Mortal(files, last)), range(3), [])
    assert written(simulate(Checkpoint(Mortal(files)), range(3), [])) == written(ends)
    assert calls == [0, 0, 0, 1, 1, 1, 2, 2, 2]
