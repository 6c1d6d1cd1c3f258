"""Replica theory of dense Hopfield networks: published thresholds, an independent quadrature, limits."""

from itertools import pairwise
from math import log, sqrt

import numpy as np
import pytest

from tsd.errors import UserError
from tsd.studies.dense_hopfield import attack_threshold, ferromagnet, saddle_point, transition

FIGURE_4 = {
    3: {1.0: 0.99567, 1.2: 0.97790, 1.4: 0.93038, 1.5: 0.88551, 1.6: 0.80884, 1.8: 0.0},
    6: {1.0: 0.99997, 1.4: 0.99609, 1.6: 0.98638, 1.8: 0.96521, 2.0: 0.92517, 2.2: 0.84897, 2.4: 0.0},
}
"""Overlap of informed students by load and temperature, p = 3."""
FIGURE_7 = {
    0.5: {0.4: 0.99936, 0.6: 0.95941, 0.7: 0.0},
    1.0: {0.6: 0.99864, 0.7: 0.99277, 0.8: 0.97565, 0.9: 0.93057, 1.0: 0.0},
}
"""The same for p = 4."""


def cases(p, figure):
    return [(p, load, temperature, q) for load, row in figure.items() for temperature, q in row.items()]


@pytest.mark.parametrize(("p", "load", "temperature", "overlap"), [*cases(3, FIGURE_4), *cases(4, FIGURE_7)])
def test_informed_students_overlap_as_published(p, load, temperature, overlap):
    """arXiv:2401.04191, Figs 4 and 7."""
    assert saddle_point(p, load, temperature).overlap == pytest.approx(overlap, abs=1e-4)


@pytest.mark.parametrize(("p", "load", "temperature", "overlap"), cases(4, FIGURE_7))
def test_students_of_a_teacher_of_pairs_overlap_as_tabulated(p, load, temperature, overlap):
    """arXiv:2401.04191, Fig. 7: p = 4, p* = 2 at T* = √(NT/2)."""
    state = saddle_point(p, load, temperature, teacher_order=2, teacher_temperature=sqrt(temperature / 2))
    assert state.overlap == pytest.approx(overlap, abs=1e-4)
    assert saddle_point(p, load, temperature, teacher_order=2).overlap == pytest.approx(state.overlap, abs=1e-12)


def test_a_hotter_teacher_of_pairs_is_a_weaker_signal():
    """The signal of p = 4, p* = 2 falls as the square of T*."""
    hotter = saddle_point(4, 1.0, 0.6, teacher_order=2, teacher_temperature=sqrt(0.3) * 1.2)
    assert hotter.overlap == pytest.approx(saddle_point(4, 1.0, 0.6, signal=1 / 0.36 / 1.44).overlap, abs=1e-12)
    with pytest.raises(UserError, match="teacher_order is 3 and the students' order 4"):
        saddle_point(4, 1.0, 0.6, teacher_order=3)


@pytest.mark.parametrize(
    ("p", "spinodal", "thermodynamic"),
    [
        (3, (1.07625, 0.6437), (1.17840, 0.81352)),
        (4, (1.08639, 0.8152), (1.31391, 0.94809)),
        (8, (0.81308, 0.9477), (1.38368, 0.99856)),
    ],
)
def test_thresholds_are_as_published(p, spinodal, thermodynamic):
    """The overlap has infinite slope at the spinodal, where it is known less well."""
    found = transition(p)
    assert found.spinodal.value == pytest.approx(spinodal[0], abs=1e-5)
    assert found.spinodal.overlap == pytest.approx(spinodal[1], abs=1e-3)
    assert found.thermodynamic == pytest.approx(thermodynamic, abs=1e-5)


def test_cubic_thresholds_are_the_glass_temperatures_of_the_ising_p_spin_model():
    """T/√(2α) is 0.682 and 0.652: the retrieval threshold of p = 3 is the direct model's glass transition."""
    found = transition(3)
    assert sqrt(0.5 / found.spinodal.value) == pytest.approx(0.6816, abs=1e-3)
    assert sqrt(0.5 / found.thermodynamic.value) == pytest.approx(0.6514, abs=1e-3)


def test_large_order_reaches_the_random_energy_model():
    """p → ∞: αβ² = 2 ln 2, where the entropy of the paramagnet is spent."""
    gaps = [2 * log(2) - transition(p).thermodynamic.value for p in (4, 6, 8, 12)]
    assert all(0 < late < early / 2 for early, late in pairwise(gaps))


@pytest.mark.parametrize("p", [3, 4, 8])
def test_iteration_finds_the_pattern_on_one_side_of_the_spinodal_and_loses_it_on_the_other(p):
    value, overlap = transition(p).spinodal
    assert saddle_point(p, value * 1.002, 1.0).overlap > overlap
    assert saddle_point(p, value * 0.998, 1.0).overlap < 1e-6


@pytest.mark.parametrize("p", [3, 4, 8])
def test_the_pattern_dominates_from_the_thermodynamic_threshold_on(p):
    value, _ = transition(p).thermodynamic
    below, above = (saddle_point(p, value * 0.64 * factor, 0.8) for factor in (0.999, 1.001))
    assert below.overlap > 0.8 and above.overlap > 0.8
    paramagnet = [value * factor / 2 + log(2) for factor in (0.999, 1.001)]
    assert below.free_entropy < paramagnet[0] and above.free_entropy > paramagnet[1]


