"""Knowledge review: values computed by hand, the sizes that are compared, and which stage learns from which."""

import pytest
import torch
from taught_digits import start, trial

from tsd.errors import UserError
from tsd.methods.review import context_loss, resized
from tsd.studies import distill


def maps(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_by_two_places_have_the_value_computed_by_hand():
    """Differences 1, 2, 3, 4: mean square 7.5; their mean 2.5 squared is 6.25, with weight ½."""
    student = torch.tensor([1, 2, 3, 4], dtype=torch.float64).reshape(1, 1, 2, 2)
    expected = (7.5 + 6.25 / 2) / 1.5
    assert context_loss(student, torch.zeros_like(student)).item() == pytest.approx(expected, rel=1e-12)


def test_a_map_of_one_place_has_its_mean_squared_difference():
    student, teacher = maps(3, 4, 1, 1), maps(3, 4, 1, 1, seed=1)
    assert context_loss(student, teacher).item() == pytest.approx((student - teacher).square().mean().item(), rel=1e-12)


def test_the_loss_agrees_with_the_formula_written_out():
    """Maps of 8×8 places are compared at 8, 4, 2 and 1, by means over blocks."""
    apart, total = maps(2, 3, 8, 8) - maps(2, 3, 8, 8, seed=1), 0.0
    for size, weight in ((8, 1), (4, 1 / 2), (2, 1 / 4), (1, 1 / 8)):
        block = 8 // size
        total += weight * apart.reshape(2, 3, size, block, size, block).mean((3, 5)).square().mean()
    loss = context_loss(maps(2, 3, 8, 8), maps(2, 3, 8, 8, seed=1))
    assert loss.item() == pytest.approx(total.item() / 1.875, rel=1e-12)


def test_a_constant_difference_counts_alike_at_every_size():
    teacher = maps(2, 3, 8, 8)
    assert context_loss(teacher + 3, teacher).item() == pytest.approx(9, rel=1e-12)


def test_the_usual_wrong_losses_are_told_apart():
    student, teacher = maps(2, 3, 8, 8), maps(2, 3, 8, 8, seed=1)
    right = context_loss(student, teacher).item()
    for wrong in (
        (student - teacher).square().mean().item(),  # at one size
        right * 1.875,  # without dividing by the weights
        context_loss(student[:, :, ::2, ::2], teacher[:, :, ::2, ::2]).item(),  # thinned instead of averaged
    ):
        assert abs(wrong - right) > 0.05 * right


def test_the_gradient_is_that_of_the_formula():
    teacher = maps(1, 2, 4, 4, seed=1)
    assert torch.autograd.gradcheck(lambda s: context_loss(s, teacher), maps(1, 2, 4, 4).requires_grad_())


def test_a_map_is_resized_by_repeating_places():
    small, large = maps(2, 3, 2, 2), maps(2, 3, 4, 4)
    assert torch.equal(resized(small, large), small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert resized(large, large) is large


def loss_and_slopes(one, progress):
    before = start(one)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in before.params.items()}
    view = before.model.forward(leaves, before.buffers, before.train["x"], train=True)
    [phase] = distill.phases(one)
    loss = phase.loss(view, before.train | {"progress": torch.tensor(progress)}, one)
    slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return loss.item(), dict(zip(leaves, slopes, strict=True))


def test_the_weight_rises_over_the_warm_up_and_stays():
    one = trial("review", review_warmup=0.5)
    plain, quarter, half, end = (loss_and_slopes(one, at)[0] for at in (0.0, 0.25, 0.5, 1.0))
    assert quarter - plain == pytest.approx((half - plain) / 2, rel=1e-4)
    assert half - plain > 0.1
    assert end == half


def test_every_adapter_learns_and_later_stages_learn_from_earlier_teachers():
    """The last stage is fused into the first, so the layer that weighs them gets a gradient."""
    _, slopes = loss_and_slopes(trial("review"), 1.0)
    adapters = {name: slope for name, slope in slopes.items() if name.startswith("adapter.")}
    kinds = {name.split(".")[1] for name in adapters}
    assert kinds == {"squeeze0", "expand0", "attend0", "squeeze1", "expand1"}
    assert all(slope.abs().max() > 0 for slope in adapters.values())


def test_stages_are_fused_in_as_many_channels_as_asked_for_at_most():
    for asked, taken in ((512, 8), (3, 3)):
        params = start(trial("review", review_channels=asked)).params
        assert params["adapter.squeeze0.conv.weight"].shape == (taken, 4, 1, 1)
        assert params["adapter.expand1.conv.weight"].shape == (16, taken, 3, 3)


def test_vectors_are_refused():
    with pytest.raises(UserError, match=r"`hidden1` of the student mlp has shape \(4,\)"):
        distill.prepare(trial("review", student="mlp", student_depth=1))
