"""Escape dynamics: what theory says of overlaps, plateau, escape, end point and Hessian. arXiv:2604.03068.

Without a word on the source, a number is derived from the equations of the module; `REFERENCE` was computed apart from
this code, with another integrator.
"""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from tsd.engine.rng import Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.studies import escape
from tsd.studies._escape_landscape import hessian, plateau, polar_solution
from tsd.studies._escape_overlaps import conserved, crossing
from tsd.studies._escape_sgd import descend

ALPHAS = [0, 1, 5, 10, 20, 30, 40, 60, 80, 120]
START = {
    2: np.array([[1, 0.3], [-0.2, 0.6]]),
    4: np.array([[1, 0.3], [-0.2, 0.6], [0.5, -0.4], [0.1, 0.2]]),
}
LR = {2: 0.1, 4: 0.2}
# α: error, tr Q, ‖M‖² at p* = 2, from Q = 0.5 · 1 and M = 0.05 · START, with the term in lr².
REFERENCE = {
    2: [
        (0.7481375000, 1.00000000, 0.00372500),
        (0.7477811690, 1.01450577, 0.00454291),
        (0.7458103849, 1.05364398, 0.00981969),
        (0.7391894409, 1.08083263, 0.02490379),
        (0.6829257491, 1.15184069, 0.14622697),
        (0.4765181807, 1.38805888, 0.62889759),
        (0.1896087492, 1.74491946, 1.40682355),
        (0.0100205149, 1.98648036, 1.96661941),
        (0.0004124190, 1.99944964, 1.99862510),
        (0.0000006855, 1.99999909, 1.99999771),
    ],
    4: [
        (0.6862812500, 2.00000000, 0.00487500),
        (0.6790941715, 2.12045172, 0.00623086),
        (0.6643585084, 2.48562772, 0.01538502),
        (0.6562651330, 2.72810170, 0.04239875),
        (0.6055907346, 2.96452146, 0.26454556),
        (0.4162426236, 3.39945585, 1.16734245),
        (0.1670634698, 3.95976153, 2.61617648),
        (0.0170271551, 4.17542356, 3.70973958),
        (0.0042307103, 4.12529608, 3.85391109),
        (0.0012108299, 4.07271478, 3.92207795),
    ],
}


def flow(width, alphas, noise=True, T=None):
    """From the reference's start; for T ≠ 1 the same weights seen by another teacher."""
    T = np.eye(2) if T is None else T
    M0 = 0.05 * START[width]
    return escape.integrate(M0, 0.5 * np.eye(width), T, LR[width], alphas, 1 / width, 1 / 2, noise)


def escape_time(width, teacher_width, dim, seeds):
    """Mean over starts of gradient flow at cη = 0.05."""
    sizes = {"student_width": width, "teacher_width": teacher_width, "input_dim": dim}
    trial = escape.Trial.of(sizes | {"dynamics": "gradient_flow", "lr": 0.05 * width, "alpha_max": 200})
    outcomes = run_pack(escape, [trial] * seeds, [Streams({"init": i}) for i in range(seeds)], None)
    return np.mean([outcome.measured.metrics["escape_time"] for outcome in outcomes])


@pytest.mark.parametrize("width", [2, 4])
def test_the_overlaps_follow_the_reference(width):
    path = flow(width, ALPHAS)
    found = np.stack([path.error, np.trace(path.Q, axis1=1, axis2=2), (path.M**2).sum((1, 2))], axis=1)
    np.testing.assert_allclose(found, REFERENCE[width], rtol=0, atol=3e-8)
    assert path.M.shape == (10, width, 2) and path.Q.shape == (10, width, width)


def test_the_term_in_lr_squared_matters_at_these_rates():
    gap = np.abs(flow(4, ALPHAS).error - flow(4, ALPHAS, noise=False).error)
    assert 0.05 < gap.max() < 0.08 and ALPHAS[gap.argmax()] in (30, 40)


def test_the_error_is_half_the_mean_squared_gap_over_inputs():
    rng = np.random.default_rng(1)
    W, V = rng.normal(size=(3, 5)), rng.normal(size=(2, 5))
    x = rng.normal(size=(1_000_000, 5)) / math.sqrt(5)
    gaps = 0.4 * ((x @ W.T) ** 2).sum(1) - 0.7 * ((x @ V.T) ** 2).sum(1)
    exact = escape.population_error(W @ V.T / 5, W @ W.T / 5, V @ V.T / 5, 0.4, 0.7)
    assert exact == pytest.approx((gaps**2).mean() / 2, rel=0.02)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3), (3, 3)), ((2, 3), (2, 2), (2, 2)), ((3,), (1, 1), (3, 3))])
