"""What every file of `tsd/methods` keeps: a new one is tested on arrival, as the study `distill` runs it."""

import json
import re
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.batches import Batches
from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.engine.stack import placed
from tsd.fields import Role
from tsd.methods import METHODS
from tsd.methods._base import Distillation, Needs, Taxonomy
from tsd.studies import STUDIES
from tsd.studies._base import Fitted
from tsd.studies._distill_pupil import bare

WAYS = ("loop", "vmap", "dense")
NAMES = METHODS.names()
MAPS = ("at", "factor_transfer", "nst", "review", "vid")
SHELF = MemoryShelf()
distill = STUDIES.load("distill")


def trial(name, **changed):
    """Two small convolutional networks on 8 × 8 digits; the teacher is the wider one."""
    networks = {"teacher": "cnn", "teacher_width": 4, "student": "cnn", "student_width": 2}
    depths = {"teacher_depth": 2, "student_depth": 2, "teacher_epochs": 1}
    return distill.Trial.of(distill.EXAMPLE | networks | depths | {"method": name} | changed)


def seeds(i=0):
    return Streams(dict.fromkeys(STREAMS, i) | {"teacher": 0})


def outcomes(trials, streams):
    return [repr(outcome) for outcome in run_pack(distill, trials, streams, SHELF)]


def losses(one, streams):
    """Of every phase: the loss of the untrained student on its first batch, and its gradient by parameter."""
    start = distill.start(one, streams, SHELF)
    batch = {key: value[0] for key, value in Batches.of([start], [streams], one.batch_size).at(0).items()}
    for phase in distill.phases(one):
        leaves = {key: value.clone().requires_grad_() for key, value in start.params.items()}
        view = start.model.forward(leaves, start.buffers, batch["x"], train=True)
        value = phase.loss(view, batch, one)
        slopes = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        yield value.detach(), {k: s for k, s in zip(leaves, slopes, strict=True) if s is not None}


@pytest.mark.parametrize("name", NAMES)
def test_a_method_says_its_idea_its_source_its_needs_and_its_fields(name):
    module = METHODS.load(name)
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:|\b(19|20)\d\d\b", module.__doc__), "no source in the docstring"
    assert issubclass(module.Method, Distillation)
    assert isinstance(module.Method.needs, Needs)
    assert module.Method.__doc__ != Distillation.__doc__
    for declared in module.Method.fields().values():
        assert declared.doc.endswith("."), declared.name
        assert declared.parse(declared.default) == declared.default


@pytest.mark.parametrize("name", NAMES)
def test_its_place_among_its_kin_survives_the_way_through_text(name):
    taxonomy = METHODS.load(name).Method.taxonomy
    assert Taxonomy(**json.loads(json.dumps(asdict(taxonomy)))) == taxonomy
    assert all(asdict(taxonomy).values())


def test_reading_a_methods_fields_needs_no_torch():
    """All in one process: the first one that loads it is named."""
    read = "METHODS.load(name).Method.fields(); assert 'torch' not in sys.modules, name"
    code = f"import sys; from tsd.methods import METHODS\nfor name in METHODS.names(): {read}"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_phase_has_a_finite_loss_that_moves_the_student(name):
    student = distill.start(trial("none"), seeds(), SHELF).params
    for value, slopes in losses(trial(name), seeds()):
        assert value.shape == ()
        assert value.isfinite()
        moved = [slope for key, slope in slopes.items() if key in student]
        assert all(slope.isfinite().all() for slope in slopes.values())
        assert any(slope.abs().max() > 0 for slope in moved)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_every_phase_is_the_slope_of_its_loss(name):
    """Along one direction in which all weights move, by central differences in double precision; on a batch that is not
    the first, for some methods measure the size of their terms on that one."""
    one = trial(name, dtype="float64")
    [start] = placed([distill.start(one, seeds(), SHELF)], torch.device("cpu"), torch.float64)
    batch = {key: value[0] for key, value in Batches.of([start], [seeds()], one.batch_size).at(0).items()}
    draw = torch.Generator().manual_seed(0)
    way = {key: torch.randn(value.shape, generator=draw, dtype=value.dtype) for key, value in start.params.items()}

    def value(phase, params, buffers):
        view = start.model.forward(params, buffers, batch["x"], train=True)
        return phase.loss(view, batch, one), view.buffers

    for phase in distill.phases(one):
        _, state = value(phase, start.params, start.buffers)
        leaves = {key: tensor.clone().requires_grad_() for key, tensor in start.params.items()}
        found = torch.autograd.grad(
            value(phase, leaves, state)[0], list(leaves.values()), materialize_grads=True, allow_unused=True
        )
        slope = sum((each * along).sum() for each, along in zip(found, way.values(), strict=True))
        high, low = (
            value(phase, {key: tensor + step * way[key] for key, tensor in start.params.items()}, state)[0]
            for step in (1e-6, -1e-6)
        )
        assert slope.item() == pytest.approx(((high - low) / 2e-6).item(), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "none" and not METHODS.load(n).Method.neutral])
