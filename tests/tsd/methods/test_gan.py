"""Compression with a GAN: the loss and the score by hand, who generates which batches, a perfect sampler."""

from dataclasses import replace
from functools import partial
from math import sqrt

import numpy as np
import pytest
import torch
from shelves import MemoryShelf

from tsd import data
from tsd.engine.fit import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.errors import UserError
from tsd.methods import gan
from tsd.methods._gan_networks import classes_of, codes, critic, generator
from tsd.methods._gan_training import GAN, Pair, bout_loss
from tsd.methods._teacher import taught
from tsd.methods.gan import compression_score, regression_loss
from tsd.studies import distill

STUDENT = torch.tensor([[2, 0, -1], [0.5, 1.5, -0.5]], dtype=torch.float64)
TEACHER = torch.tensor([[3, 1, -2], [0, 2, 1]], dtype=torch.float64)
SEEDS = Streams(dict.fromkeys(STREAMS, 0))
CENTRES = np.array([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [0.0, -3.0]])


def test_the_loss_is_half_the_squared_distance_of_the_logits():
    """Differences (1, 1, −1) and (−½, ½, 1½): (3 + 2.75)/2 over 2 samples."""
    assert regression_loss(STUDENT, TEACHER).item() == pytest.approx(1.4375, abs=1e-12)
    assert abs((STUDENT - TEACHER).square().mean() / 2 - 1.4375) > 0.5


def test_the_score_is_a_ratio_with_the_error_of_its_numerator_where_the_real_accuracy_is_a_constant():
    score, error = compression_score([0.4, 0.5, 0.6], [0.532])
    assert score == pytest.approx(0.5 / 0.532, rel=1e-12)
    assert error == pytest.approx(0.1 / sqrt(3) / 0.532, rel=1e-12)