def test_overlaps_that_do_not_fit_together_are_told(shapes):
    overlaps = [np.zeros(shape) for shape in shapes]
    for ask in (escape.population_error, lambda *o: escape.integrate(*o[:3], 0.1, [0, 1], *o[3:])):
        with pytest.raises(UserError, match=r"Overlaps of M .* do not fit together"):
            ask(*overlaps, 0.5, 0.5)


@pytest.mark.parametrize("alphas", [[], [3, 1], [-1, 2], [[0, 1]]])
def test_times_that_do_not_rise_are_told(alphas):
    with pytest.raises(UserError, match="rise from 0"):
        escape.integrate([[0.1]], [[0.5]], [[1.0]], 0.1, alphas, 1.0, 1.0)


def test_tensors_are_overlaps_too():
    M, Q, T = ([[0.05]], [[0.5]], [[1.0]])
    tensors = [torch.tensor(overlap, dtype=torch.float64) for overlap in (M, Q, T)]
    plain, told = (escape.integrate(*each, 0.1, [0, 5.0], 1.0, 1.0).error for each in ((M, Q, T), tensors))
    assert plain.tolist() == told.tolist()


def test_the_error_vanishes_on_every_solution():
    frame = np.linalg.qr(np.random.default_rng(2).normal(size=(4, 2)))[0] * math.sqrt(0.7 / 0.4)
    assert escape.population_error(frame, frame @ frame.T, np.eye(2), 0.4, 0.7) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("T", [np.eye(2), np.array([[1.3, 0.4], [0.4, 0.7]])], ids=["orthonormal", "any teacher"])
@pytest.mark.parametrize("width", [2, 4])
def test_gradient_flow_conserves_its_quantity_through_the_escape(width, T):
    alphas = np.linspace(0, 60, 25)
    path, growth = flow(width, alphas, noise=False, T=T), 4 / width / 2 * LR[width] * alphas
    error = path.error / path.error[0]
    seen = [conserved(M, Q, T, g) for M, Q, g, e in zip(path.M, path.Q, growth, error, strict=True) if e > 0.05]
    assert len(seen) > 10 and error.min() < 0.05
    for now in seen:
        assert np.linalg.norm(now - seen[0]) < 1e-8 * np.linalg.norm(seen[0])


def test_noise_breaks_the_conservation():
    path = flow(2, [0, 20])
    first, now = (conserved(path.M[i], path.Q[i], np.eye(2), 0.1 * path.alphas[i]) for i in (0, 1))
    assert np.linalg.norm(now - first) > 0.1 * np.linalg.norm(first)


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize(("p", "k", "c", "d"), [(4, 2, 1 / 4, 1 / 2), (3, 5, 0.4, 0.3)])
def test_norms_settle_on_the_plateau(p, k, c, d, noise):
    """M = 0 stays: after long times Q is the plateau's, and a speck of M grows at the plateau's rate."""
    settled = plateau(p, k, 0.1, student_scale=c, teacher_scale=d, noise=noise)
    path = escape.integrate(np.zeros((p, k)), np.eye(p) / 3, np.eye(k), 0.1, [0, 400], c, d, noise)
    np.testing.assert_allclose(path.Q[-1], settled.norm * np.eye(p), atol=1e-9)
    assert path.error[-1] == pytest.approx(settled.error, rel=1e-9)
    grown = escape.integrate(np.full((p, k), 1e-9), settled.norm * np.eye(p), np.eye(k), 0.1, [0, 50], c, d, noise).M
    assert math.log(grown[1, 0, 0] / grown[0, 0, 0]) / 50 == pytest.approx(settled.rate, rel=1e-6)


def test_a_trajectory_ends_where_it_diverged():
    path = escape.integrate([[0.05]], [[0.5]], [[1.0]], 9.0, [0, 5], 1.0, 1.0)
    assert path.length == 1 and np.isnan(path.error[1]) and np.isnan(path.M[1]).all()
    assert escape.integrate([[0.05]], [[0.5]], [[1.0]], 9.0, [5], 1.0, 1.0).length == 0


