"""Variational information distillation: values computed by hand, the normal density, and where variances go."""

from math import log

import pytest
import torch
from taught_digits import stage, start, trial
from torch.distributions import Normal

from tsd.errors import UserError
from tsd.methods.vid import information_loss
from tsd.studies import distill
from tsd.studies._distill_networks import pair


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def variances(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1)


def test_a_map_of_one_place_has_the_value_computed_by_hand():
    """Channels 2 apart with σ² = 4 and 1 apart with σ² = 1: ½ mean(1 + log 4, 1 + 0)."""
    mean, target = (torch.tensor(x, dtype=torch.float64).reshape(1, 2, 1, 1) for x in ([0, 0], [2, 1]))
    expected = ((1 + log(4)) + 1) / 4
    assert information_loss(mean, target, variances(4, 1)).item() == pytest.approx(expected, rel=1e-12)


def test_it_is_the_negative_log_density_less_its_constant():
    mean, target, variance = maps(3, 2, 2, 2), maps(3, 2, 2, 2, seed=1), variances(0.5, 3)
    density = Normal(mean, variance.sqrt()).log_prob(target).mean()
    constant = log(2 * torch.pi) / 2
    assert information_loss(mean, target, variance).item() == pytest.approx(-density.item() - constant, rel=1e-12)


def test_the_usual_wrong_losses_are_told_apart():
    mean, target, variance = maps(3, 2, 2, 2), maps(3, 2, 2, 2, seed=1), variances(0.5, 3)
    right = information_loss(mean, target, variance).item()
    apart = (target - mean).square()
    for wrong in (
        (apart / variance).mean() / 2,  # without the price of a large variance
        (apart / variance.square() + variance.log()).mean() / 2,  # σ taken for σ²
        (apart * variance - variance.log()).mean() / 2,  # a precision taken for a variance
        (apart / variance + variance.log()).flatten(1).sum(1).mean() / 2,  # sum over the elements
    ):
        assert abs(wrong.item() - right) > 1e-2


def test_the_best_variance_is_the_mean_squared_error_of_its_channel():
    mean, target = maps(4, 2, 3, 3), maps(4, 2, 3, 3, seed=1)
    best = (target - mean).square().mean((0, 2, 3)).reshape(-1, 1, 1).requires_grad_()
    [slope] = torch.autograd.grad(information_loss(mean, target, best), best)
    assert slope.abs().max() < 1e-12
    for factor in (0.8, 1.25):
        assert information_loss(mean, target, factor * best) > information_loss(mean, target, best)


def test_with_a_fixed_variance_of_one_it_is_half_the_mean_squared_error():
    mean, target = maps(3, 2, 2, 2), maps(3, 2, 2, 2, seed=1)
    half = (target - mean).square().mean().item() / 2
    assert information_loss(mean, target, variances(1, 1)).item() == pytest.approx(half, rel=1e-12)


def test_the_gradient_is_that_of_the_formula():
    target = maps(2, 2, 2, 2, seed=1)
    inputs = (maps(2, 2, 2, 2).requires_grad_(), variances(0.5, 3).requires_grad_())
    assert torch.autograd.gradcheck(lambda m, v: information_loss(m, target, v), inputs)


def spread(one, params, number):
    prefix = f"adapter.variance{number}."
    weights = {name.removeprefix(prefix): tensor for name, tensor in params.items() if name.startswith(prefix)}
    return one.part("method").adapters(*pair(one))[f"variance{number}"].forward(weights, {}, torch.empty(0)).output


def test_the_variances_begin_where_they_are_told_and_go_to_what_is_left_unexplained():
    """About 0.4 on digits, whether from above or from below."""
    for first, below in ((5.0, True), (0.05, False)):
        one = trial("vid", vid_variance=first, lr=1e-2)
        before, after = start(one).params, stage(one, 0, 30).params
        for number in (0, 1):
            assert torch.allclose(spread(one, before, number), torch.tensor(first))
            assert ((spread(one, after, number) < first) == below).all()


def test_a_variance_stays_positive_and_finite_for_any_parameter():
    weights = {"raw": torch.tensor([-200.0, 0.0, 200.0]).reshape(3, 1, 1)}
    one = trial("vid")
    output = one.part("method").adapters(*pair(one))["variance0"].forward(weights, {}, torch.empty(0)).output
    assert output.flatten().tolist() == pytest.approx([1e-5, log(2) + 1e-5, 200], rel=1e-4)


def test_vectors_are_refused():
    with pytest.raises(UserError, match=r"`hidden1` of the student mlp has shape \(4,\)"):
        distill.prepare(trial("vid", student="mlp", student_depth=1))
