"""Neuron selectivity transfer: values computed by hand, second implementations, and what does not change the loss."""

import pytest
import torch
from taught_digits import trial

from tsd.errors import UserError
from tsd.methods.nst import selectivity_loss
from tsd.studies import distill


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def row(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 2)


def test_two_channels_against_one_have_the_value_computed_by_hand():
    """Channels (1, 0) and (0, 1) against (1, 1)/√2: (1 + 1)/4 + 1 − 2 · ½ = ½."""
    assert selectivity_loss(row(2.0, 0.0, 0.0, 3.0), row(1.0, 1.0)).item() == pytest.approx(0.5, rel=1e-12)


def test_the_loss_agrees_with_the_formula_written_out():
    student, teacher, total = maps(3, 2, 2, 2), maps(3, 4, 2, 2, seed=1), 0.0

    def mean(one, other):
        return sum(torch.dot(a, b) ** 2 for a in one for b in other) / (len(one) * len(other))

    for pair in zip(student.flatten(2), teacher.flatten(2), strict=True):
        s, t = (x / x.norm(dim=1, keepdim=True) for x in pair)
        total += mean(s, s) + mean(t, t) - 2 * mean(s, t)
    assert selectivity_loss(student, teacher).item() == pytest.approx(total.item() / 3, rel=1e-12)


def test_it_is_the_distance_of_the_mean_products_of_places():
    """The kernel's features are the products of two places: MMD² = ‖mean s sᵀ − mean t tᵀ‖² (Li et al. 2017)."""
    student, teacher = maps(1, 3, 2, 2), maps(1, 5, 2, 2, seed=1)
    second = []
    for one in (student, teacher):
        rows = torch.nn.functional.normalize(one[0].flatten(1), dim=1)
        second.append(rows.T @ rows / len(rows))
    expected = (second[0] - second[1]).square().sum()
    assert selectivity_loss(student, teacher).item() == pytest.approx(expected.item(), rel=1e-9)


def test_the_usual_wrong_losses_are_told_apart():
    student, teacher = maps(2, 3, 2, 2), maps(2, 5, 2, 2, seed=1)
    right = selectivity_loss(student, teacher).item()

    def linear(one, other):
        return (one @ other.transpose(1, 2)).mean()

    def mmd(one, other, k):
        return (k(one, one) + k(other, other) - 2 * k(one, other)).item()

    s, t = student.flatten(2), teacher.flatten(2)
    unit = torch.nn.functional.normalize
    square = lambda a, b: (a @ b.transpose(1, 2)).square().mean()  # noqa: E731
    assert mmd(unit(s, dim=2), unit(t, dim=2), square) == pytest.approx(right, rel=1e-12)
    for wrong in (
        mmd(unit(s, dim=2), unit(t, dim=2), linear),  # kernel of degree 1
        mmd(s, t, square),  # channels of any length
        mmd(unit(s, dim=1), unit(t, dim=1), square),  # places instead of channels
    ):
        assert abs(wrong - right) > 1e-3


def test_neither_size_nor_sign_nor_order_nor_copies_of_channels_count():
    student, teacher = maps(2, 3, 2, 2), maps(2, 5, 2, 2, seed=1)
    loss = selectivity_loss(student, teacher).item()
    for same in (4 * student, -student, student.flip(1), student.repeat(1, 3, 1, 1)):
        assert selectivity_loss(same, teacher).item() == pytest.approx(loss, rel=1e-9)


def test_equal_and_dead_activations_have_no_loss_and_a_finite_gradient():
    for value in (maps(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)):
        leaf = value.clone().requires_grad_()
        loss = selectivity_loss(leaf, value)
        assert loss.item() == pytest.approx(0, abs=1e-12)
        assert torch.autograd.grad(loss, leaf)[0].isfinite().all()


def test_the_gradient_is_that_of_the_formula():
    teacher = maps(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: selectivity_loss(s, teacher), maps(2, 2, 2, 2).requires_grad_())


def test_a_larger_map_is_averaged_down():
    small, other = maps(2, 3, 2, 2), maps(2, 5, 2, 2, seed=1)
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert selectivity_loss(large, other).item() == pytest.approx(selectivity_loss(small, other).item(), rel=1e-12)


def test_vectors_are_refused():
    with pytest.raises(UserError, match=r"`hidden1` of the student mlp has shape \(4,\)"):
        distill.prepare(trial("nst", student="mlp", student_depth=1))
