"""Loss, derivatives and critical points of two-layer networks against published numbers and second ways to them."""

from math import asin, pi, sqrt

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.autograd.functional import hessian, jacobian

from tsd.errors import UserError
from tsd.studies._copy_average_flow import Moving, flow
from tsd.studies._copy_average_loss import KERNELS, Landscape
from tsd.studies._copy_average_points import _partitioned, curvature
from tsd.studies.copy_average import copy_average_point, one_neuron_optimum, perturbed_copy_point, population_loss

ACTIVATIONS = {"erf": lambda z: torch.erf(z / 2**0.5), "relu": torch.relu}

ONE_NEURON = {
    1: 0.0, 2: 0.0232216806, 3: 0.0405931773, 4: 0.0567545277, 5: 0.0724526452, 6: 0.0879232611,
    7: 0.1032650650, 8: 0.1185267922, 9: 0.1337353170, 10: 0.1489066860, 11: 0.1640510770, 12: 0.1791752588,
    15: 0.2244670707, 20: 0.2998056108, 50: 0.7509070873,
}  # fmt: skip

PERTURBED = [
    (10, 5, 2.289952, 0.574715, -0.052884, 0.071721, 0.605974, 0.09734934, -5.1e-4),
    (10, 6, 1.795409, 0.673255, -0.038182, 0.079319, 0.696942, 0.07848101, 3.8e-4),
    (10, 8, 1.263297, 0.850508, -0.015733, 0.091248, 0.861248, 0.03942292, 2.6e-3),
    (10, 9, 1.111371, 0.928748, -0.007159, 0.095465, 0.933861, 0.01968216, 3.8e-3),
    (20, 10, 2.169102, 0.628098, -0.026551, 0.038619, 0.644800, 0.17597829, 9.7e-5),
    (50, 21, 2.280303, 0.630621, -0.013090, 0.017497, 0.640303, 0.47176226, -9.4e-6),
    (50, 25, 1.809205, 0.711395, -0.009555, 0.019211, 0.719374, 0.40657588, 1.3e-4),
]
"""k, n, a, α, β, γ, |w|, loss and smallest curvature of perturbed copies."""


def random_student(n, d, stack=3):
    generator = torch.Generator().manual_seed(n * d)
    return torch.randn(stack, n * (1 + d), dtype=torch.float64, generator=generator)


def at(point):
    """The landscape of a point's teacher, and the point in it."""
    n, k = point.W.shape
    y = torch.from_numpy(np.concatenate([point.a, point.W.ravel()]))[None]
    return Landscape(torch.eye(k, dtype=torch.float64), n, "erf"), y


def steepness(point):
    landscape, y = at(point)
    return float(landscape.gradient(y).abs().max())


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_the_loss_is_the_mean_squared_error_over_gaussian_inputs(activation):
    n, k, d = 2, 3, 4
    generator = torch.Generator().manual_seed(5)
    y, V = random_student(n, d)[0], torch.randn(k, d, dtype=torch.float64, generator=generator)
    a, W = y[:n], y[n:].reshape(n, d)
    x, f = torch.randn(400_000, d, dtype=torch.float64, generator=generator), ACTIVATIONS[activation]
    squares = (f(x @ W.T) @ a - f(x @ V.T).sum(1)).square()
    error = float(squares.std()) / len(x) ** 0.5
    assert population_loss(a, W, V, activation) == pytest.approx(float(squares.mean()), abs=4 * error)


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_the_derivatives_are_those_of_the_loss(activation):
    """Second way: autograd for the gradient, differences of gradients for the Hessian."""
    n, k, d = 3, 4, 5
    landscape, y = Landscape(torch.eye(k, d, dtype=torch.float64), n, activation), random_student(n, d)

    def loss(v):
        return population_loss(v[:n], v[n:].reshape(n, d), landscape.V, activation)

    torch.testing.assert_close(landscape.loss(y), torch.stack([loss(v) for v in y]), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(landscape.gradient(y), torch.stack([jacobian(loss, v) for v in y]), rtol=0, atol=1e-12)
    shift = 1e-6 * torch.eye(y.shape[1], dtype=torch.float64)
    for v, found in zip(y, landscape.hessian(y), strict=True):
        differences = (landscape.gradient(v + shift) - landscape.gradient(v - shift)) / 2e-6
        torch.testing.assert_close(found, differences, rtol=0, atol=2e-8)
        assert torch.equal(found, found.T) or float((found - found.T).abs().max()) < 1e-14


def test_the_erf_hessian_is_that_of_autograd_where_neurons_coincide():
    landscape, y = at(copy_average_point(4, 2))

    def loss(v):
        return population_loss(v[:2], v[2:].reshape(2, 4), landscape.V, "erf")

    torch.testing.assert_close(landscape.hessian(y)[0], hessian(loss, y[0]), rtol=0, atol=1e-12)


def test_autograd_goes_through_neurons_that_coincide():
    """At a = 1, w = v the ReLU loss is zero, its least value: the gradient is zero, not NaN."""
    V = torch.eye(3, dtype=torch.float64)
    W = V.clone().requires_grad_()
    loss = population_loss(torch.ones(3, dtype=torch.float64), W, V, "relu")
    (gradient,) = torch.autograd.grad(loss, W)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-14) and float(gradient.abs().max()) < 1e-12


