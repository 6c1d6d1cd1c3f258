"""Relations between samples: loops as a second implementation, the motions that leave them alone, doubles."""

from itertools import product

import pytest
import torch
from torch.nn.functional import cosine_similarity, huber_loss

from tsd.methods.rkd import angle_loss, distance_loss

DRAW = torch.Generator().manual_seed(0)
STUDENT = torch.randn(5, 3, generator=DRAW, dtype=torch.float64)
TEACHER = torch.randn(5, 4, generator=DRAW, dtype=torch.float64)
LOSSES = pytest.mark.parametrize("loss", [distance_loss, angle_loss])


def relative_distances(e):
    far = torch.cdist(e, e, compute_mode="donot_use_mm_for_euclid_dist")
    return far / far[far > 0].mean()


def cosines(e):
    """Of the angle at sample i between j and k; 0 where one of them is i."""
    n = range(len(e))
    found = [cosine_similarity(e[j] - e[i], e[k] - e[i], dim=0) for i, j, k in product(n, n, n)]
    return torch.stack(found)


def test_distances_agree_with_those_of_cdist():
    expected = huber_loss(relative_distances(STUDENT), relative_distances(TEACHER))
    assert distance_loss(STUDENT, TEACHER).item() == pytest.approx(expected.item(), rel=1e-9)


def test_angles_agree_with_those_of_three_loops():
    expected = huber_loss(cosines(STUDENT), cosines(TEACHER))
    assert angle_loss(STUDENT, TEACHER).item() == pytest.approx(expected.item(), rel=1e-9)


def test_three_points_on_a_line_against_a_right_angle():
    """Cosines at the ends 1 against 3/5 and 4/5, in the middle −1 against 0, each twice; ½ d² of 27 triples."""
    line = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)
    corner = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    assert angle_loss(corner, line).item() == pytest.approx((0.4**2 + 0.2**2 + 1) / 27, rel=1e-9)
    # Distances 1, 1, 2 over 4/3 against 3, 4, 5 over 4.
    gaps = [3 / 4 - 3 / 4, 4 / 4 - 3 / 4, 5 / 4 - 3 / 2]
    assert distance_loss(corner, line).item() == pytest.approx(sum(g * g for g in gaps) / 9, rel=1e-9)


@LOSSES
def test_turning_shifting_and_scaling_the_student_changes_nothing(loss):
    turned, _ = torch.linalg.qr(torch.randn(3, 3, generator=DRAW, dtype=torch.float64))
    assert loss(7 * STUDENT @ turned + 3, TEACHER).item() == pytest.approx(loss(STUDENT, TEACHER).item(), rel=1e-9)


@LOSSES
def test_a_student_with_its_teachers_relations_has_nothing_left_to_learn(loss):
    student = (2 * TEACHER).requires_grad_()
    value = loss(student, TEACHER)
    assert value.item() < 1e-24
    assert torch.autograd.grad(value, student)[0].abs().max() < 1e-12


@LOSSES
def test_maps_are_read_as_vectors(loss):
    assert loss(STUDENT.view(5, 3, 1, 1), TEACHER.view(5, 1, 2, 2)).item() == loss(STUDENT, TEACHER).item()


@LOSSES
def test_the_gradient_agrees_with_finite_differences(loss):
    assert torch.autograd.gradcheck(lambda e: loss(e, TEACHER), STUDENT.clone().requires_grad_())


@LOSSES
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_samples_that_are_doubles_have_finite_gradients(loss, rows):
    student = torch.ones(rows, 3, requires_grad=True)
    value = loss(student, TEACHER[:rows].float())
    assert value.isfinite()
    assert torch.autograd.grad(value, student)[0].isfinite().all()
