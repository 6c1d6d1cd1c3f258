"""Attention transfer: the value computed by hand, a second implementation, and what does not change the loss."""

import pytest
import torch
from taught_digits import trial

from tsd.errors import UserError
from tsd.methods import at
from tsd.methods._base import Lesson, Traits
from tsd.methods.at import attention, attention_loss
from tsd.models._base import Stage, View
from tsd.studies import distill

STUDENT = torch.arange(8, dtype=torch.float64).reshape(1, 2, 2, 2)
TEACHER = torch.ones(1, 2, 2, 2, dtype=torch.float64)


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_loss_has_its_golden_value():
    assert attention_loss(STUDENT, TEACHER).item() == pytest.approx(0.0441843, abs=1e-6)


def test_the_usual_wrong_losses_are_told_apart():
    def unit(q):
        return q / q.norm()

    for wrong in (
        (unit(STUDENT.square().mean(1)) - unit(TEACHER.square().mean(1))).square().sum(),  # sum over the places
        (unit(STUDENT.square().mean(1)) - unit(TEACHER.square().mean(1))).norm(),  # a norm in place of a mean square
        (STUDENT.square().mean(1) - TEACHER.square().mean(1)).square().mean(),  # maps of any length
        (unit(STUDENT.abs().mean(1)) - unit(TEACHER.abs().mean(1))).square().mean(),  # p = 1
    ):
        assert abs(wrong.item() - 0.0441843) > 1e-3


def test_the_loss_agrees_with_the_formula_written_out():
    student, teacher, total = maps(3, 2, 4, 4), maps(3, 5, 4, 4, seed=1), 0.0
    for s, t in zip(student, teacher, strict=True):
        q = [(x * x).sum(0).flatten() for x in (s, t)]
        q = [x / (x * x).sum().sqrt() for x in q]
        total += ((q[0] - q[1]) ** 2).sum()
    assert attention_loss(student, teacher).item() == pytest.approx(total.item() / 48, rel=1e-12)


def test_it_is_the_papers_squared_distance_over_the_number_of_places():
    """‖q_s − q_t‖² = 2 − 2 cos of the angle between the maps, for both have length 1."""
    student, teacher = maps(2, 3, 4, 4), maps(2, 3, 4, 4, seed=1)
    cosine = (attention(student) * attention(teacher)).sum(1)
    assert attention_loss(student, teacher).item() == pytest.approx(((2 - 2 * cosine) / 16).mean().item(), rel=1e-12)


def test_neither_size_nor_sign_nor_order_nor_number_of_channels_counts():
    student, teacher = maps(2, 3, 4, 4), maps(2, 5, 4, 4, seed=1)
    loss = attention_loss(student, teacher).item()
    for same in (9 * student, -student, student.flip(1), student.repeat(1, 2, 1, 1)):
        assert attention_loss(same, teacher).item() == pytest.approx(loss, rel=1e-12)


def test_a_larger_map_is_averaged_down_whosever_it_is():
    """A map that is constant in squares of 2 × 2 is its own half."""
    small, other = maps(2, 3, 2, 2), maps(2, 5, 2, 2, seed=1)
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert attention_loss(large, other).item() == pytest.approx(attention_loss(small, other).item(), rel=1e-12)
    assert attention_loss(other, large).item() == pytest.approx(attention_loss(other, small).item(), rel=1e-12)


def test_equal_and_dead_activations_have_no_loss_and_a_finite_gradient():
    for value in (maps(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)):
        leaf = value.clone().requires_grad_()
        loss = attention_loss(leaf, value)
        assert loss.item() == 0
        assert torch.autograd.grad(loss, leaf)[0].isfinite().all()


def test_the_gradient_is_that_of_the_formula():
    teacher = maps(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: attention_loss(s, teacher), maps(2, 2, 2, 2).requires_grad_())


def test_the_stages_are_summed_and_weighted():
    stages = tuple(Stage(f"b{i}", f"a{i}", f"a{i}") for i in range(3))
    network = Traits("network", stages, "a2", {f"a{i}": (2, 2, 2) for i in range(3)}, 2)
    views = [View(torch.zeros(1, 2), {f"a{i}": x for i in range(3)}, {}) for x in (STUDENT, TEACHER)]
    lesson = Lesson(*views, torch.tensor([0]), torch.empty(0), networks=(network, network))
    terms = at.Method(at_weight=10.0).loss(lesson)
    assert terms["attention"].item() == pytest.approx(30 * 0.0441843, abs=1e-5)
    assert terms["hard"].item() == pytest.approx(torch.tensor(2.0).log().item())


def test_vectors_are_refused():
    with pytest.raises(UserError, match=r"`hidden1` of the student mlp has shape \(4,\)"):
        distill.prepare(trial("at", student="mlp", student_depth=1))