def test_arrays_and_tensors_give_the_same_loss():
    point = copy_average_point(5, 3)
    from_arrays = population_loss(point.a, point.W, np.eye(5), "erf")
    assert isinstance(from_arrays, float)
    from_tensors = population_loss(torch.tensor(point.a), torch.tensor(point.W), torch.eye(5).double(), "erf")
    assert isinstance(from_tensors, torch.Tensor) and float(from_tensors) == from_arrays


@pytest.mark.parametrize("point", [one_neuron_optimum, lambda k, a: copy_average_point(k, 2, a)])
def test_an_unknown_activation_is_refused_in_words(point):
    with pytest.raises(UserError, match=r"'tanh' has no closed form.*erf, relu"):
        point(3, "tanh")


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (((3,), (2, 4), (5, 4)), r"a has the shape \(3,\) and W \(2, 4\)"),
        (((2,), (2, 4), (5, 3)), r"W has 4 inputs and V 3"),
        (((2, 1), (2, 4), (5, 4)), r"a has the shape \(2, 1\)"),
        (((2,), (4,), (5, 4)), r"W \(4,\)"),
    ],
)
def test_weights_that_do_not_fit_together_are_told(shapes, told):
    with pytest.raises(UserError, match=told):
        population_loss(*map(np.ones, shapes))


@pytest.mark.parametrize("point", [lambda: one_neuron_optimum(0), lambda: copy_average_point(3, 4)])
def test_points_of_no_or_too_few_teacher_neurons_are_refused(point):
    with pytest.raises(UserError, match=r"teacher of (0|3)"):
        point()


def test_known_values_of_the_kernels():
    """E erf(x/√2)² = 1/3; E relu(x)² = 1/2; E relu(x) relu(y) = 1/2π for independent x, y."""
    zero, one = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert float(KERNELS["erf"].value(one, one, one)) == pytest.approx(1 / 3, abs=1e-15)
    assert float(KERNELS["erf"].value(zero, one, one)) == 0
    assert float(KERNELS["relu"].value(one, one, one)) == pytest.approx(1 / 2, abs=1e-15)
    assert float(KERNELS["relu"].value(zero, one, one)) == pytest.approx(1 / (2 * pi), abs=1e-15)


@pytest.mark.parametrize(("k", "loss"), ONE_NEURON.items())
def test_one_erf_neuron(k, loss):
    best = one_neuron_optimum(k)
    assert best.loss == pytest.approx(loss, abs=6e-11)
    assert (best.a, best.norm) == (k, pytest.approx((2 * k - 1) ** -0.5, rel=1e-15))
    assert population_loss([best.a], np.full((1, k), best.norm / k**0.5), np.eye(k), "erf") == pytest.approx(
        loss, abs=6e-11
    )


def test_the_loss_per_neuron_of_one_neuron_tends_to_its_limit():
    """L*(k)/k → 1/3 − 1/π, and the distance falls as 1/k²."""
    limit = 1 / 3 - 1 / pi
    far, near = (limit - one_neuron_optimum(k).loss / k for k in (100, 1000))
    assert limit == pytest.approx(0.0150234471, abs=5e-11) and far / near == pytest.approx(100, rel=1e-2)


@pytest.mark.parametrize(
    ("k", "loss", "product"),
    [
        (2, 0.1770238733, 1.5108183299),
        (3, 0.4847100605, 1.9850539530),
        (4, 0.9428329386, 2.4359911242),
        (5, 1.5601529945, 2.8715660770),
        (6, 2.3425462961, 3.2960891968),
    ],
)
def test_one_relu_neuron(k, loss, product):
    best = one_neuron_optimum(k, "relu")
    assert (best.loss, best.a * best.norm) == (pytest.approx(loss, abs=6e-11), pytest.approx(product, abs=6e-11))
    W = np.full((1, k), best.norm / k**0.5)
    assert population_loss([best.a], W, np.eye(k), "relu") == pytest.approx(loss, abs=6e-11)


@pytest.mark.parametrize("k", range(4, 11))
def test_copy_average_is_critical_and_has_the_loss_of_its_averager(k):
    for n in range(1, k):
        point = copy_average_point(k, n)
        assert steepness(point) < 1e-14
        assert point.loss == pytest.approx(ONE_NEURON[k - n + 1], abs=1e-10)
        assert population_loss(point.a, point.W, np.eye(k), "erf") == pytest.approx(point.loss, abs=1e-13)


@pytest.mark.parametrize(("groups", "loss"), [((1, 5), 0.0724526452), ((2, 4), 0.0799762084), ((3, 3), 0.0811863546)])
def test_every_partition_is_critical_and_the_most_unequal_is_best(groups, loss):
    point = _partitioned(6, groups)
    assert steepness(point) < 1e-14 and point.loss == pytest.approx(loss, abs=6e-11)
    assert copy_average_point(6, 2).loss <= point.loss


