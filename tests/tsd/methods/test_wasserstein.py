"""The slope of the loss in the input: values computed by hand, finite differences, and what it does to training."""

import math
from functools import partial

import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.fit import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.methods import wasserstein
from tsd.methods._base import Lesson
from tsd.methods.kd import soft_loss
from tsd.methods.wasserstein import penalised_loss, penalised_terms
from tsd.models import cnn
from tsd.models._base import View
from tsd.studies import distill
from tsd.studies._distill_pupil import Pupil

W = torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
V = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
X = torch.tensor([[1.0, 1.0], [2.0, -1.0]], dtype=torch.float64)


def affine(weight, x):
    return x @ weight.mT


def half_square(own, other):
    return (own - other).square().sum(1) / 2


def linear_loss(epsilon, **how):
    return penalised_loss(partial(affine, W), partial(affine, V), X, epsilon, half_square, **how)


@pytest.mark.parametrize(("through_teacher", "expected"), [(True, 3.679762), (False, 3.746505)])
def test_linear_networks_have_their_golden_values(through_teacher, expected):
    """ℓ = ½ ‖(W − V) x‖²; its gradient is (W − V)ᵀ(W − V) x, or Wᵀ(W − V) x without the teacher's part."""
    found = linear_loss(0.1, teacher_input_grad=through_teacher).item()
    assert found == pytest.approx(expected, abs=1e-5)
    gap = (W - V) if through_teacher else W
    slopes = X @ (W - V).mT @ gap
    assert found == pytest.approx((half_square(X @ W.mT, X @ V.mT) + 0.1 * slopes.norm(dim=1)).mean().item(), rel=1e-9)


@pytest.mark.parametrize(
    ("sample", "through_teacher", "loss", "gradient"),
    [(0, True, 2.5, [1, 4]), (1, True, 4, [2, -4]), (0, False, 2.5, [2, 3]), (1, False, 4, [-2, -6])],
)
def test_loss_and_slope_of_each_sample_have_their_golden_values(sample, through_teacher, loss, gradient):
    both = partial(affine, W), partial(affine, V)
    found, slope = penalised_terms(*both, X[[sample]], half_square, teacher_input_grad=through_teacher)
    assert found.item() == pytest.approx(loss, abs=1e-9)
    assert slope.item() == pytest.approx(math.hypot(*gradient), abs=1e-5)


def test_without_a_teachers_part_the_default_is_told_apart():
    assert abs(linear_loss(0.1) - linear_loss(0.1, teacher_input_grad=False)) > 0.05


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0])
def test_the_norm_of_any_order_is_that_of_the_slope_written_out(p):
    total = 0.0
    for x, each in zip(X, half_square(X @ W.mT, X @ V.mT), strict=True):
        slope = (W - V).mT @ ((W - V) @ x)
        total += each.item() + 0.1 * sum(abs(g) ** p for g in slope.tolist()) ** (1 / p)
    assert linear_loss(0.1, p=p).item() == pytest.approx(total / 2, rel=1e-9)


def test_a_slope_that_vanishes_has_a_finite_gradient_in_every_norm():
    for p in (1.0, 2.0, 3.0):
        weight = V.clone().requires_grad_()
        loss = penalised_loss(partial(affine, weight), partial(affine, V), X, 1.0, half_square, p=p)
        assert loss.item() < 1e-5
        assert torch.autograd.grad(loss, weight)[0].isfinite().all()


def test_a_ball_without_radius_leaves_the_mean_loss():
    assert linear_loss(0.0).item() == half_square(X @ W.mT, X @ V.mT).mean().item()


@pytest.mark.parametrize("rows", [1, 3, 7, 50, 96])
def test_a_ball_without_radius_leaves_softened_answers_to_the_bit(rows):
    draw = torch.Generator().manual_seed(rows)
    own, other = torch.randn(2, rows, 10, generator=draw)
    found = penalised_loss(lambda x: x, lambda x: other, own, 0.0, soft)
    assert found.item() == soft(own, other).item()


def test_a_module_with_batch_norm_in_training_is_called_with_copies_of_its_buffers():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(6, 4, generator=draw, dtype=torch.float64)
    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3)).double()
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}

    def student(inputs):
        copies = {name: buffer.clone() for name, buffer in module.named_buffers()}
        return torch.func.functional_call(module, copies, (inputs,))

    teacher = partial(affine, torch.randn(3, 4, generator=draw, dtype=torch.float64))
    found = penalised_loss(student, teacher, x, 0.5, soft)
    found.backward()
    assert all(param.grad.isfinite().all() and param.grad.any() for param in [module[0].weight, module[2].weight])
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())
    inputs = x.clone().requires_grad_()
    [slopes] = torch.autograd.grad(len(x) * soft(module(inputs), teacher(inputs)), inputs)
    want = soft(module(x), teacher(x)) + 0.5 * slopes.norm(dim=1).mean()
    assert found.item() == pytest.approx(want.item(), rel=1e-9)


def test_the_loss_is_affine_in_the_radius():
    at = [linear_loss(epsilon).item() for epsilon in (0.0, 1.0, 3.0)]
    assert at[2] - at[0] == pytest.approx(3 * (at[1] - at[0]), rel=1e-12)


