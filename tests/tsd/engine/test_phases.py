"""A stretch of the training may have a step size, a rule and data of its own."""

import pytest
import torch

from tsd.engine.fit import fit
from tsd.engine.rng import Streams
from tsd.fields import Batched, field
from tsd.models.mlp import MLP
from tsd.studies._base import GradientStudy, Phase, Start

MODEL = MLP((4, 6, 1))
STEPS = 12


class Trial(GradientStudy):
    first_lr: Batched[float] = field(0.0, ge=0, doc="Step size of the first phase.")


def squared_error(student, batch, trial):
    return (student.output - batch["y"]).square().mean()


def samples(seed, count=20):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return {"x": x, "y": x.sin().sum(1)}


def run(phases, trials, train=None, others=None):
    seeds = [Streams({"init": i, "data": 0}) for i in range(len(trials))]
    starts = [
        Start(
            MODEL,
            *MODEL.init(lambda name, s=s: s.generator("init", name)),
            train or samples(0),
            {},
            others=others or {},
        )
        for s in seeds
    ]
    return [each.fitted.params for each in fit(starts, trials, seeds, phases)]


def trial(**values):
    return Trial.of({"batch_size": 7, "steps": STEPS, "curve_points": 0, "lr": 0.05, "optimizer": "sgd"} | values)


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("way", ["loop", "vmap", "dense"])
def test_a_phase_takes_its_own_step_size_and_zero_takes_the_trials(way):
    own = [Phase(1.0, squared_error, lr="first_lr")]
    trials = [trial(way=way, first_lr=0.2), trial(way=way), trial(way=way, first_lr=0.01)]
    plain = [trial(way=way, lr=lr) for lr in (0.2, 0.05, 0.01)]
    found, expected = run(own, trials), run([Phase(1.0, squared_error)], plain)
    assert all(map(same, found, expected))
    assert not same(found[0], found[1])


def test_a_phase_takes_its_own_rule():
    found = run([Phase(1.0, squared_error, optimizer="adam")], [trial()])
    assert same(found[0], run([Phase(1.0, squared_error)], [trial(optimizer="adam")])[0])
    assert not same(found[0], run([Phase(1.0, squared_error)], [trial()])[0])


def test_the_next_phase_goes_back_to_the_trials_own():
    """Without a step in the first phase, the second is a run of its own half length."""
    still = [Phase(0.5, squared_error, lr="first_lr"), Phase(0.5, squared_error)]
    found = run(still, [trial(first_lr=1e-30)], samples(0, 7))
    half = run([Phase(1.0, squared_error)], [trial(steps=STEPS // 2)], samples(0, 7))
    for name, value in half[0].items():
        torch.testing.assert_close(found[0][name], value, rtol=1e-5, atol=1e-6)


def test_a_phase_learns_from_its_own_data_and_the_next_one_from_the_trials():
    mine, other = samples(0), samples(1, 33)
    assert same(
        run([Phase(1.0, squared_error, data="other")], [trial()], mine, {"other": other})[0],
        run([Phase(1.0, squared_error)], [trial()], other)[0],
    )
    poisoned = {"x": mine["x"] * torch.nan, "y": mine["y"]}
    halves = [Phase(0.5, squared_error, data="other"), Phase(0.5, squared_error)]
    assert all(v.isfinite().all() for v in run(halves[:1], [trial()], poisoned, {"other": other})[0].values())
    assert any(v.isnan().any() for v in run(halves, [trial()], poisoned, {"other": other})[0].values())


def test_trials_with_data_and_step_sizes_of_their_own_get_the_same_bits_in_any_company():
    phases = [Phase(0.5, squared_error, lr="first_lr", optimizer="adam", data="other"), Phase(0.5, squared_error)]
    trials = [trial(first_lr=0.1), trial(first_lr=0.02), trial()]
    together = run(phases, trials, others={"other": samples(1, 33)})
    assert same(run(phases, trials[:1], others={"other": samples(1, 33)})[0], together[0])
