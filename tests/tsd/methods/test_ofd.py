"""The overhaul of feature distillation: values computed by hand, what is forgiven, and the margins of the teacher."""

import pytest
import torch
from shelves import MemoryShelf
from taught_digits import SEEDS, SHELF, start, trial
from torch.distributions import Normal

from tsd.errors import UserError
from tsd.methods import ofd
from tsd.methods._base import Lesson, Traits
from tsd.methods.ofd import MARGINS, margin, negatives, partial_loss
from tsd.models._base import Stage, View
from tsd.studies import distill
from tsd.studies._distill_networks import pair

STUDENT = torch.tensor([[-2, -0.5, 1, -2, 1]], dtype=torch.float64)
TARGET = torch.tensor([[-1, -1, -1, 2, 2]], dtype=torch.float64)
EACH = [0, 0.25, 4, 16, 1]


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_element_has_the_value_computed_by_hand():
    each = [partial_loss(s.reshape(1, 1), t.reshape(1, 1)).item() for s, t in zip(STUDENT[0], TARGET[0], strict=True)]
    assert each == EACH
    assert partial_loss(STUDENT, TARGET).item() == sum(EACH)
    assert partial_loss(STUDENT.repeat(3, 1), TARGET.repeat(3, 1)).item() == sum(EACH), "a mean over the batch"


def test_the_loss_agrees_with_the_formula_written_out():
    student, target, total = maps(3, 2, 2, 2), maps(3, 2, 2, 2, seed=1), 0.0
    for s, t in zip(student.flatten().tolist(), target.flatten().tolist(), strict=True):
        total += 0.0 if s <= t <= 0 else (t - s) ** 2
    assert partial_loss(student, target).item() == pytest.approx(total / 3, rel=1e-12)


def test_the_usual_wrong_losses_are_told_apart():
    right = partial_loss(STUDENT, TARGET).item()
    for wrong in (
        (STUDENT - TARGET).square().sum(),  # nothing forgiven
        (STUDENT.relu() - TARGET.relu()).square().sum(),  # behind the activation
        partial_loss(TARGET, STUDENT),  # student and teacher exchanged
        partial_loss(STUDENT, TARGET) / 5,  # mean over the elements
    ):
        assert abs(wrong.item() - right) > 0.1


def test_the_gradient_is_that_of_the_formula():
    assert torch.autograd.gradcheck(lambda s: partial_loss(s, TARGET), STUDENT.clone().requires_grad_())


def test_what_is_forgiven_has_no_gradient():
    student = STUDENT.clone().requires_grad_()
    [slope] = torch.autograd.grad(partial_loss(student, TARGET), student)
    assert slope[0, 0] == 0
    assert slope[0, 1:].abs().min() > 0


@pytest.mark.parametrize(("center", "spread"), [(0.0, 1.0), (0.7, 1.5), (-1.0, 0.4)])
def test_the_margin_of_gaussian_values_is_that_of_batch_norms_weights(center, spread):
    """E[x | x < 0] = β − σ φ(β/σ) / Φ(−β/σ): what the released code takes from batch norm's bias β and weight σ."""
    normal, ratio = Normal(0.0, 1.0), torch.tensor(center / spread, dtype=torch.float64)
    closed = center - spread * normal.log_prob(ratio).exp() / normal.cdf(-ratio)
    parts = (center + spread * maps(500, 1, 20, 20)).split(100)
    measured = margin(sum(negatives(part) for part in parts))
    assert measured.shape == (1, 1, 1)
    assert measured.item() == pytest.approx(closed.item(), rel=0.01)


def test_a_channel_that_is_never_negative_has_the_margin_zero():
    assert margin(negatives(maps(4, 3).abs())).tolist() == [0, 0, 0]


def test_the_margins_are_those_of_the_teachers_channels_over_its_whole_training_set():
    arrays, _ = SHELF.get(MARGINS, trial("ofd"), SEEDS)
    shown = start(trial("ofd", samples_per_class=100)).train
    for point in ("norm1", "norm2"):
        kept, pre = torch.tensor(arrays[f"margin.{point}.value"]), shown[f"feature.{point}"]
        assert kept.shape == (pre.shape[1], 1, 1)
        assert kept.max() < 0
        assert torch.allclose(kept, margin(negatives(pre)).float(), rtol=0.1)


def test_an_earlier_stage_weighs_half_of_the_next_one():
    points = [Stage(f"b{i}", f"a{i}", f"a{i}") for i in range(3)]
    network = Traits("network", tuple(points), "a2", {f"b{i}": (5,) for i in range(3)}, 2)
    views = [View(torch.zeros(1, 2), {f"b{i}": x for i in range(3)}, {}) for x in (STUDENT, TARGET)]
    lesson = Lesson(
        *views, torch.tensor([0]), torch.empty(0), networks=(network, network), frozen=lambda name, value: value
    )
    assert ofd.Method().loss(lesson)["distance"].item() == pytest.approx(1e-3 * 1.75 * sum(EACH), rel=1e-12)


def test_a_teacher_is_read_behind_its_margin_relu():
    one = trial("ofd")
    [relu, _] = one.part("method").products(*pair(one)).values()
    x, low = maps(3, 2, 2, 2), torch.tensor([-0.5, -2.0], dtype=torch.float64).reshape(2, 1, 1)
    output = relu.forward({"value": low}, {}, x).output
    assert (output >= low).all()
    assert torch.equal(output[x > low.expand_as(x)], x[x > low.expand_as(x)])


def test_one_set_of_margins_serves_all_students_of_a_teacher():
    shelf = MemoryShelf()
    for changed in ({}, {"student_width": 2}, {"ofd_weight": 1.0, "lr": 0.1}):
        distill.start(trial("ofd", **changed), SEEDS, shelf)
    assert [key[0] for key in shelf.kept] == ["teacher", "margins"]


def test_named_points_have_their_own_margins():
    one = trial("ofd", student_point="conv1", teacher_point="conv2")
    with pytest.raises(UserError, match="cannot be compared"):
        distill.prepare(one.but(teacher_point="hidden"))
    assert [name for name in start(one).whole if name.startswith("product.")] == ["product.margin.conv2.value"]
