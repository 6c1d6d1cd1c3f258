"""Learning from noise: the golden value, what may not be read, what may not change, and what batch statistics do."""

from collections import OrderedDict
from functools import partial
from statistics import mean

import numpy as np
import pytest
import torch
from shelves import MemoryShelf
from torch.nn.functional import log_softmax, softmax

from tsd.engine.fit import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.methods import noise
from tsd.methods.kd import soft_loss
from tsd.methods.noise import soft_cross_entropy
from tsd.models._base import below
from tsd.studies import distill

STUDENT = torch.tensor([[2, 0, -1], [0.5, 1.5, -0.5]], dtype=torch.float64)
TEACHER = torch.tensor([[3, 1, -2], [0, 2, 1]], dtype=torch.float64)


def test_soft_cross_entropy_has_its_golden_value():
    assert soft_cross_entropy(STUDENT, TEACHER).item() == pytest.approx(0.705819, abs=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, t: soft_cross_entropy(t, s),
        lambda s, t: -(softmax(t, 1) * log_softmax(s, 1)).mean(),
        lambda s, t: soft_cross_entropy(softmax(s, 1), softmax(t, 1)),
        lambda s, t: soft_loss(s, t, 1.0),
    ],
    ids=["student and teacher exchanged", "mean over classes", "softmax twice", "without the teacher's entropy"],
)
def test_the_usual_wrong_losses_are_told_apart(wrong):
    assert abs(soft_cross_entropy(STUDENT, TEACHER) - wrong(STUDENT, TEACHER)).item() > 1e-2


def test_its_gradient_is_that_of_softened_answers_at_temperature_one():
    """The teacher's entropy does not depend on the student: the slope is (p_s − p_t) / B."""
    student = STUDENT.clone().requires_grad_()
    [slope] = torch.autograd.grad(soft_cross_entropy(student, TEACHER), student)
    assert torch.allclose(slope, (softmax(STUDENT, 1) - softmax(TEACHER, 1)) / 2, atol=1e-12)


SHELF = MemoryShelf()


def seeds(i=0):
    return Streams(dict.fromkeys(STREAMS, i) | {"teacher": 0})


def trial(**changed):
    size = {"teacher": "cnn", "teacher_width": 16, "teacher_depth": 2, "teacher_epochs": 10}
    size |= {"student": "cnn", "student_width": 4, "student_depth": 2}
    course = {"samples_per_class": 0, "batch_size": 128, "steps": 4, "lr": 2e-3, "curve_points": 0}
    return distill.Trial.of(distill.EXAMPLE | size | course | {"method": "noise"} | changed)


