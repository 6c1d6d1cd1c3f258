"""Spectral students against theory: the group penalty in closed form, how nodes die, and sampling errors."""

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.fit import fit
from tsd.engine.rng import Streams
from tsd.models._base import Layer
from tsd.models._chain import run_chain
from tsd.models.spectral_mlp import kernel, kernel_pullback
from tsd.studies import spectral
from tsd.studies._base import Fitted, GradientStudy, Start
from tsd.studies._spectral_pruning import node_scores

EIGENVALUE_L2, EIGENVECTOR_L2 = 0.25, 1.0
GROUP = 2 * sqrt(EIGENVALUE_L2 * EIGENVECTOR_L2)
INPUTS = 4
SIZES = np.array([0.2, 0.5, 0.7, 1.3, 1.7, 2.5]) * GROUP / 2
"""Lengths of the targets of six nodes: of the first three the penalty is stronger."""


@dataclass(frozen=True)
class OneLayer:
    """A single layer, spectral or not, without any after it: its nodes learn one by one."""

    activation: str = "identity"

    def forward(self, params, buffers, x, *, train=False):
        return run_chain(self.layers(params), self.activation, x)

    def layers(self, params):
        return [Layer(kernel(params, 1).mT, None)]

    def pullback(self, params, gradients):
        return kernel_pullback(params, 1, gradients[0].weight.mT)


def summed_error(student, batch, trial):
    return (student.output - batch["y"]).square().sum(1).mean()