def test_a_mean_over_the_batch_does_as_well_as_a_value_for_every_sample():
    mean = penalised_loss(partial(affine, W), partial(affine, V), X, 0.1, lambda a, b: half_square(a, b).mean())
    assert mean.item() == pytest.approx(linear_loss(0.1).item(), rel=1e-12)


def network(weights, x):
    first, second = weights
    return torch.tanh(x.flatten(1) @ first) @ second


def networks():
    draw = torch.Generator().manual_seed(0)
    sizes = [(4, 5), (5, 3), (4, 6), (6, 3)]
    weights = [torch.randn(size, generator=draw, dtype=torch.float64) for size in sizes]
    return weights[:2], weights[2:], torch.randn(7, 1, 2, 2, generator=draw, dtype=torch.float64)


def soft(own, other):
    return soft_loss(own, other, 4.0)


def test_the_slope_is_that_of_finite_differences_of_every_samples_loss():
    own, other, x = networks()
    steps = 1e-5 * torch.eye(4, dtype=torch.float64).view(4, 1, 1, 2, 2)

    def losses(x):
        return torch.stack([soft(network(own, each[None]), network(other, each[None])) for each in x])

    slopes = torch.stack([(losses(x + step) - losses(x - step)) / 2e-5 for step in steps], 1)
    _, slope = penalised_terms(partial(network, own), partial(network, other), x, soft)
    assert slope.item() == pytest.approx(slopes.norm(dim=1).mean().item(), rel=1e-6)


def test_the_gradient_of_the_loss_agrees_with_finite_differences_of_the_students_weights():
    own, other, x = networks()

    def loss(first, second):
        return penalised_loss(partial(network, [first, second]), partial(network, other), x, 0.7, soft)

    assert torch.autograd.gradcheck(loss, [weight.requires_grad_() for weight in own])


def test_a_student_that_equals_its_teacher_has_a_finite_gradient():
    """The norm's slope at zero is cut off; softmax of equal logits leaves nothing to learn."""
    own, _, x = networks()
    leaves = [weight.clone().requires_grad_() for weight in own]
    loss = penalised_loss(partial(network, leaves), partial(network, own), x, 1.0, soft)
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(loss, leaves))
    assert loss.item() == pytest.approx(1e-6, rel=1e-3)


SHELF = MemoryShelf()
STREAMS_OF_ZERO = Streams(dict.fromkeys(STREAMS, 0))


def trial(**changed):
    networks = {"teacher_epochs": 10, "steps": 60, "lr": 1e-2, "curve_points": 0, "way": "loop"}
    return distill.Trial.of(distill.EXAMPLE | networks | {"method": "wasserstein"} | changed)


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_without_a_radius_training_is_bit_for_bit_that_of_softened_answers(family):
    common = {"student": family, "steps": 20}
    [kd], [none] = (
        run_pack(distill, [each], [STREAMS_OF_ZERO], SHELF)
        for each in (trial(method="kd", **common), trial(epsilon=0.0, **common))
    )
    assert kd == none


def slope_after_training(**changed):
    one = trial(**changed)
    start = distill.start(one, STREAMS_OF_ZERO, SHELF)
    [run] = fit([start], [one], [STREAMS_OF_ZERO], distill.phases(one))
    student = run.fitted.model.student
    below = {k.removeprefix("teacher."): v for k, v in start.whole.items() if k.startswith("teacher.")}
    teacher = distill.network(distill.tutor(one).network(one), one.activation, *distill.inputs(one))
    _, slope = penalised_terms(
        lambda x: student.forward(run.fitted.params, {}, x).output,
        lambda x: teacher.forward(below, {}, x).output,
        start.train["x"],
        soft,
    )
    return slope.item()


def test_the_slope_falls_when_the_ball_grows():
    steep, middle, flat = (slope_after_training(epsilon=epsilon) for epsilon in (0.0, 0.3, 3.0))
    assert flat < 0.95 * middle < 0.9 * steep


def slope_of(x, statistics):
    """The slope term of an untrained student with batch norm."""
    model = cnn.build(2, 1, "relu", (1, 8, 8), 10)
    params, buffers = model.init(lambda name: STREAMS_OF_ZERO.generator("init", name))
    view = Pupil(model, {}).forward(params, buffers, x, train=True)
    method = wasserstein.Method(slope_statistics=statistics, epsilon=1.0, soft_weight=1.0)
    teacher = View(torch.zeros(len(x), 10), {}, {})
    lesson = Lesson(
        view, teacher, torch.zeros(len(x), dtype=torch.long), x, ask_student=view.ask, ask_teacher=lambda x: teacher
    )
    return method.loss(lesson)["slope"].item()


def test_running_statistics_keep_the_samples_apart_and_those_of_the_batch_do_not():
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    apart = {kind: sum(slope_of(half, kind) for half in x.split(3)) / 2 for kind in ("batch", "running")}
    assert slope_of(x, "running") == pytest.approx(apart["running"], rel=1e-5)
    assert abs(slope_of(x, "batch") - apart["batch"]) > 1e-3 * apart["batch"]
