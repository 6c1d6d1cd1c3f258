"""Decoupled distillation: the sum that it takes apart, the released code's arithmetic, and where it is not defined."""

import pytest
import torch
from torch.nn.functional import kl_div, log_softmax, softmax

from tsd.errors import UserError
from tsd.methods import dkd
from tsd.methods._base import Lesson
from tsd.methods.dkd import decoupled_loss
from tsd.methods.kd import soft_loss
from tsd.models._base import View
from tsd.studies import distill

DRAW = torch.Generator().manual_seed(0)
STUDENT, TEACHER = (3 * torch.randn(6, 5, generator=DRAW, dtype=torch.float64) for _ in range(2))
LABEL = torch.tensor([0, 1, 2, 3, 4, 4])


def masked(student, teacher, label, alpha, beta, t):  # noqa: PLR0917
    """The same by masks, as the authors' code writes it."""
    own = torch.nn.functional.one_hot(label, student.shape[1]).bool()

    def binary(logits):
        p = softmax(logits / t, 1)
        return torch.stack([(p * own).sum(1), (p * ~own).sum(1)], 1)

    target = kl_div(binary(student).log(), binary(teacher), reduction="batchmean")
    others = kl_div(
        log_softmax(student / t - 1000 * own, 1), softmax(teacher / t - 1000 * own, 1), reduction="batchmean"
    )
    return t**2 * (alpha * target + beta * others)


@pytest.mark.parametrize(("alpha", "beta", "temperature"), [(1, 8, 4), (1, 0, 1), (0, 1, 2), (0.3, 2, 20)])
def test_it_agrees_with_the_masks_of_the_released_code(alpha, beta, temperature):
    arguments = STUDENT, TEACHER, LABEL, alpha, beta, temperature
    assert decoupled_loss(*arguments).item() == pytest.approx(masked(*arguments).item(), rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_hintons_loss_is_the_sum_with_the_teachers_doubt_as_beta(temperature):
    """KD = TCKD + (1 − p_y) NCKD for every sample."""
    doubt = 1 - softmax(TEACHER / temperature, 1)[torch.arange(6), LABEL]
    assert decoupled_loss(STUDENT, TEACHER, LABEL, 1.0, 0.0, temperature).isfinite()
    each = [
        decoupled_loss(STUDENT[i : i + 1], TEACHER[i : i + 1], LABEL[i : i + 1], 1.0, doubt[i], temperature)
        for i in range(6)
    ]
    assert torch.stack(each).mean().item() == pytest.approx(soft_loss(STUDENT, TEACHER, temperature).item(), rel=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: decoupled_loss(TEACHER, STUDENT, LABEL, 1.0, 8.0, 4.0),
        lambda: decoupled_loss(STUDENT, TEACHER, LABEL.roll(1), 1.0, 8.0, 4.0),
        lambda: decoupled_loss(STUDENT, TEACHER, LABEL, 8.0, 1.0, 4.0),
        lambda: decoupled_loss(STUDENT / 4, TEACHER / 4, LABEL, 1.0, 8.0, 1.0),
    ],
    ids=["student and teacher exchanged", "labels out of order", "weights exchanged", "without T²"],
)
def test_the_usual_wrong_losses_are_told_apart(wrong):
    assert abs(wrong() - decoupled_loss(STUDENT, TEACHER, LABEL, 1.0, 8.0, 4.0)) > 1e-3


def test_the_gradient_agrees_with_finite_differences():
    student = STUDENT.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: decoupled_loss(z, TEACHER, LABEL, 1.0, 8.0, 4.0), student)


def test_networks_that_are_sure_have_a_finite_loss_in_single_precision():
    """1 − p_y is far below the spacing of numbers at 1, and the binary part still sees it."""
    sure = torch.tensor([[60.0, 1.0, 0.0]])
    student = torch.tensor([[50.0, 0.0, 1.0]], requires_grad=True)
    loss = decoupled_loss(student, sure, torch.tensor([0]), 1.0, 8.0, 1.0)
    [slope] = torch.autograd.grad(loss, student)
    assert loss.isfinite()
    assert slope.isfinite().all()
    assert slope[0, 1:].abs().min() > 0


def test_a_student_that_equals_its_teacher_has_nothing_left_to_learn():
    student = TEACHER.clone().requires_grad_()
    loss = decoupled_loss(student, TEACHER, LABEL, 1.0, 8.0, 4.0)
    assert loss.item() == 0
    assert torch.autograd.grad(loss, student)[0].abs().max() < 1e-14


def term(progress, **fields):
    lesson = Lesson(View(STUDENT, {}, {}), View(TEACHER, {}, {}), LABEL, torch.empty(0), progress=progress)
    return dkd.Method(**fields).loss(lesson)["decoupled"].item()


def test_the_term_grows_linearly_and_stays():
    full = decoupled_loss(STUDENT, TEACHER, LABEL, 1.0, 8.0, 4.0).item()
    shares = [term(torch.tensor(t), dkd_warm_up=0.2) / full for t in (0.0, 0.05, 0.1, 0.2, 0.9)]
    assert shares == pytest.approx([0, 0.25, 0.5, 1, 1], rel=1e-6)
    assert term(torch.tensor(0.0), dkd_warm_up=0.0) == full


def test_two_classes_are_refused_before_anything_runs():
    two = {"dataset": "gaussian", "gaussian_dim": 6, "gaussian_classes": 2, "gaussian_samples": 40, "method": "dkd"}
    with pytest.raises(UserError, match=r"needs three classes .* has 2\. Use the method kd"):
        distill.prepare(distill.Trial.of(distill.EXAMPLE | two))
    distill.prepare(distill.Trial.of(distill.EXAMPLE | two | {"gaussian_classes": 3}))
