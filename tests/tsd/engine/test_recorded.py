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


def test_what_is_overwritten_is_read_no_more():
    """Sums and products take the place of what they are made of; the inputs, and what is read again, stay."""

    def function(numbers):
        first = numbers["a"] * numbers["b"]
        second = first + numbers["a"]
        third = (second - first) * second.mT.mT
        return {"first": first, "third": third + third * 2 + numbers["b"]}

    source = torch.Generator().manual_seed(0)
    numbers = {name: torch.randn(3, 4, generator=source) for name in "ab"}
    kept = {name: tensor.clone() for name, tensor in numbers.items()}
    replay = recorded(function)
    for _ in range(2):
        expected, found = function(numbers), replay(3, numbers)
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        assert all(torch.equal(numbers[name], kept[name]) for name in numbers)


def test_few_classes_have_the_same_bits_in_every_place():
    def one(numbers):
        return torch.nn.functional.cross_entropy(numbers["logits"], numbers["label"])

    def of(logits, label):
        replay = recorded(vmap(grad_and_value(lambda x, y: one(x | y))))
        return replay(logits.shape[1], {"logits": logits}, {"label": label})

    source = torch.Generator().manual_seed(0)
    for samples, classes in ((33, 10), (128, 10), (7, 3)):
        logits = torch.randn(9, samples, classes, generator=source)
        label = torch.randint(0, classes, (9, samples), generator=source)
        (slopes, values), (some, their) = of(logits, label), of(logits[4:7], label[4:7])
        assert torch.equal(slopes["logits"][4:7], some["logits"])
        assert torch.equal(values[4:7], their)
        exact = torch.nn.functional.cross_entropy(logits[4].double(), label[4])
        torch.testing.assert_close(values[4].double(), exact, rtol=1e-6, atol=0)
