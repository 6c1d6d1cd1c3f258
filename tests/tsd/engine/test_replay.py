"""Updates that are recorded once and replayed are the updates made one by one, to the bit."""

import copy
import logging
from dataclasses import replace
from functools import cache

import pytest
import torch
from taped import Tape
from torch import nn

from tsd.engine import fit as module
from tsd.engine import replay as replaying
from tsd.engine.fit import fit
from tsd.engine.rng import Streams
from tsd.models._module import from_module
from tsd.models.mlp import MLP
from tsd.models.spectral_mlp import SpectralMLP
from tsd.studies._base import GradientStudy, Phase, Start

INPUTS, TRIALS, SLOTS = 5, 7, 3
CHAIN = MLP((INPUTS, 7, 1), "tanh")
IMAGES = from_module(
    lambda: nn.Sequential(
        nn.Unflatten(1, (1, 1, INPUTS)), nn.Conv2d(1, 3, (1, 3)), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(9, 1)
    )
)
SGD = {"optimizer": "sgd"}
CASES = {
    "descent": (CHAIN, SGD),
    "descent, linear": (CHAIN, SGD | {"schedule": "linear"}),
    "momentum": (CHAIN, SGD | {"momentum": 0.9, "schedule": "cosine"}),
    "nesterov, decay": (CHAIN, SGD | {"momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    "adam": (CHAIN, {"optimizer": "adam"}),
    "adam, cosine, float64": (CHAIN, {"optimizer": "adam", "schedule": "cosine", "dtype": "float64"}),
    "adamw, steps": (CHAIN, {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "step"}),
    "spectral": (SpectralMLP(INPUTS, 9, 3), {"optimizer": "adam"}),
    "vmap": (CHAIN, {"way": "vmap", "optimizer": "adam", "schedule": "linear"}),
    "vmap, batch norm": (IMAGES, {"way": "vmap"} | SGD | {"momentum": 0.9}),
}


class Lost(Exception):
    """The worker is gone."""


class Memory:
    """Keeps states in memory every `every` asks; after `lives` of them the worker is lost."""

    def __init__(self, every, lives):
        self.kept, self.every, self.lives, self.asked = {}, every, lives, 0

    def due(self):
        self.asked += 1
        return self.asked % self.every == 0

    def read(self, name):
        return self.kept.get(name)

    def write(self, states):
        self.kept |= copy.deepcopy(states)
        self.lives -= 1
        if self.lives == 0:
            raise Lost


def squared_error(student, batch, trial):
    return (student.output - batch["y"]).square().mean()


def absolute_error(student, batch, trial):
    return (student.output - batch["y"]).abs().mean()


def taught(student, batch, trial):
    """The teacher's weights go with every batch."""
    return (student.output - batch["x"] @ batch["teacher"]).square().mean()


def norm(student, held, trial):
    return {"norm": sum(float(tensor.square().sum()) for tensor in student.params.values())}


def drawn(each, samples, shared):
    source = Streams({}) if shared else each
    x = torch.from_numpy(source.generator("data", "inputs").standard_normal((samples, INPUTS))).float()
    return {"x": x, "y": x.sin().sum(1)}


def start_of(model, each, samples, shared, altered):
    params, buffers = model.init(lambda purpose: each.generator("init", purpose))
    teacher = torch.from_numpy(each.generator("teacher", "weight").standard_normal(INPUTS)).float()
    alter = (lambda step, batch: batch | {"x": batch["x"] + step}) if altered else None
    others = {"other": drawn(Streams({"data": 99}), 23, shared=False)}
    whole = {"teacher": teacher}
    return Start(model, params, buffers, drawn(each, samples, shared), {}, whole, alter, others)


def trained(
    case,
    loss=squared_error,
    *,
    count=TRIALS,
    samples=33,
    shared=False,
    altered=False,
    keep=None,
    device="cpu",
    filled=True,
    **more,
):
    model, values = CASES[case]
    given = {"way": "dense", "batch_size": 10, "epochs": 13, "curve_points": 4} | values
    trials = [
        GradientStudy.of({"lr": 1e-2 * (1 + k)} | given | {n: v[k] for n, v in more.items()}) for k in range(count)
    ]
    seeds = [Streams({"init": k, "data": 0 if shared else k, "teacher": k // 4}) for k in range(count)]
    starts = [start_of(model, each, samples, shared, altered) for each in seeds]
    penalties = (lambda trial: {"layer1.weight": trial.lr}) if case in ("adam", "nesterov, decay") else None
    return fit(starts, trials, seeds, loss, penalties=penalties, trace=norm, device=device, keep=keep, filled=filled)


@pytest.fixture
def tape(monkeypatch):
    """From here on, updates are recorded and replayed, in stacks of a few slots."""
    tape = Tape()

    def begin():
        monkeypatch.setattr(module, "capturing", lambda device: tape)
        monkeypatch.setattr(module, "stack_size", lambda *shape: SLOTS)
        return tape

    return begin


@cache
def alone(case, samples=33, shared=False):
    """What the updates of `case` give when they are made one by one. Asked for before anything is recorded."""
    return trained(case, samples=samples, shared=shared)


def same(one, other):
    pairs = [(a.fitted, b.fitted) for a, b in zip(one, other, strict=True)]
    bits = all(torch.equal(a.params[k], b.params[k]) for a, b in pairs for k in a.params)
    bits = bits and all(torch.equal(a.buffers[k], b.buffers[k]) for a, b in pairs for k in a.buffers)
    return bits and [each.curves for each in one] == [each.curves for each in other]


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("samples", [30, 33], ids=["even", "short last batch"])
@pytest.mark.parametrize("case", CASES)
def test_replayed_updates_have_the_bits_of_single_ones(case, samples, shared, tape):
    single = alone(case, samples, shared)
    held = tape()
    assert same(trained(case, samples=samples, shared=shared), single)
    assert held.replayed > held.recorded > 0


def test_the_next_trials_take_the_places_without_a_new_recording(tape):
    """Three stacks of three places for seven trials; what is recorded of the first serves all."""
    held = tape()
    trained("adam", count=SLOTS)
    first, once = held.recorded, held.replayed
    trained("adam", count=TRIALS)
    assert held.recorded == 2 * first and held.replayed - once > 2 * once


def test_a_trial_has_the_same_bits_whoever_else_is_there(tape):
    """A lone one is filled up with copies of itself."""
    tape()
    everyone = trained("momentum")
    assert same(trained("momentum", count=1), everyone[:1])
    assert same(trained("momentum", count=5), everyone[:5])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_trials_than_places_may_stay_alone(count, tape):
    """As a teacher that is trained for all others; where there are more, the last stack is filled up all the same."""
    single = trained("adam", count=count)
    tape()
    assert same(trained("adam", count=count, filled=False), single)


def test_what_goes_with_every_batch_is_that_of_each_stack(tape):
    """Four trials have one teacher, which their first stack shares; the second stack has two."""
    single = trained("adam", taught)
    held = tape()
    assert same(trained("adam", taught), single)
    assert held.recorded


def test_trials_with_and_without_momentum_or_decay_are_apart(tape):
    """What is recorded leaves out what no trial of a stack has."""
    mixed = {"momentum": [0.9 * (k % 2) for k in range(TRIALS)], "weight_decay": [0.1 * (k % 3) for k in range(TRIALS)]}
    single = trained("descent", **mixed)
    tape()
    assert same(trained("descent", **mixed), single)


@pytest.mark.parametrize("case", ["descent", "momentum", "vmap", "vmap, batch norm"])
def test_phases_have_recordings_of_their_own(case, tape):
    phases = [
        Phase(0.3, squared_error, data="other", optimizer="adam"),
        Phase(0.3, absolute_error),
        Phase(0.4, squared_error),
    ]
    single = trained(case, phases)
    held = tape()
    assert same(trained(case, phases), single)
    assert held.recorded >= 3


@pytest.mark.parametrize("case", ["descent", "momentum"])
def test_a_trial_that_diverges_in_the_middle_leaves_its_neighbours_alone(case, tape):
    def explosive(student, batch, trial):
        return squared_error(student, batch, trial) * torch.where(trial.lr > 10, 1e30, 1.0)

    rates = {"lr": [0.01, 1e8, 0.02, 0.03, 0.01, 1e9, 0.02]}
    single = trained(case, explosive, epochs=[40] * TRIALS, **rates)
    tape()
    replayed = trained(case, explosive, epochs=[40] * TRIALS, **rates)
    assert [each.diverged for each in replayed] == [each.diverged for each in single]
    assert sum(each.diverged for each in single) == 2
    kept = [k for k in range(TRIALS) if not single[k].diverged]
    assert same([replayed[k] for k in kept], [single[k] for k in kept])
    assert all(a.curves == b.curves for a, b in zip(replayed, single, strict=True))


@pytest.mark.parametrize("lives", [1, 2, 5])
@pytest.mark.parametrize("case", ["descent, linear", "adam", "vmap, batch norm"])
def test_a_worker_that_is_lost_costs_no_bit(case, lives, tape, monkeypatch):
    """It is lost in the first stack, or in a later one; those before are kept though others sit in their places."""
    whole = alone(case)
    tape()
    monkeypatch.setattr(module, "ASK_S", 1e9)
    keep = Memory(every=4, lives=lives)
    with pytest.raises(Lost):
        trained(case, keep=keep)
    assert keep.kept
    assert same(trained(case, keep=keep), whole)


@pytest.mark.parametrize("lives", [1, 2, 4, 6])
def test_a_worker_that_is_lost_in_a_later_phase_costs_no_bit(lives, tape, monkeypatch):
    phases = [Phase(0.5, squared_error, optimizer="adam"), Phase(0.5, absolute_error)]
    whole = trained("momentum", phases)
    tape()
    monkeypatch.setattr(module, "ASK_S", 1e9)
    keep = Memory(every=2, lives=lives)
    with pytest.raises(Lost):
        trained("momentum", phases, keep=keep)
    assert same(trained("momentum", phases, keep=keep), whole)


@pytest.mark.parametrize("samples", [30, 33], ids=["even", "short last batch"])
def test_batches_that_are_altered_are_altered_first(samples, tape):
    single = trained("adam", altered=True, samples=samples)
    held = tape()
    assert same(trained("adam", altered=True, samples=samples), single)
    assert held.recorded


def test_work_that_no_graph_holds_is_done_one_by_one(tape, caplog, monkeypatch):
    """Here one that asks for a number in every update."""

    def asking(*args, **kwargs):
        learn = learner(*args, **kwargs)
        return replace(learn, move=lambda batch, numbers: learn.move(batch, numbers) * float(batch["x"].sum() != 0))

    single = alone("vmap, batch norm")
    held, learner = tape(), module.learner
    monkeypatch.setattr(module, "learner", asking)
    with caplog.at_level(logging.WARNING):
        assert same(trained("vmap, batch norm"), single)
    assert not held.replayed and "not permitted" in caplog.text


def test_large_batches_are_gathered_fewer_at_once(tape, monkeypatch):
    single = alone("momentum")
    held = tape()
    monkeypatch.setattr(replaying, "AHEAD_BYTES", 1)
    assert same(trained("momentum"), single)
    assert held.recorded and held.replayed


def test_a_processor_records_nothing():
    assert replaying.capturing(torch.device("cpu")) is None


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


@cuda
@pytest.mark.parametrize("samples", [30, 33], ids=["even", "short last batch"])
@pytest.mark.parametrize("case", CASES)
def test_on_a_card_a_graph_has_the_bits_of_its_work_done_one_by_one(case, samples, monkeypatch, caplog):
    graphs = trained(case, samples=samples, device="cuda")
    assert not caplog.text, "everything was recorded"
    assert same(trained(case, samples=samples, device="cuda"), graphs)
    monkeypatch.setattr(module, "capturing", lambda device: lambda work: work)
    assert same(trained(case, samples=samples, device="cuda"), graphs)


@cuda
@pytest.mark.parametrize("case", CASES)
def test_on_a_card_the_students_are_those_of_a_processor(case):
    _, values = CASES[case]
    tolerance = {"rtol": 1e-8, "atol": 1e-10} if values.get("dtype") == "float64" else {"rtol": 1e-2, "atol": 1e-3}
    for here, there in zip(trained(case), trained(case, device="cuda"), strict=True):
        for name, value in here.fitted.params.items():
            torch.testing.assert_close(there.fitted.params[name].cpu(), value, **tolerance)


@cuda
def test_on_a_card_a_trial_has_the_same_bits_among_as_many_slots(monkeypatch):
    monkeypatch.setattr(module, "stack_size", lambda *shape: SLOTS)
    everyone = trained("momentum", device="cuda")
    assert same(trained("momentum", count=1, device="cuda"), everyone[:1])
    assert same(trained("momentum", count=5, device="cuda"), everyone[:5])


@cuda
def test_on_a_card_nothing_is_waited_for_between_two_looks(monkeypatch):
    """Where somebody looks, the card is waited for; torch tells of every other time."""
    several, calls = replaying._Phase.several, []

    def unasked(phase, low, high, batches, health):
        calls.append(1)  # the first two spans record what the third needs
        torch.cuda.set_sync_debug_mode("error" if len(calls) == 3 else "default")
        try:
            several(phase, low, high, batches, health)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(replaying._Phase, "several", unasked)
    trained("adam", samples=30, device="cuda")
    assert len(calls) == 3