def test_a_solution_stays_and_a_trajectory_may_be_its_start():
    path = escape.integrate(np.eye(2), np.eye(2), np.eye(2), 0.1, [0, 50], 0.5, 0.5)
    np.testing.assert_allclose(path.M, [np.eye(2)] * 2, atol=1e-10)
    start = escape.integrate([[0.05]], [[0.5]], [[1.0]], 0.1, [0], 1.0, 1.0)
    assert start.M == 0.05 and start.error == escape.population_error([[0.05]], [[0.5]], [[1.0]], 1.0, 1.0)


@pytest.mark.parametrize(("p", "k"), [(1, 1), (4, 2), (16, 4)])
def test_the_plateau_of_gradient_flow_has_a_closed_form(p, k):
    settled = plateau(p, k, 0.3, student_scale=1 / p, teacher_scale=1 / k, noise=False)
    assert settled.norm == pytest.approx(p / (p + 2))
    assert settled.error == pytest.approx(1 / (p + 2) + 1 / k)
    assert settled.rate == pytest.approx(4 * 0.3 / (p * k))


def test_a_rate_without_a_plateau_diverges_and_says_so():
    assert math.isnan(plateau(2, 2, 5.0, student_scale=0.5, teacher_scale=0.5).norm)
    for dynamics in ("ode", "sgd"):
        values = {"student_width": 2, "lr": 5.0, "alpha_max": 10, "input_dim": 50, "dynamics": dynamics}
        (outcome,) = run_pack(escape, [escape.Trial.of(values)], [Streams({})], None)
        assert outcome.state == "diverged" and not outcome.measured.metrics
        assert all(np.isfinite(curve.values).all() for curve in outcome.measured.curves)


@pytest.mark.parametrize(("p", "k"), [(2, 2), (4, 2), (16, 4)])
def test_the_measured_plateau_is_the_predicted_one(p, k):
    values = {"student_width": p, "teacher_width": k, "input_dim": 10_000, "lr": 0.05 * p, "dynamics": "gradient_flow"}
    (outcome,) = run_pack(escape, [escape.Trial.of(values | {"alpha_max": 200})], [Streams({})], None)
    metrics = outcome.measured.metrics
    assert metrics["plateau_error"] == pytest.approx(metrics["plateau_error_theory"], rel=0.01)
    assert metrics["escape_time"] == pytest.approx(metrics["escape_time_theory"], rel=0.2)
    assert metrics["escaped"] == 1 and metrics["conserved_drift"] < 1e-8


def test_a_single_student_of_a_single_teacher_escapes_as_long_as_its_m_grows():
    """p = p* = 1: the error halves only once M is of order one, so time grows by ln(N ratio) over 8cc*η."""
    for start in (1e-2, 1e-3, 1e-4):
        path = escape.integrate([[start]], [[0.5]], [[1]], 0.05, np.linspace(0, 80, 4001), 1, 1, noise=False)
        late = escape.integrate([[start / 10]], [[0.5]], [[1]], 0.05, np.linspace(0, 80, 4001), 1, 1, noise=False)
        times = [crossing(each.alphas, each.error, 2 / 3) for each in (path, late)]
        assert times[1] - times[0] == pytest.approx(math.log(10) / 0.2, rel=2e-3)


def test_a_wider_student_escapes_little_earlier_and_a_wider_teacher_lets_it_wait():
    """At fixed cη, so that the rate 4cc*η is set by the teacher alone; p = p* = 1 scatters most, as ln M² of one
    neuron does."""
    base = {1: escape_time(1, 1, 10_000, 48), 2: escape_time(2, 2, 10_000, 12), 4: escape_time(4, 4, 10_000, 8)}
    for k in (1, 2):
        assert 0 < 1 - escape_time(8 * k, k, 10_000, 8) / base[k] < 0.45
        assert 1.4 < base[2 * k] / base[k] < 2


# (p*, p): mean and standard deviation of the escape time over five starts of gradient flow with cη = 0.05, Q = 0.5 · 1
# and M of variance 1/N, N = 10 000. With M of vectors of squared norm 0.5, variance 0.5/N, this is input_dim 5 000.
ESCAPES = {
    (1, 1): (30.3, 3.9), (1, 2): (25.2, 3.9), (1, 4): (22.5, 2.3), (1, 8): (21.8, 1.0), (1, 16): (20.3, 0.9),
    (2, 2): (46.7, 4.7), (2, 4): (43.4, 2.0), (2, 8): (39.1, 1.8), (2, 16): (37.8, 1.1),
    (4, 4): (80.5, 3.8), (4, 8): (73.5, 1.8), (4, 16): (69.2, 1.5),
}  # fmt: skip


