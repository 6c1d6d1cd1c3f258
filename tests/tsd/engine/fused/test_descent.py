"""One call for many updates: against autograd in float64, and against itself in other company."""

from dataclasses import replace

import pytest
import torch
from two_layers import assert_descends, copied, drawn, of

from tsd.engine.fused.descent import descend


@pytest.mark.parametrize("inner", ["tanh", "erf", "relu", "identity"])
@pytest.mark.parametrize("outer", ["tanh", "erf", "identity"])
def test_every_activation_agrees_with_autograd(inner, outer):
    assert_descends(descend, *drawn(inner=inner, outer=outer))


@pytest.mark.parametrize("inputs", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("units", [1, 2, 10, 16, 17, 33, 50, 70])
def test_every_size_agrees_with_autograd(inputs, units):
    assert_descends(descend, *drawn(2, inputs, units, sizes=(33, 7)))


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("one_order", [True, False])
def test_own_and_shared_data_agree_with_autograd(biases, shared, one_order):
    assert_descends(descend, *drawn(biases=biases, shared=shared, one_order=one_order))


def test_a_single_update_and_many_agree_with_autograd():
    assert_descends(descend, *drawn(sizes=(20,)))
    assert_descends(descend, *drawn(sizes=(8,) * 60), tolerance=2e-5)


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
    first = torch.stack([torch.arange(4) * len(data.x), data.first[1]])
    many = replace(data, x=data.x.repeat(4, 1), first=first, rows=data.rows.expand(4, -1).contiguous())
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
