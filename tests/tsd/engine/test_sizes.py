"""Stacks are as large as the shape of their networks says."""

import torch

from tsd.engine.rng import Streams
from tsd.engine.sizes import SLOTS, SLOTS_DENSE, stack_size
from tsd.models import cnn
from tsd.models.mlp import MLP
from tsd.studies._base import Start


def size(way, width, batch, device="cpu"):
    shapes = ((1, (width, 1)), (2, (1, width)))
    params = {f"layer{number}.weight": torch.empty(shape, device="meta") for number, shape in shapes}
    start = Start(MLP((1, width, 1), bias=False), params, {}, {"x": torch.empty(10**6, 1, device="meta")}, {})
    return stack_size(way, start, batch, torch.device(device))


def test_a_stack_is_smaller_where_networks_or_batches_are_large():
    assert [size("dense", width, 1) for width in (1, 125_000, 10**8)] == [64, 5, 2]
    assert [size("dense", 99, batch) for batch in (1, 250, 100_000)] == [64, 50, 2]
    assert [size("vmap", width, 10**6) for width in (1, 125_000)] == [16, 5]
    assert size("loop", 1, 1) == size("loop", 1, 1, "cuda") == 1


def test_on_a_gpu_it_is_a_power_of_two():
    assert (size("dense", 1, 1, "cuda"), size("vmap", 1, 1, "cuda")) == (SLOTS_DENSE, SLOTS)
    found = [size(way, 50, 10**k, "cuda") for way in ("dense", "vmap") for k in range(7)]
    assert all(each & (each - 1) == 0 and each >= 1 for each in found)
    assert sorted(found[:7], reverse=True) == found[:7] and found[6] == 1


def test_networks_of_images_count_with_all_that_they_keep_of_a_batch():
    """A batch sixteen times as large leaves room for a sixteenth of the networks."""
    model = cnn.build(16, 2, "relu", (1, 28, 28), 10)
    begun = Start(
        model, *model.init(lambda name: Streams({}).generator("init", name)), {"x": torch.zeros(640, 1, 28, 28)}, {}
    )
    few, many = (stack_size("vmap", begun, batch, torch.device("cuda")) for batch in (40, 640))
    assert few == 16 * many
