"""Dense Hopfield simulation: exact enumeration at tiny sizes, replica theory at larger ones."""

from itertools import combinations, product
from math import comb, factorial

import numpy as np
import pytest

from tsd.engine.checkpoint import Checkpoint
from tsd.engine.rng import Streams
from tsd.errors import UserError
from tsd.studies import _dense_hopfield_couplings as cubic
from tsd.studies import _dense_hopfield_dynamics as dynamics
from tsd.studies import _dense_hopfield_theory, dense_hopfield


def tuples_sum(signs, order):
    """Σ over distinct tuples of the product, term by term: the definition."""
    return sum(np.prod(signs[list(sites)]) for sites in combinations(range(len(signs)), order))


def configurations(size):
    return np.array(list(product([-1, 1], repeat=size)))


def boltzmann(energies):
    weights = np.exp(energies - energies.max())
    return weights / weights.sum()


def outcomes(count=1, **values):
    trials = [dense_hopfield.Trial.of(values)] * count
    seeds = [Streams({"data": n, "init": n, "noise": n}) for n in range(count)]
    return [outcome.measured for outcome in dense_hopfield.simulate(trials, seeds, Checkpoint(None))]


def mean(measured, metric):
    return np.mean([each.metrics[metric] for each in measured])


@pytest.mark.parametrize("size", [5, 8])
def test_elementary_polynomials_sum_the_products_over_distinct_tuples(size):
    values = dynamics.elementary(4, size)
    for agree in range(size + 1):
        signs = np.array([1] * agree + [-1] * (size - agree))
        assert values[:, agree].tolist() == [tuples_sum(signs, order) for order in range(5)]


@pytest.mark.parametrize(("order", "temperature"), [(2, 2.5), (3, 1.5), (4, 1.0)])
def test_the_law_of_examples_is_that_of_enumeration(order, temperature):
    size = 8
    states = configurations(size)
    energies = np.array([tuples_sum(s, order) for s in states]) * factorial(order) / size ** (order - 1) / temperature
    weights = boltzmann(energies)
    expected = np.bincount((states == 1).sum(1), weights)
    np.testing.assert_allclose(dynamics.law(order, size, temperature), expected, rtol=1e-10)
    triple = weights @ states[:, :3].prod(1)
    assert dynamics.correlation(3, size, order, temperature) == pytest.approx(triple, abs=1e-12)
    cavity = np.array([tuples_sum(s[1:], 2) for s in states])
    assert dynamics.noise_gain(3, size, order, temperature) == pytest.approx(weights @ cavity**2 / comb(size - 1, 2))


def test_drawn_examples_follow_the_boltzmann_law_configuration_by_configuration():
    size, count = 5, 200_000
    states = configurations(size)
    expected = boltzmann(np.array([tuples_sum(s, 3) for s in states]) * 6 / size**2 / 1.5)
    drawn = dynamics.draw_examples(dynamics.law(3, size, 1.5), count, np.random.default_rng(0))
    found = np.bincount((drawn == 1).T @ (2 ** np.arange(size)[::-1]), minlength=2**size) / count
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected / count))


def test_a_paramagnetic_teacher_emits_no_near_copies():
    law = dynamics.law(3, 40, 1.0, "paramagnetic")
    magnetisation = np.abs(2 * np.arange(41) - 40) / 40
    assert law[magnetisation > 0.5].sum() == 0 and dynamics.law(3, 40, 1.0)[magnetisation > 0.5].sum() > 0.5


@pytest.mark.parametrize(("order", "temperature"), [(3, 2.0), (4, 3.0), (5, 3.0)])
def test_glauber_students_sample_the_boltzmann_law(order, temperature):
    """Exact enumeration of 2^6 patterns: fields without self-interaction, for odd and even orders."""
    size, chains, sweeps = 6, 1500, 12
    examples = np.where(np.random.default_rng(1).random((size, 7)) < 0.6, 1, -1).astype(np.int8)
    states = configurations(size)
    scale = factorial(order) / size ** (order - 1) / temperature
    energies = scale * np.array([sum(tuples_sum(s * e, order) for e in examples.T) for s in states])
    start = np.random.default_rng(2).choice([-1, 1], size=(chains, size))
    generators = (np.random.default_rng(3 + sweep) for sweep in range(sweeps))
    for spins in dynamics.glauber(examples, start, order, temperature, generators):
        last = spins
    found = np.bincount((last == 1) @ (2 ** np.arange(size)[::-1]), minlength=2**size) / chains
    expected = boltzmann(energies)
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected / chains) + 1 / chains)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_couplings_sum_the_products_of_three_sites(count):
    examples = np.random.default_rng(count).choice(np.array([-1, 1], dtype=np.int8), size=(5, count))
    J = cubic.couplings(examples)
    for i, j, k in product(range(5), repeat=3):
        assert J[i, j, k] == (0 if len({i, j, k}) < 3 else examples[[i, j, k]].prod(0, dtype=int).sum())