def scalar_escape_times(singular_values, width, teacher_width):
    """Second way to the escape times of gradient flow from Q = 0.5 · 1, one for each row of singular values of M: there
    M and Q keep their singular vectors, so p* pairs (m, q) and one q of the unused directions say all. RK4."""
    c, d, lr, step = 1 / width, 1 / teacher_width, 0.05 * width, 0.2
    draws, unused = len(singular_values), width - teacher_width
    y = np.hstack([singular_values, np.full((draws, teacher_width + 1), 0.5)])

    def parts(y):
        m, q, rest = np.split(y, [teacher_width, 2 * teacher_width], axis=1)
        return m, q, rest, q.sum(1, keepdims=True) + unused * rest

    def rate(y):
        m, q, rest, total = parts(y)
        by_m = -2 * c * lr * m * (c * (total + 2 * q) - d * (teacher_width + 2))
        by_q = -4 * c * lr * (c * q * (total + 2 * q) - d * (teacher_width * q + 2 * m**2))
        return np.hstack([by_m, by_q, -4 * c * lr * rest * (c * (total + 2 * rest) - d * teacher_width)])

    def error(y):
        m, q, rest, total = parts(y)
        squares = c**2 * ((q**2).sum(1) + unused * rest[:, 0] ** 2) - 2 * c * d * (m**2).sum(1)
        return (c * total[:, 0] - d * teacher_width) ** 2 / 2 + squares + d**2 * teacher_width

    errors, level = [error(y)], (1 / (width + 2) + 1 / teacher_width) / 2
    while errors[-1].max() > level:
        k1 = rate(y)
        k2 = rate(y + step / 2 * k1)
        k3 = rate(y + step / 2 * k2)
        y = y + step / 6 * (k1 + 2 * k2 + 2 * k3 + rate(y + step * k3))
        errors.append(error(y))
    alphas = step * np.arange(len(errors))
    return np.array([crossing(alphas, course, level) for course in np.transpose(errors)])


def drawn_escape_times(width, teacher_width, variance, draws, seed=0):
    overlaps = variance**0.5 * np.random.default_rng(seed).standard_normal((draws, width, teacher_width))
    return scalar_escape_times(np.linalg.svd(overlaps, compute_uv=False), width, teacher_width)


@pytest.mark.parametrize(("width", "teacher_width"), [(2, 2), (8, 2), (4, 4)])
def test_the_escape_time_is_that_of_the_singular_values_of_the_start(width, teacher_width):
    sizes = {"student_width": width, "teacher_width": teacher_width, "input_dim": 1000, "curve_points": 1000}
    trial = escape.Trial.of(sizes | {"dynamics": "gradient_flow", "lr": 0.05 * width})
    start = escape.first_weights(trial, Streams({}))[:, :teacher_width]
    (outcome,) = run_pack(escape, [trial], [Streams({})], None)
    (expected,) = scalar_escape_times(np.linalg.svd(start, compute_uv=False)[None], width, teacher_width)
    assert outcome.measured.metrics["escape_time"] == pytest.approx(expected, rel=1e-4)


def test_escape_times_average_to_the_reference():
    """Twelve pairs of widths; the reference's means of five draws are known to its deviation over √5."""
    gaps = []
    for (teacher_width, width), (mean, spread) in ESCAPES.items():
        times = drawn_escape_times(width, teacher_width, 1e-4, 150)
        gaps.append((times.mean() - mean) / (max(spread, times.std()) / 5**0.5))
    assert np.max(np.abs(gaps)) < 3 and np.mean(np.square(gaps)) < 2


def test_width_beyond_the_teachers_shortens_the_wait_by_a_sixth_to_a_fifth():
    """Means over 600 starts at the two variances in use: p = 8p* against p = p*."""
    for variance in (1e-4, 0.5e-4):
        for k in (1, 2):
            wide, narrow = (drawn_escape_times(p, k, variance, 600).mean() for p in (8 * k, k))
            assert 0.15 < 1 - wide / narrow < 0.23


def test_the_time_to_escape_grows_as_the_logarithm_of_the_input_dimension():
    """α = ln(N)/(8cc*η) + const for p = 16, p* = 1, where chance is averaged over many neurons: 1/(8cc*η) = 2.5."""
    times = [escape_time(16, 1, dim, 16) for dim in (100, 1_000, 10_000)]
    slope = (times[-1] - times[0]) / math.log(100)
    assert slope == pytest.approx(2.5, rel=0.15)


