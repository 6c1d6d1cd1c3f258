"""Training that was cut off and goes on elsewhere has the bits of training in one go."""

import copy

import pytest
import torch
from torch import nn

from tsd.engine import fit as module
from tsd.engine.fit import fit
from tsd.engine.rng import Streams
from tsd.models._module import from_module
from tsd.models.mlp import MLP
from tsd.studies._base import GradientStudy, Phase, Start

SAMPLES, INPUTS, TRIALS = 33, 5, 3
CONVOLUTION = from_module(
    lambda: nn.Sequential(
        nn.Unflatten(1, (1, 1, INPUTS)), nn.Conv2d(1, 3, (1, 3)), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(9, 1)
    )
)
CASES = {
    "adam": (MLP((INPUTS, 7, 1), "tanh"), {"way": "dense", "optimizer": "adam", "schedule": "cosine"}),
    "momentum": (MLP((INPUTS, 7, 1), "tanh"), {"way": "dense", "optimizer": "sgd", "momentum": 0.9}),
    "folded": (MLP((INPUTS, 7, 1), "tanh"), {"way": "dense", "optimizer": "sgd"}),
    "vmap": (MLP((INPUTS, 7, 1), "tanh"), {"way": "vmap", "optimizer": "adamw", "weight_decay": 0.1}),
    "loop": (CONVOLUTION, {"way": "loop", "optimizer": "adam"}),
}


class Lost(Exception):
    """The worker is gone."""


class Memory:
    """Keeps states in memory every `every` updates; the `lives`th time that it has kept one, the worker is lost."""

    def __init__(self, every=4, lives=1):
        self.kept, self.every, self.lives, self.updates = {}, every, lives, 0

    def due(self):
        if self.kept and self.lives == 0:
            raise Lost
        self.updates += 1
        return self.updates % self.every == 0

    def read(self, name):
        return self.kept.get(name)

    def write(self, states):
        self.kept |= copy.deepcopy(states)
        self.lives -= 1


def squared_error(student, batch, trial):
    return (student.output - batch["y"]).square().mean()


def absolute_error(student, batch, trial):
    return (student.output - batch["y"]).abs().mean()


def norm(student, held, trial):
    return {"norm": sum(float(tensor.square().sum()) for tensor in student.params.values())}


def trained(model, values, keep, loss=squared_error):
    given = {"batch_size": 10, "epochs": 4, "curve_points": 5} | values
    trials = [GradientStudy.of(given | {"lr": 1e-2 * (1 + k)}) for k in range(TRIALS)]
    seeds = [Streams({"init": k, "data": k}) for k in range(TRIALS)]
    starts = []
    for each in seeds:
        x = torch.from_numpy(each.generator("data", "inputs").standard_normal((SAMPLES, INPUTS))).float()
        params, buffers = model.init(lambda purpose, each=each: each.generator("init", purpose))
        starts.append(Start(model, params, buffers, {"x": x, "y": x.sin().sum(1)}, {}))
    return fit(starts, trials, seeds, loss, trace=norm, keep=keep)


def same(one, other):
    pairs = [(a.fitted, b.fitted) for a, b in zip(one, other, strict=True)]
    bits = all(torch.equal(a.params[k], b.params[k]) for a, b in pairs for k in a.params)
    bits = bits and all(torch.equal(a.buffers[k], b.buffers[k]) for a, b in pairs for k in a.buffers)
    return bits and [fit.curves for fit in one] == [fit.curves for fit in other]


@pytest.mark.parametrize("lives", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_a_worker_that_is_lost_costs_the_steps_since_and_no_bit(case, lives, monkeypatch):
    monkeypatch.setattr(module, "ASK_S", 0)  # asked after every update
    model, values = CASES[case]
    whole = trained(model, values, None)
    keep = Memory(lives=lives)
    with pytest.raises(Lost):
        trained(model, values, keep)
    before = keep.updates
    keep.lives = -1
    assert same(trained(model, values, keep), whole)
    stacks = TRIALS if values["way"] == "loop" else 1
    assert before == 4 * lives and keep.updates == stacks * 16, "16 updates a stack in all, none of them twice"


def test_phases_go_on_with_their_own_optimizer(monkeypatch):
    """Sixteen updates: the second phase begins at the eighth; states are kept before it, at its edge and in it."""
    monkeypatch.setattr(module, "ASK_S", 0)
    model, phases = MLP((INPUTS, 7, 1), "tanh"), [Phase(0.5, squared_error), Phase(0.5, absolute_error)]
    whole = trained(model, {"optimizer": "adam"}, None, phases)
    for lives in (1, 2, 3):
        keep = Memory(lives=lives)
        with pytest.raises(Lost):
            trained(model, {"optimizer": "adam"}, keep, phases)
        keep.lives = -1
        assert same(trained(model, {"optimizer": "adam"}, keep, phases), whole)


def test_divergence_is_remembered(monkeypatch):
    monkeypatch.setattr(module, "ASK_S", 0)
    model, values = MLP((INPUTS, 7, 1), "relu"), {"optimizer": "sgd", "epochs": 40}
    explosive = values | {"momentum": 0.5}

    def exploding(student, batch, trial):
        return squared_error(student, batch, trial) * 1e6

    whole = trained(model, explosive, None, exploding)
    keep = Memory(lives=1)
    with pytest.raises(Lost):
        trained(model, explosive, keep, exploding)
    keep.lives = -1
    assert [f.diverged for f in trained(model, explosive, keep, exploding)] == [f.diverged for f in whole] == [True] * 3


def test_a_state_serves_equal_trials_alone():
    model, values = CASES["adam"]
    keep = Memory(every=2, lives=1)
    with pytest.raises(Lost):
        trained(model, values, keep)
    keep.lives = -1
    assert same(trained(model, values | {"epochs": 3}, keep), trained(model, values | {"epochs": 3}, None))


def test_it_is_asked_more_rarely_where_updates_are_quick(monkeypatch):
    """500 updates: asked after 1, 2, 4 … of them, and wherever somebody looks."""
    monkeypatch.setattr(module, "ASK_S", 1e9)
    keep = Memory(every=10**6)
    trained(CASES["adam"][0], {"epochs": 125}, keep)
    assert keep.updates < 30


def test_training_that_is_soon_over_keeps_nothing():
    keep = Memory(every=10**6)
    trained(*CASES["adam"], keep)
    assert not keep.kept
