"""Similarity preserving: the value computed by hand, and what does not change the loss."""

import pytest
import torch
from taught_digits import trial

from tsd.methods.sp import similarity, similarity_loss
from tsd.studies import distill
from tsd.studies._distill_networks import pair

STUDENT = torch.tensor([[1, 0], [1, 1]], dtype=torch.float64)
TEACHER = torch.eye(2, dtype=torch.float64)


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_loss_has_its_golden_value():
    assert similarity_loss(STUDENT, TEACHER).item() == pytest.approx(0.199233, abs=1e-5)


def test_the_usual_wrong_losses_are_told_apart():
    def rows(x):
        return x / x.norm(dim=1, keepdim=True)

    products = STUDENT @ STUDENT.T
    for wrong in (
        (products - TEACHER).square().mean(),  # rows of G as they are
        (rows(STUDENT) @ rows(STUDENT).T - TEACHER).square().mean(),  # rows of F divided instead of those of G
        (products / products.norm(dim=0) - TEACHER).square().mean() * 4,  # the sum over the pairs
    ):
        assert abs(wrong.item() - 0.199233) > 1e-3


def test_the_loss_agrees_with_the_formula_written_out():
    student, teacher = maps(3, 2, 2, 2), maps(3, 5, seed=1)
    total = 0.0
    for i in range(3):
        rows = [[(x[i] * x[j]).sum() for j in range(3)] for x in (student, teacher)]
        lengths = [sum(g**2 for g in row) ** 0.5 for row in rows]
        total += sum((s / lengths[0] - t / lengths[1]) ** 2 for s, t in zip(*rows, strict=True))
    assert similarity_loss(student, teacher).item() == pytest.approx(total.item() / 9, rel=1e-12)


def test_neither_size_nor_rotation_nor_width_of_the_activations_counts():
    student, teacher = maps(4, 6), maps(4, 9, seed=1)
    loss = similarity_loss(student, teacher).item()
    turn = torch.linalg.qr(maps(6, 6, seed=2))[0]
    for same in (5 * student, student @ turn, torch.cat([student, torch.zeros(4, 3, dtype=torch.float64)], 1)):
        assert similarity_loss(same, teacher).item() == pytest.approx(loss, rel=1e-9)


def test_another_order_of_the_samples_is_another_order_of_both_matrices():
    student, teacher, order = maps(5, 6), maps(5, 9, seed=1), torch.tensor([3, 0, 4, 1, 2])
    moved = similarity_loss(student[order], teacher[order])
    assert moved.item() == pytest.approx(similarity_loss(student, teacher).item(), rel=1e-12)
    assert similarity_loss(student[order], teacher).item() != pytest.approx(moved.item(), rel=1e-3)


def test_equal_activations_one_sample_and_dead_ones_have_no_loss_and_a_finite_gradient():
    for student, teacher in (
        (maps(4, 6), maps(4, 6)),
        (maps(1, 6), maps(1, 3)),
        (torch.zeros(4, 6), torch.zeros(4, 6)),
    ):
        leaf = student.clone().requires_grad_()
        loss = similarity_loss(leaf, teacher)
        assert loss.item() == pytest.approx(0, abs=1e-15)
        assert torch.autograd.grad(loss, leaf)[0].isfinite().all()


def test_every_row_has_length_one_and_every_sample_is_most_like_itself_among_samples_of_its_size():
    one = torch.nn.functional.normalize(maps(6, 8), dim=1)
    rows = similarity(one)
    assert torch.allclose(rows.norm(dim=1), torch.ones(6, dtype=torch.float64))
    assert rows.argmax(1).tolist() == list(range(6))


def test_the_gradient_is_that_of_the_formula():
    teacher = maps(3, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: similarity_loss(s, teacher), maps(3, 2, 2).requires_grad_())


def test_networks_without_maps_can_be_compared():
    one = trial("sp", student="mlp", student_depth=1)
    assert one.part("method").pairs(*pair(one)) == [("hidden1", "pool2")]
    distill.prepare(one)
