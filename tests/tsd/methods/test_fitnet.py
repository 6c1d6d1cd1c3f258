"""FitNet hints: the values computed by hand, what the hint stage moves, and the rules of the regressor."""

import pytest
import torch
from taught_digits import SEEDS, SHELF, stage, start, trial, value

from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.methods import fitnet, kd
from tsd.methods._base import Lesson, Traits
from tsd.methods._features import regressor
from tsd.methods.fitnet import hint_loss
from tsd.models._base import Stage, View
from tsd.studies import distill
from tsd.studies._base import Fitted
from tsd.studies._distill_networks import pair

GUIDED = torch.tensor([[1, 2], [3, 4]], dtype=torch.float64)
HINT = torch.tensor([[0, 2], [1, 1]], dtype=torch.float64)


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fresh(model):
    return model.init(lambda name: SEEDS.generator("init", name))[0]


def test_half_the_squared_distance_of_a_sample_has_its_golden_value():
    assert hint_loss(GUIDED, HINT).item() == 3.5


def test_the_joint_form_is_the_mean_over_the_elements():
    """3.5 too for these values; in general 2 / (elements of a sample) of the other form."""
    assert (GUIDED - HINT).square().mean().item() == 3.5
    guided, hint = maps(3, 4, 2, 2), maps(3, 4, 2, 2, seed=1)
    assert hint_loss(guided, hint).item() == pytest.approx((guided - hint).square().mean().item() * 16 / 2, rel=1e-12)


def test_the_usual_wrong_losses_are_told_apart():
    guided, hint = maps(3, 4, 2, 2), maps(3, 4, 2, 2, seed=1)
    right = hint_loss(guided, hint).item()
    for wrong in (
        (guided - hint).square().mean(),
        (guided - hint).square().sum() / 2,
        (guided - hint).flatten(1).norm(dim=1).mean() / 2,
    ):
        assert abs(wrong.item() - right) > 0.1


def test_the_gradient_is_the_difference_over_the_batch():
    guided, hint = maps(3, 4).requires_grad_(), maps(3, 4, seed=1)
    [slope] = torch.autograd.grad(hint_loss(guided, hint), guided)
    assert torch.allclose(slope, (guided - hint) / 3)


def test_a_student_that_is_its_teacher_needs_only_the_identity():
    hint = start(trial("fitnet", teacher_point="act2", student_point="act2")).train["feature.act2"]
    model = regressor(("act2", "act2"), (16, 4, 4), (16, 4, 4), relu=True, norm=False)
    weights = {"fit.weight": torch.eye(16).reshape(16, 16, 1, 1), "fit.bias": torch.zeros(16)}
    assert hint_loss(model.forward(weights, {}, hint).output, hint).item() == 0
    assert hint_loss(model.forward(fresh(model), {}, hint).output, hint).item() > 0


def test_the_hint_stage_halves_the_loss_on_500_digits_and_moves_nothing_behind_the_guided_layer():
    one = trial("fitnet", teacher_point="act1", student_point="act1")
    before = start(one)
    student = stage(one, 0, 200)
    assert value(one, student) <= 0.5 * value(one, Fitted(before.model, before.params, before.buffers))
    moved = {name for name in before.params if not torch.equal(before.params[name], student.params[name])}
    assert {"conv1.weight", "norm1.weight", "adapter.regressor.fit.weight"} <= moved
    assert not [name for name in moved if not name.startswith(("conv1.", "norm1.", "adapter.regressor."))]


def test_the_second_stage_leaves_the_regressor_alone():
    one = trial("fitnet")
    before, student = start(one), stage(one, 1, 3)
    moved = {name for name in before.params if not torch.equal(before.params[name], student.params[name])}
    assert moved == {name for name in before.params if not name.startswith("adapter.")}


def lesson(progress):
    """A lesson whose student shows the golden values at the point `act1`, in its teacher's shape."""
    shapes = Traits("network", (Stage("norm1", "act1", "act1"),), "act1", {"act1": (2,)}, 5)
    views = [View(maps(2, 5, seed=s), {"act1": x}, {}) for s, x in enumerate((GUIDED, HINT))]
    return Lesson(
        *views,
        torch.tensor([0, 1]),
        torch.empty(0),
        progress=torch.tensor(progress, dtype=torch.float64),
        adapt=lambda name, x: x,
        networks=(shapes, shapes),
    )