def test_the_inputs_are_standard_normal_and_drawn_by_update_alone():
    start = distill.start(trial(), seeds(), SHELF)
    assert not start.train["x"].any()
    batch = {"x": start.train["x"][:128], "y": start.train["y"][:128]}
    first, again, later = (start.alter(step, batch)["x"] for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    numbers = first.double().flatten()
    assert abs(numbers.mean().item()) < 5 / np.sqrt(len(numbers))
    assert numbers.std().item() == pytest.approx(1, abs=5 / np.sqrt(2 * len(numbers)))


def test_no_image_and_no_label_is_read():
    """Labels that no class has and images of NaN: the student learns the same, bit for bit."""
    one, fitted = trial(), []
    for poisoned in (False, True):
        start = distill.start(one, seeds(), SHELF)
        if poisoned:
            start.train["x"] = start.train["x"] * torch.nan
            start.train["y"] = start.train["y"] + 10**9
        [run] = fit([start], [one], [seeds()], distill.phases(one))
        assert not run.diverged
        fitted.append(run.fitted)
    assert all(torch.equal(fitted[0].params[key], fitted[1].params[key]) for key in fitted[0].params)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_the_teachers_weights_and_statistics_stay_as_they_were(statistics):
    one = trial(noise_statistics=statistics)
    start = distill.start(one, seeds(), SHELF)
    before = {key: tensor.clone() for key, tensor in start.whole.items()}
    assert any(key.endswith("running_mean") for key in before)
    fit([start], [one], [seeds()], distill.phases(one))
    assert all(torch.equal(start.whole[key], before[key]) for key in before)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_the_teacher_normalises_as_it_was_told(statistics):
    """The loss is that of the teacher run by hand, in training mode or in evaluation mode."""
    one = trial(noise_statistics=statistics)
    start = distill.start(one, seeds(), SHELF)
    x = torch.randn(128, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = {"x": x, "y": torch.zeros(128, dtype=torch.long), **start.whole}
    student = start.model.forward(start.params, start.buffers, x, train=True)
    teacher = distill.network(distill.tutor(one).network(one), one.activation, *distill.inputs(one))
    arrays = [
        {k.removeprefix(group): v for k, v in start.whole.items() if k.startswith(group)}
        for group in ("teacher.", "state.")
    ]
    answers = teacher.forward(*arrays, x, train=statistics == "batch").output
    [phase] = distill.phases(one)
    assert phase.loss(student, batch, one).item() == soft_cross_entropy(student.output, answers).item()


def plain(width, *states):
    """The cnn of this width on 8×8 images from torch's own modules, with the given weights and statistics."""
    conv, pool = partial(torch.nn.Conv2d, kernel_size=3, padding=1), torch.nn.MaxPool2d(2)
    layers = {"conv1": conv(1, width), "norm1": torch.nn.BatchNorm2d(width), "act1": torch.nn.ReLU(), "pool1": pool}
    layers |= {"conv2": conv(width, 2 * width), "norm2": torch.nn.BatchNorm2d(2 * width), "act2": torch.nn.ReLU()}
    layers |= {"pool2": pool, "flat": torch.nn.Flatten(), "hidden": torch.nn.Linear(8 * width, 4 * width)}
    layers |= {"act3": torch.nn.ReLU(), "head": torch.nn.Linear(4 * width, 10)}
    network = torch.nn.Sequential(OrderedDict(layers)).double()
    for state in states:
        assert not network.load_state_dict(state, strict=False).unexpected_keys
    return network


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_training_is_that_of_torchs_own_modules_and_adam_that_are_fed_the_same_draws(statistics):
    one, streams = trial(noise_statistics=statistics, steps=8, dtype="float64"), seeds(3)
    start = distill.start(one, streams, SHELF)
    [run] = fit([start], [one], [streams], distill.phases(one))
    teacher = plain(16, *(below(group, start.whole) for group in ("teacher.", "state."))).train(statistics == "batch")
    student = plain(4, start.params)
    adam = torch.optim.Adam(student.parameters(), one.lr)
    for step in range(8):
        drawn = streams.generator("noise", "inputs", step=step).standard_normal((128, 1, 8, 8), dtype="float32")
        x = torch.from_numpy(drawn).double()
        with torch.no_grad():
            answers = softmax(teacher(x), 1)
        adam.zero_grad()
        (-(answers * log_softmax(student(x), 1)).sum(1).mean()).backward()
        adam.step()
    learned = student.state_dict()
    for name, value in {**run.fitted.params, **run.fitted.buffers}.items():
        # Batch norm takes biases in front of it away; rounding alone moves them, and the running mean with them.
        if name not in ("conv1.bias", "conv2.bias", "norm1.running_mean", "norm2.running_mean"):
            torch.testing.assert_close(value, learned[name], rtol=1e-9, atol=1e-12, msg=name)


def test_it_declares_that_it_sees_neither_images_nor_labels():
    needs = noise.Method().needs
    assert not needs.images
    assert not needs.labels


def test_batch_statistics_of_the_teacher_are_worth_points():
    """400 updates on noise with an 8×8-digits teacher; both readings of the student's accuracy gain five points."""
    gains = {"test_accuracy_batch": [], "test_accuracy_recalibrated": []}
    for seed in range(2):
        batch, running = (
            run_pack(distill, [trial(noise_statistics=kind, steps=400)], [seeds(seed)], SHELF)[0].measured.metrics
            for kind in ("batch", "running")
        )
        for name, gain in gains.items():
            gain.append(batch[name] - running[name])
    assert all(mean(gain) > 5 for gain in gains.values())
