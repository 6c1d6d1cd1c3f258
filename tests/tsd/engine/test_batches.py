"""What a step sees depends on the trial's data stream alone."""

import pytest
import torch

from tsd.engine import batches as module
from tsd.engine.batches import Batches
from tsd.engine.rng import Streams

SAMPLES = 10


def data(start=0):
    x = torch.arange(start, start + SAMPLES, dtype=torch.float32)
    return {"x": x.unsqueeze(1).repeat(1, 3), "label": x.long()}


def labels(batches, steps):
    """Labels of the batches of `steps`, one long row a trial."""
    return torch.cat([batches.at(step)["label"] for step in steps], 1)


def test_an_epoch_is_a_permutation_whose_last_batch_is_short():
    batches = Batches([data()], [Streams({"data": 1})], 4)
    assert batches.per_epoch == 3
    assert [batches.at(step)["x"].shape for step in range(3)] == [(1, 4, 3), (1, 4, 3), (1, 2, 3)]
    epochs = [labels(batches, range(3 * e, 3 * e + 3))[0] for e in range(3)]
    assert all(epoch.sort().values.tolist() == list(range(SAMPLES)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])


def test_a_batch_takes_the_same_rows_of_every_entry():
    batch = Batches([data(), data(100)], [Streams({"data": i}) for i in range(2)], 4).at(1)
    assert torch.equal(batch["x"][..., 0].long(), batch["label"])


def test_a_batch_is_never_larger_than_the_data():
    assert Batches([data()], [Streams({})], 300).at(5)["x"].shape == (1, SAMPLES, 3)


def test_the_order_follows_the_data_seed_and_no_other():
    seeds = [Streams({"data": 1, "init": 1}), Streams({"data": 1, "init": 2}), Streams({"data": 2, "init": 1})]
    first, same, other = labels(Batches([data() for _ in seeds], seeds, 4), range(3))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_shared_tensor_gives_the_batches_that_copies_give():
    one = data()
    for seeds in ([Streams({"data": 1})] * 2, [Streams({"data": 1}), Streams({"data": 2})]):
        shared, copied = Batches([one, one], seeds, 4), Batches([one, data()], seeds, 4)
        for step in range(7):
            torch.testing.assert_close(shared.at(step), copied.at(step), rtol=0, atol=0)


def test_trials_that_share_data_and_order_share_the_memory_of_the_batch():
    one = data()
    assert Batches([one] * 5, [Streams({"data": 3})] * 5, 4).at(0)["x"].stride(0) == 0


@pytest.mark.parametrize("ahead", [1, 200, 10**6])
def test_gathering_ahead_changes_no_batch(ahead, monkeypatch):
    monkeypatch.setattr(module, "AHEAD_BYTES", ahead)
    seeds = [Streams({"data": 1}), Streams({"data": 2})]
    got = Batches([data(), data(50)], seeds, 3)
    one_by_one = [Batches([data(start)], [seed], 3) for start, seed in zip((0, 50), seeds, strict=True)]
    for step in (0, 1, 2, 3, 4, 5, 3, 9):
        for i, alone in enumerate(one_by_one):
            assert torch.equal(got.at(step)["label"][i], alone.at(step)["label"][0])


@pytest.mark.parametrize("size", [2, 3, 4, 10])
@pytest.mark.parametrize("shared", [False, True])
def test_batches_in_memory_of_their_own_are_those_of_every_update(size, shared):
    one = data()
    seeds = [Streams({"data": 1}), Streams({"data": 1 if shared else 2})]
    batches = Batches([one, one if shared else data(50)], seeds, size)
    step = 0
    while step < 4 * batches.per_epoch:
        samples, count = batches.alike(step, 3)
        assert count <= batches.longest(samples)
        memory = batches.memory(3, step)
        batches.fill(memory, step, count)
        for k in range(count):
            for name, tensor in batches.at(step + k).items():
                assert tensor.shape[1] == samples
                assert torch.equal(memory[name][k].expand(tensor.shape), tensor)
        step += count


def test_what_trials_hold_as_one_object_is_kept_once():
    one, other = data(), data(50)
    batches = Batches([one, other, one, one], [Streams({"data": i}) for i in range(4)], 4)
    assert len(batches.own["x"]) == 2 * SAMPLES
    copies = Batches([data(), other, data(), data()], [Streams({"data": i}) for i in range(4)], 4)
    assert len(copies.own["x"]) == 4 * SAMPLES
    for step in range(5):
        torch.testing.assert_close(batches.at(step), copies.at(step), rtol=0, atol=0)
