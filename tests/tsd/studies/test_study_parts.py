"""A trial carries the values of its parts."""

from typing import ClassVar

from tsd.fields import Batched, Role, Static, field
from tsd.methods import METHODS
from tsd.studies._base import Study


class Trial(Study):
    parts: ClassVar = {"method": METHODS}
    method: Static[str] = field("kd", doc="A method.")
    strength: Batched[float] = field(1.0, doc="A field of the trial's own.")


def test_a_part_has_the_values_that_the_trial_was_given():
    trial = Trial.of({"temperature": 7.0, "strength": 2.0})
    assert trial.part("method").temperature == 7.0
    assert Trial().part("method").temperature == METHODS.load("kd").Method().temperature


def test_values_are_those_of_the_trial_and_of_its_parts():
    trial = Trial.of({"temperature": 7.0})
    assert {"method": "kd", "strength": 1.0, "temperature": 7.0}.items() <= trial.values().items()
    assert trial.values(Role.BATCHED).keys() & {"method", "strength", "temperature"} == {"strength", "temperature"}
    assert "temperature" not in Trial.of({"method": "none", "temperature": 7.0}).values()


def test_a_trial_made_of_its_own_values_is_the_same_trial():
    trial = Trial.of({"temperature": 7.0, "strength": 3.0})
    assert Trial.of(trial.values()).values() == trial.values()