@pytest.mark.parametrize("temperature", [0.0, 2.0, 5.0])
def test_students_move_spin_for_spin_by_couplings_as_by_examples(temperature):
    """Two ways to one field, in whole numbers."""
    size = 24
    examples = dynamics.draw_examples(dynamics.law(3, size, 2.0), 500, np.random.default_rng(0))
    start = np.random.default_rng(1).choice([-1, 1], size=(5, size))

    def noise():
        return (np.random.default_rng(sweep) for sweep in range(10))

    unit = dynamics.noise_unit(3, size, temperature)
    plain = [spins.copy() for spins in dynamics.glauber(examples, start, 3, temperature, noise())]
    fast = [spins.copy() for spins in cubic.glauber(cubic.couplings(examples), start, unit, noise())]
    np.testing.assert_array_equal(fast, plain)
    assert temperature == 0 or (plain[-1] != plain[-2]).any()


def test_a_trial_has_the_same_bits_whether_or_not_couplings_pay(monkeypatch):
    with_couplings = outcomes(1, size=32, load=8.0, temperature=2.5, sweeps=20)
    monkeypatch.setattr(cubic, "worth_it", lambda *_: False)
    assert repr(outcomes(1, size=32, load=8.0, temperature=2.5, sweeps=20)) == repr(with_couplings)


