"""A recording gives what the function gives, for other numbers too."""

import torch
from torch.func import grad_and_value, vmap

from tsd.engine.recorded import recorded, values_read


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


def normalised(numbers):
    """Batch norm of vectors, with the slope of everything that it takes."""

    def one(x):
        normal = torch.nn.functional.batch_norm(x["x"], None, None, x["weight"], x["bias"], training=True)
        return (normal.tanh() * x["x"]).mean()

    return vmap(grad_and_value(one))(numbers)


def drawn(trials, channels, dtype):
    source = torch.Generator().manual_seed(0)
    shapes = {"x": (trials, 20, channels), "weight": (trials, channels), "bias": (trials, channels)}
    return {name: torch.randn(shape, generator=source, dtype=dtype) for name, shape in shapes.items()}


def test_batch_norm_of_vectors_is_that_of_torch():
    numbers = drawn(3, 5, torch.float64)
    torch.testing.assert_close(recorded(normalised)(20, numbers), normalised(numbers), rtol=1e-12, atol=1e-14)


def test_batch_norm_of_vectors_has_the_same_bits_in_every_place():
    """Torch's own has not: its last channels are rounded another way."""
    everyone, replay = drawn(7, 5, torch.float32), recorded(normalised)
    together, _ = replay(20, everyone)
    alone, _ = recorded(normalised)(20, {name: tensor[6:] for name, tensor in everyone.items()})
    assert all(torch.equal(together[name][6:], alone[name]) for name in together)


def test_what_is_read_is_what_a_value_depends_on():
    one = torch.ones(3)
    groups = {"used": one, "again": one, "idle": one, "looked at": one}, {"other": one}

    def function(first, second):
        first["looked at"] * 2
        return first["used"].detach() + first["again"] + second["other"]

    assert values_read(function, *groups) == [["used", "again"], ["other"]]
