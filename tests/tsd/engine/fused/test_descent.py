"""One call for many updates: against autograd in float64, and against itself in other company."""

from dataclasses import replace

import pytest
import torch

from tsd.engine.fused.descent import Samples, Students, descend
from tsd.models._chain import ACTIVATIONS

RATE = 0.05


def drawn(trials=3, inputs=7, units=5, *, samples=40, sizes=(16, 16, 8, 16), inner="tanh", outer="identity", **how):
    """Students and what they learn from; `shared` and `one_order` as their names say, `biases` on or off."""
    source = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=source)

    held = 1 if how.get("shared") else trials
    orders = 1 if how.get("one_order") else trials
    biases = (normal(trials, units), normal(trials, 1)) if how.get("biases", True) else (None, None)
    students = Students(
        normal(trials, units, inputs) / inputs**0.5, normal(trials, units) / units, *biases, inner, outer
    )
    rows = torch.randint(samples, (orders, sum(sizes)), generator=source)
    data = Samples(normal(held, samples, inputs), normal(trials, samples), rows, tuple(sizes))
    return students, data, RATE * torch.rand(trials, len(sizes), generator=source)


def copied(students, members=slice(None)):
    """The students of these numbers, in memory of their own."""
    tensors = {name: getattr(students, name) for name in "wvbc"}
    return replace(students, **{name: t if t is None else t[members].clone() for name, t in tensors.items()})


def of(data, members):
    """The same choice of what they learn from."""
    chosen = {name: t if len(t) == 1 else t[members] for name in ("x", "y", "rows") for t in [getattr(data, name)]}
    return replace(data, **chosen)


def by_autograd(students, data, rates):
    """The same descent in float64, one network and one update after another."""
    tensors = {name: getattr(students, name) for name in "wvbc"}
    given = {name: t.double().clone() for name, t in tensors.items() if t is not None}
    losses = torch.zeros(len(data.sizes), len(rates), dtype=torch.float64)
    f, g = ACTIVATIONS[students.inner].value, ACTIVATIONS[students.outer].value
    for t in range(len(rates)):
        x, y, order = (each[t if len(each) > 1 else 0] for each in (data.x.double(), data.y.double(), data.rows))
        for k, rows in enumerate(order.split(data.sizes)):
            p = {name: tensor[t].clone().requires_grad_() for name, tensor in given.items()}
            output = g(f(x[rows] @ p["w"].T + p.get("b", 0)) @ p["v"] + p.get("c", 0))
            loss = (output - y[rows]).square().mean()
            losses[k, t] = loss.detach()
            for name, slope in zip(p, torch.autograd.grad(loss, list(p.values())), strict=True):
                given[name][t] -= rates[t, k].double() * slope
    return losses, given


def assert_descends(students, data, rates, tolerance=2e-6):
    losses, ends = by_autograd(students, data, rates)
    moved = copied(students)
    found = descend(moved, data, rates)
    torch.testing.assert_close(found.double(), losses, rtol=tolerance, atol=tolerance)
    for name, end in ends.items():
        torch.testing.assert_close(getattr(moved, name).double(), end, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("inner", ["tanh", "erf", "relu", "identity"])
@pytest.mark.parametrize("outer", ["tanh", "erf", "identity"])
def test_every_activation_agrees_with_autograd(inner, outer):
    assert_descends(*drawn(inner=inner, outer=outer))


@pytest.mark.parametrize("inputs", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("units", [1, 2, 10, 16, 17, 33, 50, 70])
def test_every_size_agrees_with_autograd(inputs, units):
    assert_descends(*drawn(2, inputs, units, sizes=(33, 7)))


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("one_order", [True, False])
def test_own_and_shared_data_agree_with_autograd(biases, shared, one_order):
    assert_descends(*drawn(biases=biases, shared=shared, one_order=one_order))


def test_a_single_update_and_many_agree_with_autograd():
    assert_descends(*drawn(sizes=(20,)))
    assert_descends(*drawn(sizes=(8,) * 60), tolerance=2e-5)


def test_many_updates_are_as_many_calls_bit_for_bit():
    students, data, rates = drawn(shared=True, one_order=True, sizes=(16, 16, 8, 16))
    one, many = copied(students), copied(students)
    losses = descend(one, data, rates)
    for k, rows in enumerate(data.rows.split(data.sizes, dim=1)):
        step = replace(data, rows=rows, sizes=(rows.shape[1],))
        assert torch.equal(descend(many, step, rates[:, k : k + 1])[0], losses[k])
    assert all(torch.equal(getattr(one, name), getattr(many, name)) for name in "wvbc")


@pytest.mark.parametrize("how", [{}, {"one_order": True}, {"shared": True}, {"shared": True, "one_order": True}])
def test_a_student_has_the_same_bits_in_any_company(how):
    students, data, rates = drawn(6, 20, 9, **how)
    together = copied(students)
    losses = descend(together, data, rates)
    for members in ([4], [5, 0, 3], [0, 0]):
        apart = copied(students, members)
        assert torch.equal(descend(apart, of(data, members), rates[members]), losses[:, members])
        for name in "wvbc":
            assert torch.equal(getattr(apart, name), getattr(together, name)[members])


def test_shared_data_and_copies_of_them_give_the_same_bits():
    students, data, rates = drawn(4, 20, 9, shared=True, one_order=True)
    shared, own = copied(students), copied(students)
    many = replace(data, x=data.x.expand(4, -1, -1).contiguous(), rows=data.rows.expand(4, -1).contiguous())
    assert torch.equal(descend(shared, data, rates), descend(own, many, rates))
    assert all(torch.equal(getattr(shared, name), getattr(own, name)) for name in "wvbc")


def test_a_student_that_diverges_leaves_its_neighbours_alone():
    students, data, rates = drawn(3, inner="relu")
    calm = copied(students)
    descend(calm, data, rates)
    wild = rates.clone()
    wild[1] = 1e30
    moved = copied(students)
    losses = descend(moved, data, wild)
    assert not losses[-1, 1].isfinite()
    assert torch.equal(moved.w[[0, 2]], calm.w[[0, 2]])


def test_what_is_not_a_number_stays_so():
    students, data, rates = drawn(2)
    students.w[0, 2, 3] = float("nan")
    assert descend(copied(students), data, rates)[0].isnan().tolist() == [True, False]
