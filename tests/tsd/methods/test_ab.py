"""Activation boundaries: the values computed by hand, what is pushed where, and how many units agree after it."""

import pytest
import torch
from taught_digits import agreements, stage, start, trial, value

from tsd.errors import UserError
from tsd.methods import ab
from tsd.methods._base import Lesson, Traits
from tsd.methods.ab import boundary_loss, sign_agreement
from tsd.models._base import Stage, View
from tsd.studies import distill
from tsd.studies._base import Fitted
from tsd.studies._distill_networks import pair

STUDENT = torch.tensor([-2, -0.5, 0.5, 2, -2, -0.5, 0.5, 2], dtype=torch.float64)
TEACHER = torch.tensor([-1.0] * 4 + [1.0] * 4, dtype=torch.float64)
EACH = [0, 0.25, 2.25, 9, 9, 2.25, 0.25, 0]


def piecewise(s, t, m):
    """The formula as the paper writes it, one element at a time."""
    if t > 0:
        return (s - m) ** 2 if s <= m else 0.0
    return (s + m) ** 2 if s > -m else 0.0


def test_every_element_has_its_golden_value():
    each = [boundary_loss(s.reshape(1, 1), t.reshape(1, 1), 1.0).item() for s, t in zip(STUDENT, TEACHER, strict=True)]
    assert each == EACH


def test_a_sample_is_summed_and_scaled_as_released():
    total = boundary_loss(STUDENT[None], TEACHER[None], 1.0).item()
    assert total == 23
    assert ab.Method().ab_weight * total == pytest.approx(0.069, abs=1e-5)


def test_the_loss_agrees_with_the_formula_written_out():
    generator = torch.Generator().manual_seed(0)
    s, t = (torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    written = sum(piecewise(a, b, 0.7) for a, b in zip(s.flatten().tolist(), t.flatten().tolist(), strict=True)) / 3
    assert boundary_loss(s, t, 0.7).item() == pytest.approx(written, rel=1e-12)


def test_the_usual_wrong_losses_are_told_apart():
    right = boundary_loss(STUDENT[None], TEACHER[None], 1.0).item()
    for wrong in (
        boundary_loss(STUDENT.relu()[None], TEACHER.relu()[None], 1.0),  # behind the activation
        boundary_loss(TEACHER[None], STUDENT[None], 1.0),  # student and teacher exchanged
        boundary_loss(STUDENT[None], TEACHER[None], 1.0) / 8,  # mean over the elements
    ):
        assert abs(wrong.item() - right) > 1e-3


def test_the_loss_is_zero_exactly_where_the_student_is_past_the_margin_on_the_teachers_side():
    grid = torch.linspace(-2, 2, 41, dtype=torch.float64)
    for t in (-0.3, 0.3):
        for s in grid:
            past = abs(s.item()) >= 1 and (s > 0).item() == (t > 0)
            assert (boundary_loss(s.reshape(1, 1), torch.tensor([[t]]), 1.0).item() == 0) == past


def test_only_the_sign_of_the_teacher_counts():
    assert torch.equal(
        boundary_loss(STUDENT[None], TEACHER[None], 1.0), boundary_loss(STUDENT[None], 9 * TEACHER[None], 1.0)
    )


def test_the_gradient_is_that_of_the_formula():
    student = STUDENT[None].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: boundary_loss(s, TEACHER[None], 1.0), student)


def test_sign_agreement_is_the_share_of_units_that_are_on_or_off_in_both():
    assert sign_agreement(STUDENT, TEACHER).item() == 0.5
    assert sign_agreement(STUDENT, STUDENT * 3).item() == 1
    assert sign_agreement(STUDENT, -STUDENT).item() == 0


def lesson():
    """Three stages whose units are each off by 23."""
    points = [Stage(f"b{i}", f"a{i}", f"a{i}") for i in range(3)]
    network = Traits("network", tuple(points), "a2", {f"b{i}": (8,) for i in range(3)}, 2)
    views = [View(torch.zeros(1, 2), {f"b{i}": x[None] for i in range(3)}, {}) for x in (STUDENT, TEACHER)]
    return Lesson(*views, torch.tensor([0]), torch.empty(0), networks=(network, network))


def test_an_earlier_stage_weighs_half_of_the_next_one():
    """The weights are ¼, ½ and 1."""
    [total] = ab.Method().boundaries(lesson()).values()
    assert total.item() == pytest.approx(0.069 * 1.75, rel=1e-12)


def test_in_joint_mode_the_boundaries_are_a_term_of_the_loss_and_else_a_stage():
    joint, staged = (ab.Method(ab_mode=mode) for mode in ("joint", "two_stage"))
    assert joint.loss(lesson()).keys() == {"soft", "hard", "boundary"}
    assert staged.loss(lesson()).keys() == {"soft", "hard"}
    assert (len(joint.phases()), len(staged.phases())) == (1, 2)


def test_a_student_in_the_shape_of_its_teacher_needs_no_connector():
    same = trial("ab", student_width=8)
    assert not same.part("method").adapters(*pair(same))
    assert len(trial("ab").part("method").adapters(*pair(trial("ab")))) == 2


def test_what_is_compared_has_both_signs():
    train = start(trial("ab")).train
    for point in ("norm1", "norm2"):
        assert train[f"feature.{point}"].min() < -0.5
        assert train[f"feature.{point}"].max() > 0.5


def test_the_units_of_500_digits_agree_after_the_first_stage():
    """From a half, which is chance, to 0.7 and more; and what is behind the last boundary is still as it was."""
    one = trial("ab")
    fresh = start(one)
    before, student = Fitted(fresh.model, fresh.params, fresh.buffers), stage(one, 0, 200)
    assert all(0.35 < share < 0.65 for share in agreements(one, before))
    assert min(agreements(one, student)) >= 0.7
    assert value(one, student) < 0.6 * value(one, before)
    for name in ("hidden.weight", "hidden.bias", "head.weight", "head.bias"):
        assert torch.equal(student.params[name], fresh.params[name])


def test_networks_whose_maps_cannot_be_compared_are_refused():
    with pytest.raises(UserError, match=r"`norm2` of shape \(8, 4, 4\).*cannot be compared.*student_point"):
        distill.prepare(trial("ab", student_point="norm2", teacher_point="hidden"))
