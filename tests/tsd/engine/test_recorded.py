"""A recording gives what the function gives, for other numbers too."""

import torch
from torch.func import grad_and_value, vmap

from tsd.engine.recorded import recorded


def slopes(numbers):
    """Of a mean square, whose own slope is a constant, and of a product."""
    return vmap(grad_and_value(lambda x: x["a"].square().mean() + (2 * x["a"] * x["b"]).sum()))(numbers)


def test_a_replay_has_the_bits_of_the_function():
    replay = recorded(slopes)
    for seed in range(3):
        source = torch.Generator().manual_seed(seed)
        numbers = {name: torch.randn(4, 7, generator=source) for name in "ab"}
        (gradient, value), (again, value_again) = slopes(numbers), replay(7, numbers)
        assert torch.equal(value, value_again)
        assert all(torch.equal(gradient[name], again[name]) for name in "ab")


def test_what_depends_on_the_shape_alone_is_worked_out_once():
    calls = []

    def once(numbers):
        calls.append(1)
        return (torch.ones_like(numbers["a"]) / 3) * numbers["a"]

    replay = recorded(once)
    for factor in (1.0, 5.0):
        assert torch.equal(replay(2, {"a": torch.full((2,), factor)}), torch.ones(2) / 3 * factor)
    assert len(calls) == 1


def test_a_function_that_writes_is_left_as_it_is():
    replay = recorded(lambda numbers: torch.zeros_like(numbers["a"]).add_(numbers["a"]))
    for factor in (1.0, 5.0):
        assert torch.equal(replay(2, {"a": torch.full((2,), factor)}), torch.full((2,), factor))