def whitened(samples):
    """Inputs with the identity as their empirical covariance, in float64."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((samples, INPUTS)))
    return torch.linalg.qr(x).Q * sqrt(samples)


def targets():
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((len(SIZES), INPUTS)))
    return torch.nn.functional.normalize(z) * torch.from_numpy(SIZES).unsqueeze(1)


def trained(*inputs, layer="spectral", steps=1500, lr=0.04):
    """For each of `inputs`, the parameters of one layer after gradient descent on Σ_i E (w_i·x − z_i·x)² and its
    penalties."""
    phi = torch.from_numpy(np.random.default_rng(2).standard_normal((len(SIZES), INPUTS)))
    params = {"layer1.eigenvectors": phi}
    if layer == "spectral":
        params["layer1.eigenvalues"] = torch.ones(len(SIZES), dtype=torch.float64)
    starts = [Start(OneLayer(), params, {}, {"x": x, "y": x @ targets().mT}, {}) for x in inputs]
    trial = GradientStudy.of(
        {"optimizer": "sgd", "lr": lr, "steps": steps, "batch_size": 10_000, "curve_points": 0, "dtype": "float64"}
    )
    own = spectral.Trial.of({"layer": layer, "eigenvalue_l2": EIGENVALUE_L2, "eigenvector_l2": EIGENVECTOR_L2})
    runs = fit(
        starts,
        [trial for _ in inputs],
        [Streams({}) for _ in inputs],
        summed_error,
        penalties=lambda _: spectral.penalties(own),
        group_penalties=lambda _: spectral.group_penalties(own),
    )
    return [run.fitted.params for run in runs]


def shrunk(z):
    """argmin over w of ‖w − z‖² + c ‖w‖, the proximal map of a norm: z is shortened by c/2, to zero if it must."""
    lengths = z.norm(dim=1, keepdim=True)
    return z * (1 - GROUP / 2 / lengths).clamp(min=0)


def test_training_a_spectral_layer_ends_at_the_group_lasso_where_that_has_a_closed_form():
    """White inputs: every node ends at its target, shortened by √(ab), and those with a shorter target are dead. Where
    a node lives, the penalties share it out as a λ² = b ‖φ‖²."""
    [params] = trained(whitened(40))
    torch.testing.assert_close(kernel(params, 1), shrunk(targets()), rtol=0, atol=1e-10)
    value, vector = params["layer1.eigenvalues"].square(), params["layer1.eigenvectors"].square().sum(1)
    torch.testing.assert_close(EIGENVALUE_L2 * value[3:], EIGENVECTOR_L2 * vector[3:])


@pytest.mark.parametrize("lr", [0.04, 0.01])
def test_the_group_penalty_on_plain_weights_ends_there_too_up_to_a_step(lr):
    """A step of length c · lr leads across zero, where the penalty has an edge: nearer the descent cannot rest."""
    [params] = trained(whitened(40), layer="group_lasso", lr=lr)
    torch.testing.assert_close(kernel(params, 1), shrunk(targets()), rtol=0, atol=GROUP * lr)
    torch.testing.assert_close(kernel(params, 1)[3:], shrunk(targets())[3:], rtol=0, atol=1e-6)


def test_a_node_that_is_too_weak_dies_at_the_rate_of_its_linear_flow():
    """Near zero λ′ = −2aλ + 2ζu and u′ = −2bu + 2ζλ, with u the part of −φ along the target and ζ its length: the
    slower mode falls at the rate r = a + b − √((a − b)² + 4ζ²), the weight as its square. At ζ = √(ab) it is r = 0."""
    a, b, lr, steps = EIGENVALUE_L2, EIGENVECTOR_L2, 0.04, (800, 1000)
    early, late = (node_scores(*trained(whitened(40), steps=each)).numpy()[:3] for each in steps)
    rate = a + b - np.sqrt((a - b) ** 2 + 4 * SIZES[:3] ** 2)
    np.testing.assert_allclose((late / early) ** (1 / (steps[1] - steps[0])), (1 - lr * rate) ** 2, rtol=1e-5)


def test_the_distance_from_population_theory_falls_as_one_over_the_root_of_the_samples():
    """Gaussian inputs: students of n samples scatter around the closed form for infinitely many, by n^(−1/2)."""
    sizes, expected = [50, 200, 800], shrunk(targets())

    def deviation(samples):
        draws = (
            Streams({"data": seed}).generator("data", "x").standard_normal((samples, INPUTS)) for seed in range(12)
        )
        ends = trained(*map(torch.from_numpy, draws), steps=200)
        return np.sqrt(np.mean([(kernel(end, 1) - expected)[3:].square().sum() for end in ends]))

    slope = np.polyfit(np.log(sizes), np.log([deviation(n) for n in sizes]), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)


def test_test_errors_scatter_around_gaussian_theory_by_one_over_the_root_of_the_test_set():
    """Teacher and student of a single ReLU node are A relu(u·x) and B relu(v·x). With the angle θ between u and v,
    E relu(u·x) relu(v·x) = ‖u‖ ‖v‖ (sin θ + (π − θ) cos θ) / 2π. Cho and Saul 2009, arc-cosine kernel of order 1."""
    sizes = [100, 1000, 10_000]
    trial = {
        "teacher_width": 1,
        "student_width": 1,
        "second_width": 3,
        "input_dim": 5,
        "samples": 10,
        "dtype": "float64",
    }

    def deviation(test_samples, seed):
        own = spectral.Trial.of(trial | {"test_samples": test_samples})
        start = spectral.start(own, Streams({"teacher": 3, "init": 4, "data": seed}), MemoryShelf())
        student = {name: tensor.double() for name, tensor in start.params.items()}
        measured = spectral.mse(Fitted(start.model, student, {}), start.held["test"])
        return measured / single_node_error(start.held["teacher"], student) - 1

    spread = [np.sqrt(np.mean([deviation(size, seed) ** 2 for seed in range(30)])) for size in sizes]
    assert np.polyfit(np.log(sizes), np.log(spread), 1)[0] == pytest.approx(-0.5, abs=0.1)


def single_node_error(teacher, student):
    def as_one_node(params):
        return kernel(params, 1)[0], kernel(params, 2).relu().sum()

    def overlap(u, v):
        theta = torch.acos((u @ v / u.norm() / v.norm()).clamp(-1, 1))
        return u.norm() * v.norm() * (theta.sin() + (pi - theta) * theta.cos()) / (2 * pi)

    (u, A), (v, B) = as_one_node(teacher), as_one_node(student)
    return float(A**2 * overlap(u, u) + B**2 * overlap(v, v) - 2 * A * B * overlap(u, v))
