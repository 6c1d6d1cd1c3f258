"""Hinton distillation against values computed by hand, its limits and its second implementation in torch."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from tsd.methods import kd, none
from tsd.methods._base import Lesson
from tsd.methods.kd import soft_loss
from tsd.models._base import View

STUDENT = torch.tensor([[2, 0, -1], [0.5, 1.5, -0.5]], dtype=torch.float64)
TEACHER = torch.tensor([[3, 1, -2], [0, 2, 1]], dtype=torch.float64)
LABEL = torch.tensor([0, 1])


def view(output):
    return View(output, {}, {})


def total(method, student=STUDENT, teacher=TEACHER):
    return sum(method.loss(Lesson(view(student), view(teacher), LABEL, torch.empty(0))).values())


@pytest.mark.parametrize(("temperature", "expected"), [(1, 0.089950), (4, 0.288302), (20, 0.371257), (1000, 0.388558)])
def test_soft_loss_has_its_golden_values(temperature, expected):
    assert soft_loss(STUDENT, TEACHER, temperature).item() == pytest.approx(expected, abs=1e-5)


def test_soft_cross_entropy_is_soft_loss_plus_the_teachers_entropy():
    """T = 1: −Σ p_t log p_s = 0.705819 = KL(p_t ‖ p_s) + H(p_t)."""
    p = softmax(TEACHER, 1)
    entropy = -(p * p.log()).sum(1).mean()
    assert (soft_loss(STUDENT, TEACHER, 1) + entropy).item() == pytest.approx(0.705819, abs=1e-5)


def test_the_whole_loss_has_its_golden_value():
    terms = kd.Method().loss(Lesson(view(STUDENT), view(TEACHER), LABEL, torch.empty(0)))
    assert terms["hard"].item() / 0.1 == pytest.approx(0.288726, abs=1e-5)
    assert total(kd.Method()).item() == pytest.approx(0.288344, abs=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, t: 16 * kl_div(log_softmax(s / 4, 1), softmax(t / 4, 1), reduction="none").mean(),
        lambda s, t: kl_div(log_softmax(s / 4, 1), softmax(t / 4, 1), reduction="batchmean"),
        lambda s, t: 16 * kl_div(log_softmax(t / 4, 1), softmax(s / 4, 1), reduction="batchmean"),
        lambda s, t: (
            16 * kl_div(log_softmax(softmax(s, 1) / 4, 1), softmax(softmax(t, 1) / 4, 1), reduction="batchmean")
        ),
    ],
    ids=["mean over classes", "without T²", "student and teacher exchanged", "softmax twice"],
)
def test_the_usual_wrong_losses_are_told_apart(wrong):
    assert abs(soft_loss(STUDENT, TEACHER, 4) - wrong(STUDENT, TEACHER)).item() > 1e-4


def test_soft_loss_agrees_with_torchs_kl_div():
    right = 16 * kl_div(log_softmax(STUDENT / 4, 1), softmax(TEACHER / 4, 1), reduction="batchmean")
    assert soft_loss(STUDENT, TEACHER, 4).item() == pytest.approx(right.item(), rel=1e-12)


def test_high_temperature_is_logit_matching():
    """T → ∞: T² KL tends to the squared distance of centred logits over 2C (Hinton et al. 2015, eq. 4).

    The error is O(1/T).
    """
    centred = (STUDENT - STUDENT.mean(1, keepdim=True)) - (TEACHER - TEACHER.mean(1, keepdim=True))
    limit = (centred.square().sum(1).mean() / 6).item()
    errors = [abs(soft_loss(STUDENT, TEACHER, t).item() - limit) for t in (1e2, 1e3, 1e4)]
    assert errors[1] < 1e-3 * limit
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.1)


def test_the_size_of_the_gradient_hardly_depends_on_a_high_temperature():
    def size(temperature):
        student = STUDENT.clone().requires_grad_()
        return torch.autograd.grad(soft_loss(student, TEACHER, temperature), student)[0].norm().item()

    assert size(50) == pytest.approx(size(200), rel=0.05)


def test_a_student_that_equals_its_teacher_has_nothing_left_to_learn():
    student = TEACHER.clone().requires_grad_()
    loss = soft_loss(student, TEACHER, 4.0)
    assert loss.item() == 0
    assert torch.autograd.grad(loss, student)[0].abs().max() < 1e-15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_soft_weight_loss_and_gradient_are_exactly_those_of_plain_training(dtype):
    results = []
    for method in (kd.Method(soft_weight=0.0), none.Method()):
        student = STUDENT.to(dtype).requires_grad_()
        loss = total(method, student, TEACHER.to(dtype))
        results.append((loss, torch.autograd.grad(loss, student)[0]))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_plain_training_is_the_cross_entropy_of_the_labels():
    assert total(none.Method()).item() == cross_entropy(STUDENT, LABEL).item()