@pytest.mark.parametrize(("alpha", "expected"), [(150, 1.0e-2), (600, 2.0e-3)])
def test_gradient_flow_ends_at_the_solution_nearest_to_its_start(alpha, expected):
    goal = polar_solution(START[4], 1 / 4, 1 / 2)
    last = flow(4, [alpha], noise=False)
    assert 0.5 * expected < np.abs(last.M[-1] - goal).max() < 2 * expected
    square = escape.integrate(0.05 * START[2], np.eye(2) / 2, np.eye(2), 0.1, [400], 1 / 2, 1 / 2, noise=False)
    np.testing.assert_allclose(square.M[-1], polar_solution(START[2], 1 / 2, 1 / 2), atol=1e-10)


def test_the_polar_solution_is_the_nearest_of_many():
    goal = polar_solution(START[4], 1 / 4, 1 / 2)
    rng = np.random.default_rng(3)
    frames = [np.linalg.qr(rng.normal(size=(4, 2)))[0] * math.sqrt(2) for _ in range(500)]
    assert escape.population_error(goal, goal @ goal.T, np.eye(2), 1 / 4, 1 / 2) == pytest.approx(0, abs=1e-15)
    nearest = min(np.linalg.norm(START[4] - frame) for frame in frames)
    assert np.linalg.norm(START[4] - goal) <= nearest


def test_unused_directions_die_out_as_one_over_alpha():
    """p > p*: tr(Q − MMᵀ) → (p − p*)(p* + 2) / (8c²η(p + 2)α)."""
    c, lr, path = 1 / 4, LR[4], flow(4, [600, 3000], noise=False)
    left = [np.trace(Q - M @ M.T) for M, Q in zip(path.M, path.Q, strict=True)]
    law = [(4 - 2) * (2 + 2) / (8 * c**2 * lr * (4 + 2) * alpha) for alpha in (600, 3000)]
    gaps = [found / told - 1 for found, told in zip(left, law, strict=True)]
    assert abs(gaps[1]) < 0.03 and abs(gaps[1]) < 0.5 * abs(gaps[0])


# Sizes (p, p*): eigenvalue → multiplicity at N = 12.
PLATEAUS = {
    (2, 2): {-1: 4, 0: 17, 1: 2, 2: 1},
    (3, 2): {-2 / 3: 6, 0: 24, 8 / 15: 5, 4 / 3: 1},
    (2, 1): {-2: 2, 0: 19, 1: 2, 2: 1},
}
SOLUTIONS = {
    (2, 2): {0: 1, 1: 20, 2: 2, 4: 1},
    (3, 2): {0: 13, 2 / 3: 20, 4 / 3: 2, 8 / 3: 1},
    (2, 1): {0: 12, 2: 11, 6: 1},
}


@pytest.mark.parametrize("sizes", PLATEAUS)
@pytest.mark.parametrize(("at", "known"), [("plateau", PLATEAUS), ("solution", SOLUTIONS)])
def test_the_hessian_has_exact_eigenvalues_with_exact_multiplicities(at, known, sizes):
    found = Counter(np.round(escape.hessian_spectrum(*sizes, 12, at=at), 9) + 0.0)
    assert found == {round(value, 9): count for value, count in known[sizes].items()}


