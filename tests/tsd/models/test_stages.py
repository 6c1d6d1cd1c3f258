"""What every classifier shows of itself: its blocks, the activations at their ends, and the network behind them."""

import numpy as np
import pytest
import torch
from torch.func import vmap

from tsd.engine.rng import Streams
from tsd.models import MODELS

CLASSES = 10
FAMILIES = {
    "cnn": ((4, 2), (1, 28, 28), 2),
    "lenet5": ((3, 0), (1, 28, 28), 3),
    "mlp": ((8, 3), (1, 5, 5), 3),
    "mobilenetv2": ((2, 0), (1, 8, 8), 4),
    "plain": ((4, 4), (3, 8, 8), 2),
    "resnet": ((4, 14), (1, 9, 8), 3),
    "spectral": ((8, 3), (1, 5, 5), 3),
    "vgg": ((2, 11), (3, 16, 16), 5),
    "wrn": ((1, 16), (1, 8, 8), 3),
}
"""Family: its smallest sensible (width, depth), an input, and the number of its stages."""


def built(name):
    (width, depth), shape, _ = FAMILIES[name]
    return MODELS.load(name).build(width, depth, "relu", shape, CLASSES)


def start(model, seed=0):
    return model.init(lambda purpose: Streams({"init": seed}).generator("init", purpose))


def inputs(name, n=6, seed=0):
    shape = FAMILIES[name][1]
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, *shape), dtype=np.float32))


def test_every_classifier_is_tested():
    assert set(FAMILIES) == set(MODELS.names()) - {"spectral_mlp"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_stage_goes_from_both_signs_through_the_activation(name):
    model = built(name)
    features = model.forward(*start(model), inputs(name), train=True).features
    assert len(model.stages) == FAMILIES[name][2]
    for stage in model.stages:
        before = features[stage.before]
        assert before.min() < 0 < before.max()
        assert torch.equal(before.clamp(0, 6 if name == "mobilenetv2" else None), features[stage.after])
        assert features[stage.end].shape[:2] == before.shape[:2]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_embedding_is_a_flat_vector_that_the_head_turns_into_the_output(name):
    model = built(name)
    params, buffers = start(model)
    view = model.forward(params, buffers, inputs(name))
    weight, bias = list(params.values())[-2:]
    embedding = view.features[model.embedding]
    assert embedding.shape == (6, weight.shape[1])
    torch.testing.assert_close(view.output, embedding @ weight.T + bias)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_tail_behind_a_stage_is_the_rest_of_the_network(name, train):
    model = built(name)
    params, buffers = start(model)
    whole = model.forward(params, buffers, inputs(name), train=train)
    for number, stage in enumerate(model.stages):
        names = model.tail_names(number)
        rest, own = ({k: v for k, v in group.items() if k in names} for group in (params, buffers))
        assert len(rest) + len(own) == len(names)
        assert 0 < len(rest) < len(params)
        view = model.tail(rest, own, whole.features[stage.end], after=number, train=train)
        assert torch.equal(view.output, whole.output)
        assert all(torch.equal(value, whole.features[point]) for point, value in view.features.items())
        assert all(torch.equal(view.buffers[k], whole.buffers[k]) for k in own)


@pytest.mark.parametrize("name", FAMILIES)
def test_features_and_tails_of_a_stack_are_those_of_each_network(name):
    model = built(name)
    starts = [[{k: v.double() for k, v in group.items()} for group in start(model, seed)] for seed in (1, 2)]
    batches = [inputs(name, seed=seed).double() for seed in (1, 2)]
    params, buffers = (
        {k: torch.stack([one[k] for one in group]) for k in group[0]} for group in zip(*starts, strict=True)
    )
    last = len(model.stages) - 1

    def one(params, buffers, x):
        view = model.forward(params, buffers, x, train=True)
        tail = model.tail(params, buffers, view.features[model.stages[last].end], after=last, train=True)
        return view.output, tail.output, dict(view.features)

    output, tail, features = vmap(one)(params, buffers, torch.stack(batches))
    torch.testing.assert_close(tail, output)
    for i, (own, x) in enumerate(zip(starts, batches, strict=True)):
        alone = model.forward(*own, x, train=True)
        torch.testing.assert_close(output[i], alone.output)
        for point, value in alone.features.items():
            torch.testing.assert_close(features[point][i], value, msg=point)