@pytest.mark.parametrize(("load", "temperature"), [(3, 1.2), (6, 1.6), (6, 2.2)])
def test_students_agree_with_each_other_as_with_the_pattern_on_the_nishimori_line(load, temperature):
    state = saddle_point(3, load, temperature)
    assert state.student_overlap == pytest.approx(state.overlap, abs=1e-9)
    assert (state.example_overlap, state.phase, state.converged) == (pytest.approx(0, abs=1e-9), "gR", True)


def test_the_overlap_solves_its_equation_by_another_quadrature():
    """q = E tanh(√a x + a), a = c p q^{p−1}, by Gauss–Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    q = saddle_point(3, 6, 2.0).overlap
    a = 6 / 4 * 3 * q**2
    assert weights @ np.tanh(np.sqrt(a) * nodes + a) / weights.sum() == pytest.approx(q, abs=1e-7)


@pytest.mark.parametrize("start", ["pattern", "example"])
def test_every_saddle_point_is_an_extremum_of_the_free_entropy(start):
    """So that its total derivative by the signal is the explicit one alone, df/dc* = q*^p."""
    signal, step = {"pattern": 1.5, "example": 0.02}[start], 1e-4
    states = [saddle_point(3, 0, 1.0, start, noise=0.9, signal=s) for s in (signal - step, signal, signal + step)]
    slope = (states[2].free_entropy - states[0].free_entropy) / (2 * step)
    assert slope == pytest.approx(states[1].overlap ** 3, abs=1e-6)


@pytest.mark.parametrize(
    ("p", "spinodal", "thermodynamic"), [(3, 1.74775, (1.48791, 0.94806)), (4, 1.98315, (1.45180, 0.99061))]
)
def test_without_load_a_student_is_a_ferromagnet_along_its_example(p, spinodal, thermodynamic):
    found = ferromagnet(p)
    assert found.spinodal.value == pytest.approx(spinodal, abs=1e-5)
    assert found.thermodynamic == pytest.approx(thermodynamic, abs=1e-5)
    state = saddle_point(p, 0, found.thermodynamic.value, "example")
    assert state.example_overlap == pytest.approx(found.thermodynamic.overlap, abs=1e-6)
    assert state.free_entropy == pytest.approx(log(2), abs=1e-6)
    assert saddle_point(p, 0, spinodal * 1.002, "example").example_overlap < 1e-6


def test_pairs_order_continuously():
    assert ferromagnet(2) == ((2.0, 0.0), (2.0, 0.0))
    assert saddle_point(2, 0, 1.9, "example").example_overlap > 0.3 > saddle_point(2, 0.49, 1.0).overlap
    assert transition(2).spinodal == (0.5, 0.0)
    assert saddle_point(2, 0.51, 1.0).overlap == pytest.approx(0.02, abs=0.02)


@pytest.mark.parametrize(("load", "temperature", "phase"), [(3, 1.2, "SG"), (6, 2.2, "SG"), (0.3, 1.0, "P")])
def test_a_start_without_overlap_keeps_none_where_pairs_would_let_rounding_grow(load, temperature, phase):
    """p = 2: the glass is unstable towards the pattern and the example, yet a fixed point."""
    glass = saddle_point(2, load, temperature, "glass")
    assert glass.overlap == glass.example_overlap == 0 and glass.phase == phase
    assert saddle_point(2, load, temperature).phase != "lR"


@pytest.mark.parametrize(
    ("p", "load", "temperature", "start", "phase"),
    [
        (3, 6, 2.0, "pattern", "gR"),
        (3, 3, 1.6, "pattern", "lR"),
        (3, 6, 2.4, "pattern", "P"),
        (3, 0.01, 1.4, "example", "eR"),
        (3, 6, 1.0, "glass", "SG"),
        (3, 6, 2.0, "glass", "P"),
    ],
)
def test_every_phase_is_told(p, load, temperature, start, phase):
    assert saddle_point(p, load, temperature, start).phase == phase


def test_a_hotter_teacher_lowers_the_overlap_and_equals_a_weaker_signal():
    matched, hotter = saddle_point(3, 6, 1.6), saddle_point(3, 6, 1.6, teacher_temperature=2.0)
    assert hotter.overlap < matched.overlap
    assert hotter == saddle_point(3, 6, 1.6, signal=6 / (1.6 * 2.0))


@pytest.mark.parametrize(("load", "share"), [(0.1, 0.3170), (0.3, 0.4010), (0.6, 0.4575), (1.0, 0.5)])
def test_attack_thresholds_are_as_published(load, share):
    """arXiv:2401.04191, Fig. 8: ε_c = α^{1/3} / (1 + α^{1/3})."""
    assert attack_threshold(4, load) == pytest.approx(share, abs=1e-4)


def test_a_wrong_request_is_told_in_full():
    with pytest.raises(UserError, match=r"order 2 or more.*at least 0.*above 0.*pattern, example, glass"):
        saddle_point(1, -1, 0, "patern")