@pytest.mark.parametrize(("p", "k", "dim", "c", "d"), [(3, 2, 9, 0.4, 0.7), (2, 4, 8, 1.0, 0.3)])
def test_the_plateau_is_a_saddle_at_any_prefactors(p, k, dim, c, d):
    """−4cc* (pp*), 0 (p(N − p − p*) + p(p − 1)/2), 8c²q (p(p + 1)/2 − 1), 4cc*p* (1)."""
    norm = d * k / (c * (p + 2))
    told = [-4 * c * d] * (p * k) + [0] * (p * (dim - p - k) + p * (p - 1) // 2)
    told += [8 * c**2 * norm] * (p * (p + 1) // 2 - 1) + [4 * c * d * k]
    found = escape.hessian_spectrum(p, k, dim, student_scale=c, teacher_scale=d)
    np.testing.assert_allclose(found, np.sort(told), atol=1e-12)


def test_the_hessian_is_the_second_derivative_of_the_error():
    rng = np.random.default_rng(4)
    w, v, u = rng.normal(size=(3, 5)), rng.normal(size=(2, 5)), rng.normal(size=(3, 5))

    def error(t):
        moved = w + t * u
        return escape.population_error(moved @ v.T, moved @ moved.T, v @ v.T, 0.4, 0.7)

    stencil = np.array([-1, 16, -30, 16, -1]) / 12  # exact, because the error is of fourth order in t
    curvature = stencil @ [error(t) for t in (-2, -1, 0, 1, 2)]
    assert u.ravel() @ hessian(w, v, 0.4, 0.7) @ u.ravel() == pytest.approx(curvature, rel=1e-10)


@pytest.mark.parametrize(("sizes", "at"), [((2, 4, 9), "solution"), ((4, 4, 7), "plateau"), ((2, 2, 9), "minimum")])
def test_a_point_that_does_not_exist_is_told(sizes, at):
    with pytest.raises(UserError, match=at):
        escape.hessian_spectrum(*sizes, at=at)


def with_overlaps(M, norm, dim, rng):
    """Weights W/√N of exactly these overlaps with a teacher along the first axes, and Q = norm · 1."""
    width, teacher_width = M.shape
    side = np.linalg.cholesky(norm * np.eye(width) - M @ M.T)
    frame = np.linalg.qr(rng.standard_normal((dim - teacher_width, width)))[0]
    return np.hstack([M, side @ frame.T])


def runs(width, dim, count, alphas):
    """SGD from the reference's start."""
    inputs = [np.random.default_rng([dim, i]) for i in range(count)]
    start = np.stack([with_overlaps(0.05 * START[width], 0.5, dim, rng) for rng in inputs])
    rates = {"lr": LR[width], "student_scale": 1 / width, "teacher_scale": 1 / 2}
    rates = {name: np.full(count, value) for name, value in rates.items()}
    return descend(start, teacher_width=2, alphas=alphas, inputs=inputs, **rates)


@pytest.mark.parametrize("width", [2, 4])
def test_sgd_follows_the_equations_within_its_scatter(width):
    """Six runs at N = 1000, as the reference's; three standard deviations at every time."""
    alphas = np.array([0.0, 10, 20, 30, 40])
    errors, ode = np.stack([path.error for path in runs(width, 1000, 6, alphas)]), flow(width, alphas).error
    np.testing.assert_allclose(errors[:, 0], ode[0], rtol=1e-12)
    assert (np.abs(errors.mean(0) - ode)[1:] < 3 * errors.std(0, ddof=1)[1:]).all()
    assert errors[:, -1].std() < 0.1


def test_a_study_of_sgd_tells_its_deviation_and_it_shrinks_as_the_root_of_the_input_dimension():
    sizes, found = np.array([64, 256, 1024]), []
    for dim in sizes:
        values = {"student_width": 2, "lr": 0.2, "dynamics": "sgd", "alpha_max": 6, "curve_points": 12}
        trial = escape.Trial.of(values | {"start_overlap": 0.3, "input_dim": int(dim)})
        seeds = [Streams({"init": i, "data": i}) for i in range(24)]
        outcomes = run_pack(escape, [trial] * len(seeds), seeds, None)
        found.append(np.mean([outcome.measured.metrics["ode_deviation"] for outcome in outcomes]))
    assert np.polyfit(np.log(sizes), np.log(found), 1)[0] == pytest.approx(-0.5, abs=0.08)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_start_may_have_the_overlaps_that_are_asked_for(width):
    trial = escape.Trial.of({"student_width": width, "start_overlap": 0.2, "start_norm": 0.6, "input_dim": 30})
    start = escape.first_weights(trial, Streams({}))
    np.testing.assert_allclose(start[:, :2], 0.2 * np.eye(2)[np.arange(width) % 2])
    np.testing.assert_allclose(start @ start.T, 0.6 * np.eye(width), atol=1e-14)


def test_overlaps_that_no_orthogonal_start_has_are_told():
    trial = escape.Trial.of({"student_width": 4, "start_overlap": 0.6})
    with pytest.raises(UserError, match=r"start_overlap 0\.6 is too large.*= 0\.5\."):
        escape.first_weights(trial, Streams({}))


def test_the_overlap_matrices_belong_to_the_path_and_the_last_is_the_polar_one():
    values = {"student_width": 3, "lr": 0.2, "input_dim": 500, "alpha_max": 400, "dynamics": "gradient_flow"}
    trial = escape.Trial.of(values)
    (outcome,) = run_pack(escape, [trial], [Streams({"init": 1})], None)
    M = {c.metric: np.reshape(c.values, (3, 2)) for c in outcome.measured.curves if c.metric.startswith("overlap_")}
    np.testing.assert_array_equal(M["overlap_start"], escape.first_weights(trial, Streams({"init": 1}))[:, :2])
    np.testing.assert_allclose(M["overlap_polar"].T @ M["overlap_polar"], 3 / 2 * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(M["overlap_end"], M["overlap_polar"], atol=0.02)


def test_one_step_of_sgd_is_the_gradient_of_one_sample():
    rng = np.random.default_rng(5)
    w, dim = rng.normal(size=(1, 3, 6)), 6
    x = np.random.default_rng(6).standard_normal(6)
    gap = 0.4 * ((w[0] @ x) ** 2).sum() - 0.7 * (x[:2] ** 2).sum()
    moved = w[0] - 2 * 0.4 * 0.3 / dim * gap * np.outer(w[0] @ x, x)
    scales = {"lr": np.array([0.3]), "student_scale": np.array([0.4]), "teacher_scale": np.array([0.7])}
    alphas = np.array([0, 1 / dim])
    (path,) = descend(w, teacher_width=2, alphas=alphas, inputs=[np.random.default_rng(6)], **scales)
    np.testing.assert_allclose(path.M[1], moved[:, :2], rtol=1e-12)
    np.testing.assert_allclose(path.Q[1], moved @ moved.T, rtol=1e-12)


def test_ode_and_sgd_of_equal_seeds_start_from_the_same_overlaps():
    values = {"student_width": 3, "input_dim": 60, "alpha_max": 1, "curve_points": 2}
    first = []
    for dynamics in ("ode", "gradient_flow", "sgd"):
        trial = escape.Trial.of(values | {"dynamics": dynamics})
        (outcome,) = run_pack(escape, [trial], [Streams({"init": 7})], None)
        curves = {curve.metric: curve.values for curve in outcome.measured.curves}
        first.append([curves["error"][0], curves["student_norm"][0], *curves["overlap_start"]])
    assert first[0] == first[1]
    assert first[2] == pytest.approx(first[0], rel=1e-12)


@pytest.mark.parametrize("width", [2, 5])
def test_a_start_is_orthogonal_with_the_asked_norm_or_gaussian(width):
    values = {"student_width": width, "input_dim": 20_000, "start_norm": 0.8}
    orthogonal, gaussian = (
        escape.first_weights(escape.Trial.of(values | {"init": init}), Streams({}))
        for init in ("orthogonal", "gaussian")
    )
    np.testing.assert_allclose(orthogonal @ orthogonal.T, 0.8 * np.eye(width), atol=1e-14)
    np.testing.assert_allclose(gaussian @ gaussian.T, 0.8 * np.eye(width), atol=0.04)


def test_too_few_inputs_are_told():
    with pytest.raises(UserError, match="input_dim 5 is too small"):
        run_pack(escape, [escape.Trial.of({"input_dim": 5})], [Streams({})], None)


def test_curves_stand_at_hundredths_of_alpha_and_a_narrow_student_has_no_solution():
    values = {"student_width": 1, "teacher_width": 2, "alpha_max": 0.5, "curve_points": 4, "spectrum_dim": 4}
    (outcome,) = run_pack(escape, [escape.Trial.of(values)], [Streams({})], None)
    curves = {curve.metric: curve for curve in outcome.measured.curves}
    expected = {"error", "student_norm", "teacher_overlap", "hessian_plateau", "overlap_start", "overlap_end"}
    assert set(curves) == expected
    assert list(curves["error"].steps) == [0, 12, 25, 38, 50]
    assert list(curves["hessian_plateau"].steps) == [1, 2, 3, 4]
    metrics = outcome.measured.metrics
    assert metrics["escaped"] == 0 and not {"escape_time", "polar_distance"} & set(metrics)


def test_an_escape_lies_between_the_records_around_it():
    alphas, error = np.array([0.0, 1, 2, 3]), np.array([1.0, 0.8, 0.4, 0.5])
    assert crossing(alphas, error, 0.5) == pytest.approx(1.75)
    assert crossing(alphas, error, 0.3) is None
    assert crossing(alphas, error, 2.0) == 0