def test_the_error_of_the_score_is_that_of_many_repetitions():
    """Means of 10 runs each, of 0.5 ± 0.02 over 0.8 ± 0.03."""
    rng = np.random.default_rng(0)
    candidates, reals = rng.normal(0.5, 0.02, (2000, 10)), rng.normal(0.8, 0.03, (2000, 10))
    found = np.array([compression_score(c, r) for c, r in zip(candidates.tolist(), reals.tolist(), strict=True)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)


def test_inputs_that_are_worth_as_much_as_real_ones_score_one_in_any_unit():
    assert compression_score([0.5, 0.7], [0.7, 0.5])[0] == 1
    per_cent, share = compression_score([50, 70], [80, 90]), compression_score([0.5, 0.7], [0.8, 0.9])
    assert per_cent == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(("candidates", "reals"), [([], [0.5]), ([0.5], []), ([0.5], [0.0])])
def test_a_score_of_nothing_is_refused(candidates, reals):
    with pytest.raises(ValueError, match=r"at least one|right somewhere"):
        compression_score(candidates, reals)


def draws(step):
    return partial(SEEDS.generator, "noise", step=step)


def test_every_class_is_coded_as_often_as_any_other():
    code = codes(120, 3, np.random.default_rng(0))
    assert classes_of(code, 8).bincount().tolist() == [15] * 8
    assert classes_of(code, 10).bincount().tolist() == [12] * 10


def test_whole_batches_are_generated_as_often_as_asked():
    """A share of p_fake within three standard deviations; each batch is wholly real or wholly generated."""
    method, steps = gan.Method(p_fake=0.3), 2000
    batch = {"x": torch.zeros(4, 2), "y": torch.arange(4)}
    seen = [method.draw(batch, draws(step), lambda name, code: code[:, 1:3]) for step in range(steps)]
    fake = torch.stack([(drawn["x"] != 0).all(1) for drawn in seen])
    assert torch.equal(fake.all(1), fake.any(1))
    assert abs(fake.all(1).sum().item() - 0.3 * steps) < 3 * sqrt(steps * 0.3 * 0.7)
    assert all(torch.equal(drawn["y"], batch["y"]) for drawn in seen)
    again = method.draw(batch, draws(7), lambda name, code: code[:, 1:3])
    assert torch.equal(again["x"], seen[7]["x"])


@pytest.mark.parametrize(("p_fake", "generated"), [(0.0, 0), (1.0, 50)])
def test_none_or_all_batches_are_generated_at_the_ends(p_fake, generated):
    batch = {"x": torch.zeros(4, 2)}
    asked = []
    for step in range(50):
        gan.Method(p_fake=p_fake).draw(batch, draws(step), lambda name, code: asked.append(code) or code[:, 1:3])
    assert len(asked) == generated
    assert len({code.sum().item() for code in asked}) == generated


SHELF = MemoryShelf()


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """Four Gaussians in the plane, as a data set of one's own."""
    rng = np.random.default_rng(0)
    y = {part: np.arange(800) % 4 for part in ("train", "test")}
    arrays = {f"x_{part}": CENTRES[label] + rng.standard_normal((800, 2)) for part, label in y.items()}
    path = tmp_path_factory.mktemp("mixture") / "mixture.npz"
    np.savez(path, **arrays, **{f"y_{part}": label for part, label in y.items()})
    return path, arrays["x_train"].mean(0), arrays["x_train"].std(0)


def trial(mixture, **changed):
    own = {"dataset": str(mixture[0]), "method": "gan", "samples_per_class": 12, "batch_size": 48, "curve_points": 0}
    size = {"teacher_width": 32, "teacher_depth": 2, "student_width": 32, "student_depth": 2}
    size |= {"teacher_epochs": 40, "teacher_lr": 1e-2, "lr": 1e-2, "schedule": "linear", "steps": 1000}
    course = {"gan_epochs": 100, "gan_width": 16, "gan_latent": 4, "gan_batch_size": 100}
    return distill.Trial.of(distill.EXAMPLE | own | size | course | changed)


def error_of_a_student(mixture, p_fake):
    """Mean squared error of the logits on the test set, the student having seen a few points and a perfect sampler;
    its labels are none of any class."""
    one = trial(mixture, p_fake=p_fake)
    method, start = one.part("method"), distill.start(one, SEEDS, SHELF)

    def sampler(_, code):
        raw = CENTRES[classes_of(code, 4)] + code[:, 1:3].double().numpy()
        return torch.from_numpy((raw - mixture[1]) / mixture[2]).float()

    start = replace(start, alter=lambda step, batch: method.draw(batch, draws(step), sampler))
    start.train["y"] = start.train["y"] + 10**9
    [run] = fit([start], [one], [SEEDS], distill.phases(one))
    known = taught(distill.tutor(one), one, SEEDS, SHELF)
    x = data.load(one.dataset).x_test
    answers = run.fitted.model.forward(run.fitted.params, run.fitted.buffers, x).output
    return (answers - known.logits["test"]).square().mean().item()


def test_a_perfect_sampler_is_worth_more_than_48_points_and_no_label_is_read(mixture):
    assert error_of_a_student(mixture, 1.0) < 0.5 * error_of_a_student(mixture, 0.0)


def test_the_gan_of_vectors_finds_the_classes(mixture):
    """Nearly all that is generated for a class lies nearest its centre and spreads; all lies in the data's range."""
    one = trial(mixture)
    arrays, _ = SHELF.get(GAN, one, SEEDS)
    weights = {name.removeprefix("generator."): torch.tensor(array) for name, array in arrays.items()}
    code = codes(400, 4, np.random.default_rng(1))
    made = generator((2,), 4, 4, 16).forward(weights, {}, code).output.numpy()
    known = data.load(one.dataset).x_train.numpy()
    assert (known.min(0) <= made.min(0)).all()
    assert (made.max(0) <= known.max(0)).all()
    raw = made * mixture[2] + mixture[1]
    asked = classes_of(code, 4).numpy()
    nearest = np.square(raw[:, None] - CENTRES).sum(2).argmin(1)
    assert (nearest == asked).mean() > 0.9
    assert min(raw[asked == label].std(0).min() for label in range(4)) > 0.3


def test_one_gan_serves_all_students_and_shares_of_generated_batches(mixture):
    shelf = MemoryShelf()
    for changed in ({}, {"p_fake": 0.1}, {"student_width": 5, "samples_per_class": 9, "lr": 0.1}, {"teacher_width": 7}):
        distill.start(trial(mixture, **changed, gan_epochs=1), SEEDS, shelf)
    assert sum(key[0] == "gan" for key in shelf.kept) == 1
    assert all(name.startswith("generator.") for key in shelf.kept if key[0] == "gan" for name in shelf.kept[key][0])


def test_the_generators_gradient_is_that_of_its_own_loss_and_the_critics_of_its_own():
    model = Pair(generator((2,), 3, 4, 2), critic((2,), 3, 2))
    params, buffers = model.init(partial(SEEDS.generator, "init"))
    leaves = {name: tensor.requires_grad_() for name, tensor in params.items()}
    rng = torch.Generator().manual_seed(0)
    batch = {"x": torch.randn(6, 2, generator=rng), "y": torch.arange(6) % 3, "code": codes(6, 4, draws(0)("codes"))}
    bout = model.forward(leaves, buffers, batch["x"])
    found = torch.autograd.grad(bout_loss(bout, batch, None), list(leaves.values()))
    bout = model.forward(leaves, buffers, batch["x"])
    rows, asked = torch.arange(6), classes_of(batch["code"], 3)
    made = bout.judge(bout.make(batch["code"]))[rows, asked].sigmoid()
    x = batch["x"].clone().requires_grad_()
    real = bout.judge(x)[rows, batch["y"]]
    [slope] = torch.autograd.grad(real.sum(), x, create_graph=True)
    told = (slope.square().sum(1) / 2 - real.sigmoid().log() - (1 - made).log()).mean()
    fooled = -made.log().mean()
    for (name, leaf), gradient in zip(leaves.items(), found, strict=True):
        own = fooled if name.startswith("generator.") else told
        [expected] = torch.autograd.grad(own, leaf, retain_graph=True, allow_unused=True, materialize_grads=True)
        assert torch.allclose(gradient, expected, atol=1e-6), name


def test_images_that_cannot_be_doubled_twice_are_refused_before_anything_runs(tmp_path):
    x, y = np.random.default_rng(0).random((40, 10, 10)), np.arange(40) % 2
    np.savez(tmp_path / "odd.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    odd = distill.Trial.of(distill.EXAMPLE | {"dataset": str(tmp_path / "odd.npz"), "method": "gan"})
    with pytest.raises(UserError, match=r"multiples of 4; this data set has inputs of shape \(1, 10, 10\)"):
        distill.prepare(odd)
