"""Correlations of answers: NumPy's as a second implementation, what they do not see, and what may not break them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from tsd.methods.dist import correlation, inter_loss, intra_loss

DRAW = torch.Generator().manual_seed(0)
STUDENT, TEACHER = (2 * torch.randn(7, 5, generator=DRAW, dtype=torch.float64) for _ in range(2))


def by_numpy(student, teacher):
    return np.mean([1 - np.corrcoef(s, t)[0, 1] for s, t in zip(student, teacher, strict=True)])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_both_losses_agree_with_numpys_correlations(temperature):
    p, q = (softmax(z / temperature, 1).numpy() for z in (STUDENT, TEACHER))
    found = [loss(STUDENT, TEACHER, temperature).item() for loss in (inter_loss, intra_loss)]
    assert found == pytest.approx([temperature**2 * by_numpy(*each) for each in ((p, q), (p.T, q.T))], rel=1e-9)


def test_correlations_by_sample_and_by_class_are_told_apart():
    assert abs(inter_loss(STUDENT, TEACHER, 1.0) - intra_loss(STUDENT, TEACHER, 1.0)) > 1e-3


def test_correlation_sees_neither_scale_nor_offset():
    assert torch.allclose(correlation(3 * STUDENT + 2, TEACHER), correlation(STUDENT, TEACHER), atol=1e-12)
    assert torch.allclose(correlation(-STUDENT, TEACHER), -correlation(STUDENT, TEACHER), atol=1e-12)
    assert torch.allclose(correlation(STUDENT, 5 * STUDENT - 1), torch.ones(7, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("loss", [inter_loss, intra_loss])
def test_a_student_that_equals_its_teacher_has_nothing_left_to_learn(loss):
    student = TEACHER.clone().requires_grad_()
    value = loss(student, TEACHER, 4.0)
    assert value.item() == pytest.approx(0, abs=1e-10)
    assert torch.autograd.grad(value, student)[0].abs().max() < 1e-8


@pytest.mark.parametrize("loss", [inter_loss, intra_loss])
def test_the_gradient_agrees_with_finite_differences(loss):
    student = STUDENT.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, TEACHER, 4.0), student)


@pytest.mark.parametrize("loss", [inter_loss, intra_loss])
@pytest.mark.parametrize("rows", [1, 4])
def test_answers_that_are_all_alike_correlate_with_nothing_and_break_nothing(loss, rows):
    student = torch.zeros(rows, 5, requires_grad=True)
    value = loss(student, TEACHER[:rows].float(), 2.0)
    assert value.item() == pytest.approx(4)
    assert torch.autograd.grad(value, student)[0].isfinite().all()
