"""A stack with one set of hyper-parameters a trial against `torch.optim`, one trial at a time."""

import pytest
import torch
from torch.optim import SGD, Adam, AdamW, lr_scheduler

from tsd.engine.optim import SCHEDULES, course, milestones, optimizer
from tsd.errors import UserError
from tsd.studies._base import GradientStudy

STEPS = 12
VALUES = {"lr": [1e-2, 0.3, 2e-3], "momentum": [0.0, 0.9, 0.5], "weight_decay": [0.1, 0.0, 1e-3]}


def reference(name, params, i):
    lr, momentum, decay = (VALUES[key][i] for key in ("lr", "momentum", "weight_decay"))
    if name == "sgd":
        return SGD(params, lr=lr, momentum=momentum, weight_decay=decay)
    return {"adam": Adam, "adamw": AdamW}[name](params, lr=lr, weight_decay=decay)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_every_trial_moves_as_torch_moves_it_alone(name):
    torch.manual_seed(0)
    stack = [torch.randn(3, 4, 2, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)]
    grads = [[torch.randn_like(param) for param in stack] for _ in range(STEPS)]
    alone = [[param[i].clone() for param in stack] for i in range(3)]
    update = optimizer(name, stack, {k: torch.tensor(v, dtype=torch.float64) for k, v in VALUES.items()})
    for step in range(STEPS):
        update(grads[step], step, 1.0)
    for i in range(3):
        torch_optimizer = reference(name, alone[i], i)
        for step in range(STEPS):
            for param, grad in zip(alone[i], grads[step], strict=True):
                param.grad = grad[i]
            torch_optimizer.step()
        torch.testing.assert_close([param[i] for param in stack], alone[i], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_trial_without_momentum_and_decay_ignores_that_its_neighbour_has_them(name):
    torch.manual_seed(0)
    start, grad = torch.randn(1, 33), torch.randn(1, 33)
    alone, together = start.clone(), start.repeat(2, 1)
    plain, eager = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}
    one = optimizer(name, [alone], {k: torch.tensor([v]) for k, v in plain.items()})
    two = optimizer(name, [together], {k: torch.tensor([v, eager[k]]) for k, v in plain.items()})
    for step in range(STEPS):
        one([grad * (step + 1)], step, 1.0)
        two([grad.repeat(2, 1) * (step + 1)], step, 1.0)
    assert torch.equal(together[0], alone[0])
    assert not torch.equal(together[1], alone[0])


@pytest.mark.parametrize(
    "name, scheduler",
    [
        ("constant", lambda opt: lr_scheduler.ConstantLR(opt, factor=1)),
        ("cosine", lambda opt: lr_scheduler.CosineAnnealingLR(opt, T_max=STEPS)),
        ("linear", lambda opt: lr_scheduler.LinearLR(opt, start_factor=1, end_factor=0, total_iters=STEPS)),
    ],
)
def test_schedules_are_those_of_torch(name, scheduler):
    optim = SGD([torch.zeros(1)], lr=0.5)
    schedule = scheduler(optim)
    for step in range(STEPS):
        assert 0.5 * SCHEDULES[name](step / STEPS) == pytest.approx(optim.param_groups[0]["lr"], abs=1e-12)
        optim.step()
        schedule.step()


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_schedule_scales_the_rate_of_every_trial(name):
    """A step at half the share is a step at half the rate."""
    torch.manual_seed(0)
    start, grad = torch.randn(2, 5, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    ends = []
    for rates, share in (([0.2, 0.4], 0.5), ([0.1, 0.2], 1.0)):
        param = start.clone()
        decay = torch.tensor([0.1, 0.2], dtype=torch.float64)
        values = {"lr": torch.tensor(rates, dtype=torch.float64), "momentum": decay, "weight_decay": decay}
        optimizer(name, [param], values)([grad], 0, share)
        ends.append(param)
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("marks", "factor"), [("0.5 0.75", 0.1), ("0.25, 0.5, 0.75", 0.2)])
def test_a_schedule_of_steps_is_that_of_torch(marks, factor):
    optim = SGD([torch.zeros(1)], lr=0.5)
    ends = [round(STEPS * mark) for mark in milestones(marks)]
    schedule = lr_scheduler.MultiStepLR(optim, ends, factor)
    share = course(GradientStudy(schedule="step", milestones=marks, milestone_factor=factor))
    for step in range(STEPS):
        assert 0.5 * share(step / STEPS) == pytest.approx(optim.param_groups[0]["lr"], rel=1e-12)
        optim.step()
        schedule.step()
    assert share(0.999) == pytest.approx(factor ** len(ends))


@pytest.mark.parametrize("marks", ["", "0", "1", "0.5 0.5", "0.7 0.2", "half", "-0.1", "nan"])
def test_milestones_that_are_no_ascending_shares_are_refused(marks):
    with pytest.raises(UserError, match="ascending and between 0 and 1"):
        milestones(marks)


def test_momentum_that_looks_ahead_is_that_of_torch():
    torch.manual_seed(0)
    start, grads = torch.randn(5, dtype=torch.float64), torch.randn(STEPS, 5, dtype=torch.float64)
    theirs, ours = start.clone(), start.clone().unsqueeze(0)
    other = SGD([theirs], lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True)
    values = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    update = optimizer(
        "sgd", [ours], {k: torch.tensor([v], dtype=torch.float64) for k, v in values.items()}, nesterov=True
    )
    for step, grad in enumerate(grads):
        theirs.grad = grad
        other.step()
        update([grad.unsqueeze(0)], step, 1.0)
    torch.testing.assert_close(ours[0], theirs, rtol=1e-12, atol=1e-12)
