"""Probabilistic knowledge transfer: a value computed by hand, second implementations, what does not change the loss."""

from math import log

import pytest
import torch
from taught_digits import trial
from torch.nn.functional import kl_div

from tsd.methods.pkt import neighbour_loss, neighbours
from tsd.studies import distill
from tsd.studies._distill_networks import pair

APART = torch.eye(2, dtype=torch.float64)
ALIKE = torch.ones(2, 3, dtype=torch.float64)


def vectors(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_samples_have_the_value_computed_by_hand():
    """At a right angle a sample is its own neighbour with 2/3; where all are alike, with 1/2."""
    assert torch.allclose(neighbours(APART), torch.tensor([[2, 1], [1, 2]], dtype=torch.float64) / 3)
    expected = (log(0.5 / (2 / 3)) + log(0.5 / (1 / 3))) / 2 / 2
    assert neighbour_loss(APART, ALIKE).item() == pytest.approx(expected, abs=1e-6)


def test_the_loss_agrees_with_torchs_kl_div():
    student, teacher = vectors(5, 3), vectors(5, 7, seed=1)
    right = kl_div(neighbours(student).log(), neighbours(teacher), reduction="sum") / 25
    assert neighbour_loss(student, teacher).item() == pytest.approx(right.item(), abs=1e-6)


def test_the_usual_wrong_losses_are_told_apart():
    student, teacher = vectors(5, 3), vectors(5, 7, seed=1)
    right = neighbour_loss(student, teacher).item()
    for wrong in (
        neighbour_loss(teacher, student).item(),  # student and teacher exchanged
        kl_div(neighbours(student).log(), neighbours(teacher), reduction="batchmean").item(),
        kl_div((student @ student.T).log_softmax(1), (teacher @ teacher.T).softmax(1), reduction="sum").item() / 25,
    ):
        assert abs(wrong - right) > 0.05 * right


def test_every_row_is_a_probability():
    rows = neighbours(vectors(6, 4))
    assert torch.allclose(rows.sum(1), torch.ones(6, dtype=torch.float64))
    assert rows.min() >= 0


def test_neither_size_nor_rotation_nor_width_of_the_embedding_counts():
    student, teacher = vectors(5, 4), vectors(5, 7, seed=1)
    loss = neighbour_loss(student, teacher).item()
    turn = torch.linalg.qr(vectors(4, 4, seed=2))[0]
    sizes = vectors(5, 1, seed=3).abs() + 0.1
    for same in (9 * student, student * sizes, student @ turn, torch.cat([student, torch.zeros_like(student)], 1)):
        assert neighbour_loss(same, teacher).item() == pytest.approx(loss, rel=1e-9)


def test_the_loss_is_never_negative_and_zero_for_equal_embeddings():
    teacher = vectors(5, 7, seed=1)
    assert all(neighbour_loss(vectors(5, 4, seed=seed), teacher).item() > 0 for seed in range(5))
    assert neighbour_loss(teacher, teacher).item() == 0


def test_dead_activations_have_a_finite_gradient():
    leaf = torch.zeros(4, 3).requires_grad_()
    assert torch.autograd.grad(neighbour_loss(leaf, vectors(4, 2).float()), leaf)[0].isfinite().all()


def test_the_gradient_is_that_of_the_formula():
    teacher = vectors(4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda s: neighbour_loss(s, teacher), vectors(4, 3).requires_grad_())


def test_the_embeddings_of_networks_of_any_kind_are_compared():
    one = trial("pkt", student="mlp", student_depth=1)
    assert one.part("method").pairs(*pair(one)) == [(pair(one)[0].embedding, "embedding")]
    distill.prepare(one)
