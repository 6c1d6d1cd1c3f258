"""Starts keep their identity and their trials their numbers on the way into a stack."""

import torch

from tsd.engine.stack import Stack, batched_values, placed, trial_maker
from tsd.models.mlp import MLP
from tsd.studies._base import GradientStudy, Start

CPU = torch.device("cpu")


def start_of(shared):
    params = {"layer1.weight": torch.randn(1, 3)}
    return Start(MLP((3, 1)), params, {}, {"x": shared, "label": torch.arange(4)}, {"test": {"x": shared}, "number": 7})


def test_a_shared_tensor_stays_one_object_when_it_is_cast():
    x = torch.randn(4, 3)
    first, second = placed([start_of(x), start_of(x)], CPU, torch.float64)
    assert first.train["x"] is second.train["x"]
    assert first.train["x"].dtype == torch.float64


def test_views_of_one_piece_of_memory_become_one_object_and_other_views_do_not():
    x = torch.randn(8, 3)
    first, second, third = placed([start_of(x[:4]), start_of(x[:4]), start_of(x[4:])], CPU, torch.float64)
    assert first.train["x"] is second.train["x"]
    assert torch.equal(third.train["x"], x[4:].double())


def test_labels_and_what_is_held_keep_their_precision():
    (start,) = placed([start_of(torch.randn(4, 3))], CPU, torch.float64)
    assert start.train["label"].dtype == torch.int64
    assert start.held["test"]["x"].dtype == torch.float32
    assert start.held["number"] == 7


def test_training_a_stack_leaves_the_starts_as_they_were():
    for starts in ([start_of(torch.ones(4, 3))], [start_of(torch.ones(4, 3)) for _ in range(2)]):
        before = starts[0].params["layer1.weight"].clone()
        stack = Stack.of(starts)
        stack.params["layer1.weight"].zero_()
        assert torch.equal(starts[0].params["layer1.weight"], before)
        assert not stack.member(0).params["layer1.weight"].any()


def test_a_lone_network_keeps_its_memory_layout():
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    start = Start(MLP((3, 1)), {"weight": weight}, {}, {}, {})
    alone = Stack.of([start]).member(0).params["weight"]
    assert alone.is_contiguous(memory_format=torch.channels_last)


def test_batched_fields_become_tensors_that_a_trial_hands_out():
    trials = [GradientStudy.of({"lr": lr, "dtype": "float64"}) for lr in (0.1, 0.2)]
    values = batched_values(trials, CPU)
    assert values["lr"].tolist() == [0.1, 0.2]
    second = trial_maker(trials[0])({name: tensor[1] for name, tensor in values.items()})
    assert torch.equal(second.lr, values["lr"][1])
    assert second.batch_size == trials[0].batch_size