@pytest.mark.parametrize(("mode", "begins"), [("two_stage", 0.25), ("joint", 0.0)])
def test_the_softened_answers_weigh_four_times_as_much_at_first_and_as_in_kd_at_last(mode, begins):
    method, plain = fitnet.Method(hint_mode=mode, hint_share=0.25, hint_anneal=4.0), kd.Method().loss(lesson(0.0))
    terms = [method.loss(lesson(at)) for at in (begins, (1 + begins) / 2, 1.0)]
    assert [each["soft"].item() / plain["soft"].item() for each in terms] == pytest.approx([4, 2.5, 1], rel=1e-12)
    assert all(each["hard"] == plain["hard"] for each in terms)
    assert torch.equal(fitnet.Method(hint_mode=mode).loss(lesson(begins))["soft"], plain["soft"])


def test_in_joint_mode_the_hint_is_a_term_of_the_loss_and_else_a_stage():
    joint, staged = (fitnet.Method(hint_mode=mode) for mode in ("joint", "two_stage"))
    assert joint.loss(lesson(0.0))["hint"].item() == 100 * 3.5
    assert staged.hint(lesson(0.0))["hint"].item() == 3.5
    assert staged.loss(lesson(0.0)).keys() == {"soft", "hard"}
    assert (len(joint.phases()), len(staged.phases())) == (1, 2)


def test_the_regressor_is_trained_and_not_counted():
    counts = {
        method: run_pack(distill, [trial(method, steps=3)], [SEEDS], SHELF)[0].measured.metrics["student_params"]
        for method in ("none", "fitnet")
    }
    assert counts["fitnet"] == counts["none"]
    assert [name for name in start(trial("fitnet")).params if name.startswith("adapter.regressor.")]


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ((3, 8, 8), (5, 8, 8)),  # 1 × 1
        ((3, 8, 8), (5, 4, 4)),  # stride 2
        ((3, 4, 4), (5, 8, 8)),  # transposed
        ((3, 8, 8), (5, 6, 6)),  # without padding
        ((7,), (4,)),
    ],
)
@pytest.mark.parametrize("relu", [False, True])
def test_a_regressor_leads_from_one_shape_to_the_other(student, teacher, relu):
    model = regressor(("a", "b"), student, teacher, relu=relu)
    output = model.forward(fresh(model), {}, maps(6, *student).float(), train=True).output
    assert output.shape == (6, *teacher)
    assert (output.min() >= 0) == relu


@pytest.mark.parametrize(("student", "teacher"), [((3, 4, 4), (5, 7, 7)), ((3, 4, 4), (5,)), ((3, 4, 5), (3, 4, 5))])
def test_shapes_between_which_no_layer_leads_are_refused(student, teacher):
    with pytest.raises(UserError, match=r"`a` of shape .* cannot be compared with the teacher's `b` of shape"):
        regressor(("a", "b"), student, teacher, relu=True)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ({"student_point": "act1"}, "name teacher_point too"),
        ({"teacher_point": "act1"}, "name student_point too"),
        (
            {"student_point": "act9", "teacher_point": "act1"},
            "The student cnn has no feature point student_point: act9",
        ),
        (
            {"student_point": "act1", "teacher_point": "act9"},
            "The teacher cnn has no feature point teacher_point: act9",
        ),
        ({"student_point": "act1", "teacher_point": "embedding"}, "cannot be compared"),
    ],
)
def test_points_that_do_not_exist_or_do_not_fit_are_said_before_anything_runs(points, said):
    with pytest.raises(UserError, match=said):
        distill.prepare(trial("fitnet", **points))


def test_the_guided_and_the_hint_layer_are_the_middle_ones():
    one = trial("fitnet", teacher_depth=3, student_depth=3)
    assert one.part("method").pairs(*pair(one)) == [("act2", "act2")]