def test_a_method_without_a_neutral_setting_reads_no_labels(name):
    assert not METHODS.load(name).Method.needs.labels


@pytest.mark.parametrize("name", NAMES)
def test_the_phases_are_the_whole_training(name):
    shares = [phase.share for phase in distill.phases(trial(name))]
    assert sum(shares) == pytest.approx(1)
    assert min(shares) > 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_measured_is_the_student_alone(name):
    start = distill.start(trial(name), seeds(), SHELF)
    alone = bare(Fitted(start.model, start.params, start.buffers))
    plain = distill.start(trial("none"), seeds(), SHELF)
    assert list(alone.params) == list(plain.params)
    assert list(alone.buffers) == list(plain.buffers)
    assert all(torch.equal(alone.params[key], plain.params[key]) for key in plain.params)


@pytest.mark.parametrize("name", [n for n in NAMES if METHODS.load(n).Method.neutral])
def test_the_neutral_setting_is_plain_training(name):
    method = METHODS.load(name).Method
    [taught], [plain] = (
        run_pack(distill, [one], [seeds()], SHELF) for one in (trial(name, **method.neutral), trial("none"))
    )
    told = {metric: value for metric, value in taught.measured.metrics.items() if metric not in method.reports}
    assert (told, taught.measured.curves) == (plain.measured.metrics, plain.measured.curves)


@pytest.mark.parametrize("name", [n for n in NAMES if not METHODS.load(n).Method.needs.features])
def test_a_method_that_reads_no_features_gets_none(name):
    start = distill.start(trial(name), seeds(), SHELF)
    assert not [entry for entry in start.train if entry.startswith("feature.")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_a_student_gets_the_same_bits_alone_and_among_others_with_other_settings(name, way):
    """Trials of one pack differ in their seeds and in every batched number of the method and of the optimizer."""
    numbers = [f for f in METHODS.load(name).Method.fields().values() if f.role is Role.BATCHED and f.type is float]
    chain = {"teacher": "mlp", "teacher_depth": 2, "student": "mlp", "student_depth": 2} if way == "dense" else {}

    # A chain that its loss asks again has no gradients by hand: it goes the way that the rule says.
    taken = "auto" if chain and METHODS.load(name).Method.needs.input_gradients else way

    def one(i):
        own = {f.name: float(f.default) * (1 - 0.2 * i) for f in numbers}
        return trial(name, way=taken, lr=1e-2 / (i + 1), **chain, **own)

    if way == "dense" and name in MAPS:
        pytest.skip("the method compares maps, which chains of affine layers do not have")
    together = outcomes([one(i) for i in range(3)], [seeds(i) for i in range(3)])
    assert outcomes([one(1)], [seeds(1)]) == [together[1]]
    assert outcomes([one(2), one(0)], [seeds(2), seeds(0)]) == [together[2], together[0]]
    assert len(set(together)) == 3
