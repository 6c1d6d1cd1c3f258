"""Random streams that are put down as text and taken up elsewhere."""

import json

import numpy as np
import pytest

from tsd.engine.rng import Streams, going_on, standing

DRAWS = {
    "integers": lambda generator, count: generator.integers(80, size=count),
    "wide integers": lambda generator, count: generator.integers(2**40, size=count),
    "normal": lambda generator, count: generator.standard_normal(count),
    "exponential": lambda generator, count: generator.exponential(size=count),
    "single precision": lambda generator, count: generator.random(count, dtype=np.float32),
}


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
@pytest.mark.parametrize("draw", DRAWS)
def test_a_generator_goes_on_with_the_draws_that_it_would_have_given(draw, count):
    generator = Streams({"noise": 3}).generator("noise", "steps", step=5)
    DRAWS[draw](generator, count)
    again = going_on(standing(generator))
    for next_one in DRAWS.values():
        assert np.array_equal(next_one(again, 11), next_one(generator, 11))


def test_to_say_where_a_generator_stands_draws_nothing():
    one, other = (Streams({"data": 1}).generator("data", "inputs") for _ in range(2))
    standing(one)
    assert one.random() == other.random()


@pytest.mark.parametrize("changed", [{"buffer_pos": -1}, {"buffer_pos": 5}, {"buffer": [1, 2]}])
def test_a_generator_stands_nowhere_outside_its_memory(changed):
    """As a file says that somebody else has written."""
    told = json.loads(standing(Streams({}).generator("noise", "steps")))
    with pytest.raises(ValueError, match="buffer"):
        going_on(json.dumps(told | changed))
