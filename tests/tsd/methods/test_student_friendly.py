"""Student-friendly teachers: the loss by hand, its limits, and what a student gains."""

import numpy as np
import pytest
import torch
from shelves import MemoryShelf
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.methods._teacher import TEACHER
from tsd.methods.student_friendly import FRIENDLY, friendly_loss
from tsd.studies import distill

NETWORKS = {
    "teacher": "cnn",
    "teacher_width": 4,
    "teacher_depth": 3,
    "teacher_epochs": 2,
    "student": "cnn",
    "student_width": 2,
    "student_depth": 3,
}


def trial(**changed):
    return distill.Trial.of(distill.EXAMPLE | NETWORKS | {"method": "student_friendly"} | changed)


def seeds(i=0):
    return Streams(dict.fromkeys(STREAMS, i))


def logits(seed):
    return torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


LABEL = torch.tensor([0, 1, 2, 3, 4, 0])


def test_the_loss_is_its_formula():
    teacher, branches = logits(0), [logits(1), logits(2)]
    soft = [4 * kl_div(log_softmax(b / 2, 1), softmax(teacher / 2, 1), reduction="batchmean") for b in branches]
    hard = [cross_entropy(b, LABEL) for b in branches]
    expected = cross_entropy(teacher, LABEL) + 3 * sum(soft) / 2 + 0.5 * sum(hard) / 2
    got = friendly_loss(teacher, branches, LABEL, soft_weight=3.0, label_weight=0.5, temperature=2.0)
    assert got.item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_branch_that_answers_as_the_teacher_costs_nothing_but_its_labels():
    teacher = logits(0)
    got = friendly_loss(teacher, [teacher.clone()], LABEL, soft_weight=7.0, label_weight=0.0)
    assert got.item() == pytest.approx(cross_entropy(teacher, LABEL).item(), rel=1e-12)


@pytest.mark.parametrize("moves", [True, False])
def test_the_divergence_moves_the_teachers_answers_only_if_it_may(moves):
    teacher = logits(0).requires_grad_()

    def slope(weight):
        loss = friendly_loss(teacher, [logits(1)], LABEL, soft_weight=weight, moves_teacher=moves)
        return torch.autograd.grad(loss, teacher)[0]

    assert torch.equal(slope(0.0), slope(5.0)) is not moves


def test_without_the_branches_terms_it_is_the_plain_teacher():
    plain, _ = TEACHER.make(trial(), seeds(), MemoryShelf())
    friendly, _ = FRIENDLY.make(trial(branch_soft_weight=0.0, branch_label_weight=0.0), seeds(), MemoryShelf())
    assert plain.keys() == friendly.keys()
    assert all(np.array_equal(plain[name], friendly[name]) for name in plain)


def test_no_branch_is_kept_with_the_teacher_and_the_terms_are_felt():
    plain, own = TEACHER.make(trial(), seeds(), MemoryShelf())
    friendly, facts = FRIENDLY.make(trial(), seeds(), MemoryShelf())
    assert plain.keys() == friendly.keys()
    assert facts["params"] == own["params"]
    assert not np.array_equal(plain["logits.test"], friendly["logits.test"])


def test_the_plain_teacher_is_not_trained_where_the_friendly_one_teaches():
    shelf = MemoryShelf()
    [outcome] = run_pack(distill, [trial()], [seeds()], shelf)
    assert outcome.state == "done"
    assert {key[0] for key in shelf.kept} == {"student_friendly_teacher"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"teacher_depth": 1, "student_depth": 1}, "networks of two stages or more"),
        ({"student": "mlp", "student_width": 8, "student_depth": 3}, "cannot be compared"),
    ],
)
def test_networks_that_cannot_be_branched_are_told_before_anything_starts(changed, said):
    with pytest.raises(UserError, match=said):
        distill.prepare(trial(**changed))


def test_a_student_follows_a_friendly_teacher_more_closely():
    """KL(teacher ‖ student) on test samples, mean over three teachers. Park et al. 2021, figure 1."""
    common = {"teacher_epochs": 6, "samples_per_class": 0, "steps": 120, "batch_size": 50, "curve_points": 0}
    gaps = []
    for method in ("kd", "student_friendly"):
        found = []
        for i in range(3):
            shelf, one = MemoryShelf(), trial(method=method, soft_weight=1.0, temperature=1.0, **common)
            [outcome] = run_pack(distill, [one], [seeds(i)], shelf)
            found.append(outcome.measured.metrics["divergence"])
        gaps.append(np.mean(found))
    assert gaps[1] < gaps[0]
