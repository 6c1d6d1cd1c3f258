"""Contrast: the released code's arithmetic, the best critic, who is compared with whom, and what the banks remember."""

from math import log

import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.fit import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.errors import UserError
from tsd.methods.crd import against, contrast_loss, unit
from tsd.studies import distill

DRAW = torch.Generator().manual_seed(0)
POSITIVE = torch.randn(4, generator=DRAW, dtype=torch.float64)
NEGATIVE = torch.randn(4, 9, generator=DRAW, dtype=torch.float64)


def test_it_agrees_with_the_quotients_of_the_released_code():
    """There c = K/N, and every quotient has 1e-7 added below."""
    h, others, c = POSITIVE.exp(), NEGATIVE.exp(), 9 / 50
    expected = -((h / (h + c + 1e-7)).log().sum() + (c / (others + c + 1e-7)).log().sum()) / 4
    assert contrast_loss(POSITIVE, NEGATIVE, 50).item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_wrong_number_of_samples_and_a_mean_over_pairs_are_told_apart():
    right = contrast_loss(POSITIVE, NEGATIVE, 50)
    assert abs(contrast_loss(POSITIVE, NEGATIVE, 60) - right) > 1e-2
    assert abs(-torch.nn.functional.logsigmoid(log(9 / 50) - NEGATIVE).mean() - right) > 1e-2


def test_pairs_that_are_well_apart_cost_nothing():
    assert contrast_loss(POSITIVE + 60, NEGATIVE - 60, 50).item() < 1e-12


def test_a_critic_that_cannot_tell_does_best_by_the_prior():
    """All h equal: −log h/(h + c) − K log c/(h + c) is smallest at h/(h + c) = 1/(1 + K), that is h = 1/N."""
    score = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for _ in range(200):
        [slope] = torch.autograd.grad(contrast_loss(score.expand(1), score.expand(1, 9), 50), score)
        score = (score - 0.5 * slope).detach().requires_grad_()
    assert score.exp().item() == pytest.approx(1 / 50, rel=1e-6)


def test_embeddings_that_are_very_unlike_stay_finite_in_single_precision():
    positive = torch.tensor([-300.0], requires_grad=True)
    loss = contrast_loss(positive, torch.tensor([[300.0]]), 10)
    assert loss.item() == pytest.approx(600, rel=1e-2)
    assert torch.autograd.grad(loss, positive)[0].item() == pytest.approx(-1)


def test_a_sample_is_compared_with_itself_and_with_every_other_one_equally_often():
    rows = torch.tensor([0, 3, 6])
    chosen = against(rows, torch.arange(12).expand(3, 12), 7)
    assert chosen[:, 0].tolist() == rows.tolist()
    assert [row.bincount(minlength=7).tolist() for row in chosen[:, 1:]] == [
        [0 if other == row else 2 for other in range(7)] for row in rows
    ]


SHELF = MemoryShelf()
SEEDS = Streams(dict.fromkeys(STREAMS, 0))


def trial(**changed):
    return distill.Trial.of(
        distill.EXAMPLE | {"method": "crd", "crd_negatives": 20, "crd_width": 6, "curve_points": 0} | changed
    )


def fitted(one, phase=None):
    start = distill.start(one, SEEDS, SHELF)
    [run] = fit([start], [one], [SEEDS], distill.phases(one))
    return start, run.fitted


def test_the_banks_hold_the_few_samples_of_the_student_and_follow_those_it_saw():
    """One batch of 20 of 50 samples: 20 rows move, all stay on the sphere, log Z is set and then kept."""
    start, after = fitted(trial(steps=1))
    for side in ("student", "teacher"):
        before, bank = start.buffers[f"memory.{side}s"], after.buffers[f"memory.{side}s"]
        assert bank.shape == (50, 6)
        assert (bank != before).any(1).sum() == 20
        assert torch.allclose(bank.norm(dim=1), torch.ones(50), atol=1e-5)
        assert torch.allclose(before.norm(dim=1), torch.ones(50), atol=1e-5)
        assert after.buffers[f"memory.{side}_scale"].isfinite()
    _, later = fitted(trial(steps=4))
    assert later.buffers["memory.student_scale"] == after.buffers["memory.student_scale"]


def test_without_momentum_a_bank_holds_the_embeddings_themselves():
    """The first batch's, of weights that have not moved yet."""
    one = trial(steps=1, crd_momentum=0.0)
    start, after = fitted(one)
    view = start.model.forward(start.params, start.buffers, start.train["x"], train=True)
    embedding = unit(view.adapt("student", view.features["hidden1"]))
    moved = (after.buffers["memory.students"] != start.buffers["memory.students"]).any(1)
    assert torch.allclose(after.buffers["memory.students"][moved], embedding[moved], atol=1e-5)


def test_samples_can_be_told_better_after_training_than_before():
    """Share of the training samples whose own entry in the teacher's bank is the one most like their embedding."""
    settings = {"steps": 300, "lr": 3e-3, "student_width": 32, "crd_width": 16, "crd_negatives": 200, "crd_weight": 5.0}
    _, after = fitted(trial(**settings))
    x = distill.start(trial(), SEEDS, SHELF).train["x"]
    view = after.model.forward(after.params, after.buffers, x)
    scores = unit(view.adapt("student", view.features["hidden1"])) @ after.buffers["memory.teachers"].mT
    assert (scores.argmax(1) == torch.arange(50)).float().mean() > 0.8


def test_maps_are_refused_with_a_way_out():
    points = {"student_point": "act1", "teacher_point": "act1"}
    with pytest.raises(UserError, match=r"crd compares vectors; `act1` of the student cnn .*Name a point of vectors"):
        distill.prepare(trial(student="cnn", teacher="cnn", **points))