@pytest.mark.parametrize(
    ("k", "n", "least"), [(6, 5, 1.88e-3), (7, 6, -1.09e-2), (8, 7, -2.15e-2), (9, 8, -3.04e-2), (10, 9, -3.80e-2)]
)
def test_copy_average_turns_into_a_saddle_next_to_the_teachers_width(k, n, least):
    assert curvature(copy_average_point(k, n)) == pytest.approx(least, rel=5e-3)


def test_copy_average_is_a_strict_minimum_but_next_to_the_teachers_width():
    for k in range(4, 11):
        stable = [curvature(copy_average_point(k, n)) > 0 for n in range(1, k)]
        assert stable == [True] * (k - 2) + [k < 7]


@pytest.mark.parametrize("row", PERTURBED, ids=lambda row: f"{row[0]}-{row[1]}")
def test_perturbed_copies(row):
    k, n, *scalars, loss, least = row
    point = perturbed_copy_point(k, n)
    found = [*point.a[:1], point.W[0, 0], point.W[0, 1], point.W[0, -1], np.linalg.norm(point.W[0])]
    assert found == pytest.approx(scalars, abs=1e-6)
    assert point.loss == pytest.approx(loss, abs=1e-8) and steepness(point) < 1e-12
    assert curvature(point) == pytest.approx(least, rel=5e-2)


def symmetric_loss(k, n):
    """The erf loss in the four scalars of perturbed copies, from the three kinds of overlaps."""

    def loss(scalars):
        a, lean, between, gathered = scalars
        norm = lean**2 + (n - 1) * between**2 + (k - n) * gathered**2
        product = 2 * lean * between + (n - 2) * between**2 + (k - n) * gathered**2
        own = asin(norm / (1 + norm)) + (n - 1) * asin(product / (1 + norm))
        overlaps = ((lean, 1), (between, n - 1), (gathered, k - n))
        cross = sum(count * asin(t / sqrt(2 * (1 + norm))) for t, count in overlaps)
        return k / 3 + 2 / pi * n * (a * a * own - 2 * a * cross)

    return loss


@pytest.mark.parametrize(("k", "n"), [(11, 3), (15, 5), (18, 4), (20, 7), (40, 3), (50, 9)])
def test_perturbed_copies_are_the_best_of_their_symmetry(k, n):
    """Other critical points with it lie higher, and draw descents of narrow students: several, by a second way."""
    starts = [[k / n, sqrt(n / k), -0.1 / k, 0.5 / k], [1, 0.9, 0, 0.1 / sqrt(k)], [k / n, 0.3, 0, 0.1]]
    starts.append([(k / n) ** 1.4, 0.6 * sqrt(n / k), -0.05, 0.2 / k])
    found = min(minimize(symmetric_loss(k, n), start, method="BFGS", tol=1e-11).fun for start in starts)
    assert perturbed_copy_point(k, n).loss == pytest.approx(found, abs=1e-6)


def test_thresholds_of_a_teacher_of_fifty_neurons():
    """Perturbed copies turn stable at n/k = 0.44 and are the better ones from 0.76 on."""
    assert curvature(perturbed_copy_point(50, 21)) < 0 < curvature(perturbed_copy_point(50, 22))
    losses = {n: (copy_average_point(50, n).loss, perturbed_copy_point(50, n).loss) for n in (37, 38)}
    assert losses[37] == pytest.approx((0.20938, 0.21002), abs=1e-5)
    assert losses[38] == pytest.approx((0.194284, 0.193718), abs=1e-6)


def test_copy_average_of_fifty_neurons_is_left_from_forty_five_on():
    assert curvature(copy_average_point(50, 44)) == pytest.approx(9.9e-5, rel=1e-2)
    assert curvature(copy_average_point(50, 45)) == pytest.approx(-4.0e-4, rel=2e-2)


@pytest.mark.parametrize(("n", "loss"), [(1, 2.3425), (2, 1.1203), (3, 0.5864), (4, 0.3035)])
def test_relu_copy_average_of_six(n, loss):
    """What runs of an independent explicit flow ended at; more copies and a separate average would lose more."""
    assert copy_average_point(6, n, "relu").loss == pytest.approx(loss, abs=5e-5)


def test_the_flow_follows_the_gradient_and_its_error_falls_with_the_tolerance():
    """Second way: classical Runge–Kutta with steps far below the stiffest time."""
    landscape, y = Landscape(torch.eye(3, 4, dtype=torch.float64), 2, "erf"), random_student(2, 4)
    exact, h = y.clone(), 2e-3
    for _ in range(1000):
        k1 = -landscape.gradient(exact)
        k2 = -landscape.gradient(exact + h / 2 * k1)
        k3 = -landscape.gradient(exact + h / 2 * k2)
        exact = exact + h / 6 * (k1 + 2 * k2 + 2 * k3 - landscape.gradient(exact + h * k3))
    errors = []
    for tolerance in (1e-2, 1e-4):
        moving = Moving.start(y)
        for _ in flow(landscape, moving, 2.0, tolerance, 10_000):
            pass
        errors.append(float((moving.y - exact).abs().max()))
    assert errors[1] < 0.2 * errors[0] and errors[1] < 1e-3