def test_cold_students_never_lose_energy_they_gained_and_end_where_every_spin_follows_its_field():
    size, order = 24, 3
    examples = dynamics.draw_examples(dynamics.law(3, size, 2.0), 300, np.random.default_rng(0))
    polynomial = dynamics.elementary(order, size)[order]

    def weight(spins):
        return polynomial[((size + spins.astype(int) @ examples) // 2)].sum(1)

    start = np.random.default_rng(1).choice([-1, 1], size=(5, size))
    generators = (np.random.default_rng(sweep) for sweep in range(30))
    course = [weight(start), *(weight(s) for s in dynamics.glauber(examples, start, order, 0.0, generators))]
    assert np.all(np.diff(course, axis=0) >= 0) and np.all(course[-1] == course[-2])


@pytest.mark.parametrize(
    ("size", "temperature", "ratio"), [(96, 1.5, 1.74), (128, 2.2, 1.18), (256, 1.5, 1.22), (256, 2.6, 1.055)]
)
def test_finite_teachers_correlate_their_examples_more_as_tabulated(size, temperature, ratio):
    exact = dynamics.correlation(3, size, 3, temperature, "paramagnetic")
    assert exact / dynamics.leading_correlation(3, size, 3, temperature) == pytest.approx(ratio, abs=6e-3)


@pytest.mark.parametrize(
    ("p", "order", "temperature", "gain"),
    [(3, 3, 2.0, 1.0), (4, 4, 2.0, 1.0), (4, 2, 4.0, 2.5 * 2**3 - 3 * 2**2 + 1.5 * 2)],
)
def test_corrections_of_correlation_and_noise_shrink_as_one_over_the_size(p, order, temperature, gain):
    """Under pairs at T* = 4 magnetisations are Gaussian with variance v = T*/(T* − 2) = 2, and the noise gain of p = 4
    is E He₃² / 3! = (15 v³ − 18 v² + 9 v) / 6."""

    def excess(size):
        exact = dynamics.correlation(p, size, order, temperature, "paramagnetic")
        noise = dynamics.noise_gain(p, size, order, temperature, "paramagnetic")
        return np.array([exact / dynamics.leading_correlation(p, size, order, temperature), noise / gain]) - 1

    np.testing.assert_allclose(excess(512) / excess(1024), 2, atol=0.1)


@pytest.mark.parametrize(("p", "order"), [(4, 2), (6, 2), (6, 3)])
def test_a_teacher_of_lower_order_correlates_tuples_by_their_partitions(p, order):
    """At T* = τ N^{(p − p*)/p} the exact correlation tends to p!/N^{p−1} over `signal_temperature`."""

    def ratio(size):
        exact = dynamics.correlation(p, size, order, size ** ((p - order) / p))
        return exact * size ** (p - 1) / factorial(p) * dense_hopfield.signal_temperature(p, order, 1.0)

    gaps = [abs(ratio(size) - 1) for size in (256, 1024, 4096)]
    assert gaps[2] < 0.08 and gaps[1] < 0.6 * gaps[0] and gaps[2] < 0.6 * gaps[1]


def test_without_a_temperature_of_its_own_a_pair_teacher_is_on_the_nishimori_line():
    """p = 4, p* = 2: T* = √(NT/2)."""
    trial = dense_hopfield.Trial.of({"order": 4, "teacher_order": 2, "size": 128, "temperature": 0.8})
    assert dense_hopfield._teacher_temperature(trial) == pytest.approx((128 * 0.8 / 2) ** 0.5)


def test_a_teacher_whose_order_does_not_divide_the_students_needs_a_temperature():
    with pytest.raises(UserError, match="teacher_order is 3 and the students' order 4"):
        outcomes(1, order=4, teacher_order=3, size=12)
    assert "theory_overlap_finite" in outcomes(1, order=4, teacher_order=3, size=12, teacher_temperature=3.0)[0].metrics


def test_a_pair_teacher_at_its_special_temperature_needs_one_unit_of_examples():
    """p = 4, T* = 2 + √2: M = N²/6 examples pull as hard as the pattern itself, up to 6 % at N = 256."""
    values = {"order": 4, "teacher_order": 2, "size": 256, "scaling": "signal", "load": 1.0, "start": "adversarial"}
    trial = dense_hopfield.Trial.of(values | {"temperature": 0.0, "teacher_temperature": 2 + 2**0.5})
    found = dense_hopfield.theory(trial)
    assert found["theory_attack"] == pytest.approx(0.5, abs=1e-4)
    assert found["correlation_gain"] == pytest.approx(0.946, abs=1e-3)


@pytest.mark.parametrize("temperature", [1.8, 2.0])
def test_informed_students_overlap_as_replica_theory_says(temperature):
    """N = 128, α = 6, ten sets of examples. What β*_eff alone leaves open is the noise of magnetised examples."""
    measured = outcomes(10, size=128, load=6.0, temperature=temperature, sweeps=60)
    assert mean(measured, "overlap") == pytest.approx(mean(measured, "theory_overlap_finite"), abs=0.03)
    assert mean(measured, "overlap") == pytest.approx(mean(measured, "theory_overlap_corrected"), abs=0.02)
    assert mean(measured, "student_overlap") == pytest.approx(mean(measured, "overlap"), abs=0.02)


def test_simulation_closes_in_on_the_limit_at_least_as_fast_as_one_over_the_size():
    """Twice the sites, at most half the deviation, up to two standard errors over the sets of examples; and 128 sites
    at most a quarter of it."""

    def deviation(size, sets):
        measured = outcomes(sets, size=size, load=36.0, temperature=4.0, sweeps=40)
        each = [m.metrics["overlap"] - m.metrics["theory_overlap"] for m in measured]
        return abs(np.mean(each)), np.std(each) / sets**0.5

    (small, _), *larger = (deviation(*each) for each in ((32, 30), (64, 12), (128, 6)))
    assert small > 0.1
    for (gap, error), share in zip(larger, (2, 4), strict=True):
        assert gap < small / share and gap < 0.01 + 2 * error


@pytest.mark.parametrize(("temperature", "theory"), [(2.0, "theory_overlap_finite"), (2.2, "theory_overlap_corrected")])
def test_students_of_256_sites_overlap_as_theory_with_the_examples_own_statistics(temperature, theory):
    """N = 256, α = 6, 4 students: within 0.03 of the replica-symmetric state at c* = αββ*_eff. At T = 2.2 sets differ
    by 0.05, and the mean of 120 lies 0.019 ± 0.004 below it, for the noise of magnetised examples."""
    measured = outcomes(3, size=256, load=6.0, temperature=temperature, sweeps=80)
    assert mean(measured, "overlap") == pytest.approx(mean(measured, theory), abs=0.03)


def test_the_overlap_of_256_sites_drops_between_2_3_and_2_7():
    """N = 256, α = 6. Beyond theory's jump (2.48 at this size) informed students fall slowly, and sets of examples
    differ by 0.18: the drop is told by their mean once they have fallen."""
    kept, lost = (
        mean(outcomes(sets, size=256, load=6.0, temperature=t, sweeps=sweeps), "overlap")
        for t, sweeps, sets in ((2.3, 80, 2), (2.7, 640, 3))
    )
    assert kept > 0.7 and lost < 0.3


def test_retrieval_ends_between_the_predicted_temperatures():
    """N = 96, α = 6: theory at this size jumps between T = 2.2 and 2.9."""
    cold, warm = (mean(outcomes(4, size=96, load=6.0, temperature=t, sweeps=80), "overlap") for t in (1.6, 3.0))
    assert cold > 0.95 and warm < 0.2


def test_random_starts_do_not_find_the_pattern_where_informed_ones_keep_it():
    """At N = 96 and α = 3, in the hard phase: theory of the random start is the paramagnet."""
    informed, random = (outcomes(4, size=96, load=3.0, temperature=1.6, start=s) for s in ("pattern", "random"))
    assert mean(informed, "overlap") > 0.7
    assert abs(mean(random, "overlap")) < 0.4
    assert mean(random, "theory_overlap") < 1e-6


def test_a_prediction_that_came_to_no_rest_is_told_and_withheld(monkeypatch):
    monkeypatch.setattr(_dense_hopfield_theory, "ITERATIONS", 3)
    found = dense_hopfield.theory(dense_hopfield.Trial.of({}))
    assert found["theory_phase"] == found["theory_phase_corrected"] == "open"
    assert "theory_overlap" not in found


def test_students_that_start_from_an_example_keep_it_where_theory_does():
    measured = outcomes(3, size=64, load=0.01, temperature=1.0, teacher_temperature=3.0, start="example")
    assert mean(measured, "example_overlap") > 0.95
    assert {each.metrics["theory_phase"] for each in measured} == {"eR"}


@pytest.mark.parametrize(("load", "share"), [(0.6, 0.4575), (1.0, 0.5)])
def test_adversaries_win_beyond_the_share_that_theory_names(load, share):
    """N = 256, p = 4, p* = 2 at T* = 2 + √2: the overlap crosses 1/2 within 0.06 of α^{1/3}/(1 + α^{1/3})."""
    values = {"order": 4, "teacher_order": 2, "size": 256, "scaling": "signal", "load": load, "start": "adversarial"}
    values |= {"temperature": 0.0, "teacher_temperature": 2 + 2**0.5, "students": 10, "sweeps": 16}
    shares = np.array([share - 0.06, share + 0.06])
    below, beyond = (mean(outcomes(4, attack=a, **values), "overlap") for a in shares)
    assert below > 0.5 > beyond


def test_adversaries_of_students_of_order_six_win_beyond_the_same_share():
    """N = 128, p* = 2 at T* = 2 + 5^{1/3}, where (p − 1)!! (2/(T* − 2))³/4! is 1; a unit of examples: ε_c = 1/2."""
    values = {"order": 6, "teacher_order": 2, "size": 128, "scaling": "signal", "load": 1.0, "start": "adversarial"}
    values |= {"temperature": 0.0, "teacher_temperature": 2 + 5 ** (1 / 3), "students": 4, "sweeps": 4}
    below, beyond = (outcomes(1, attack=a, **values)[0].metrics for a in (0.44, 0.56))
    assert below["theory_attack"] == pytest.approx(0.5, abs=1e-4)
    assert below["overlap"] > 0.5 > beyond["overlap"]


def test_a_worse_adversary_is_an_example_of_larger_overlap():
    examples = np.array([[1, 1, -1], [-1, 1, -1], [1, 1, -1], [-1, 1, 1]], dtype=np.int8)
    for adversary, column in (("typical", 0), ("worst", 1)):
        trial = dense_hopfield.Trial.of(
            {"size": 4, "start": "adversarial", "adversary": adversary, "attack": 1.0, "students": 2}
        )
        start = dense_hopfield._start(trial, examples, np.random.default_rng(0))
        assert start.tolist() == [examples[:, column].tolist()] * 2


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"load": 1e-9}, "leaves no example"),
        ({"temperature": 0.0}, "teacher_temperature is 0 too"),
    ],
)
def test_a_trial_that_cannot_be_is_told_in_words(values, told):
    with pytest.raises(UserError, match=told):
        outcomes(1, **values)
