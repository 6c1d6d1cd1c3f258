"""Gaussian fields against sign networks that grow: theory and simulation meet as 1/c."""

import numpy as np
import pytest

from tsd.studies import _deep_perceptron_kernel as kernel
from tsd.studies._deep_perceptron_network import compare, draw_inputs, draw_weights, draw_wiring, unpack
from tsd.studies.deep_perceptron import bit_error, layer_overlap, overlap_profile, untrained_overlap

PATTERNS = 2**13


def alike(width, fan_in, depth, bond, generator):
    """What two networks of one wiring have in common whose rows of weights overlap by exactly `bond`."""
    shape = (depth, width, fan_in)
    wiring, first, other = draw_wiring(shape, generator), draw_weights(shape, generator), draw_weights(shape, generator)
    other -= first * (first * other).mean(-1, keepdims=True)
    other /= np.sqrt((other**2).mean(-1, keepdims=True))
    weights = first, bond * first + (1 - bond**2) ** 0.5 * other
    inputs = draw_inputs(PATTERNS, None, width, generator)
    spins = [unpack(kernel.spins_of(kernel.network(each, wiring), inputs), PATTERNS) for each in weights]
    return compare(*spins, weights, wiring)


def deviation(fan_in, bond=0.9, networks=16):
    """Mean over networks of N = 2c of the simulated minus the predicted q_1 … q_3 and bit error; its standard error."""
    generator = np.random.default_rng(fan_in)
    found = [alike(2 * fan_in, fan_in, 3, bond, generator) for _ in range(networks)]
    theory = overlap_profile([bond] * 3)
    values = np.array([[*each.overlaps, each.error] for each in found]) - [*theory, bit_error(bond, theory[1])]
    return values.mean(0), values.std(0) / networks**0.5


def test_the_overlap_of_growing_networks_approaches_theory_as_one_over_c():
    """Units share inputs and signs are no Gaussians, both to order 1/c: six times the inputs leave a sixth of
    the deviation. The first layer, whose inputs are independent, is closer still."""
    (small, small_error), (large, large_error) = deviation(8), deviation(48)
    error = np.hypot(small_error / 6, large_error)
    assert np.all(np.abs(small[1:] / 6) > 3 * error[1:])
    assert np.all(np.abs(large - small / 6) < 3 * error)
    assert np.all(np.abs(large) < 0.012) and abs(large[0]) < 0.001


def test_untrained_overlaps_of_growing_networks_approach_theory():
    """N = 4c; of the measured mean square, 1/patterns is chance."""
    gaps = []
    for fan_in in (5, 24):
        generator = np.random.default_rng(fan_in)
        squares = [untrained(4 * fan_in, fan_in, 3, generator) ** 2 - 1 / PATTERNS for _ in range(12)]
        gaps.append(np.mean(squares, 0) ** 0.5 / untrained_overlap(4 * fan_in, fan_in, 3) - 1)
    assert np.all(np.abs(gaps[1]) < np.abs(gaps[0]) / 3)
    assert np.all(np.abs(gaps[1]) < 0.12)


def untrained(width, fan_in, depth, generator):
    shape = (depth, width, fan_in)
    wiring, inputs = draw_wiring(shape, generator), draw_inputs(PATTERNS, None, width, generator)
    weights = draw_weights(shape, generator), draw_weights(shape, generator)
    spins = [unpack(kernel.spins_of(kernel.network(each, wiring), inputs), PATTERNS) for each in weights]
    return compare(*spins, weights, wiring).overlaps


def test_formulas_at_their_ends():
    assert layer_overlap(1, 1) == 1 and layer_overlap(0, 1) == layer_overlap(1, 0) == 0
    assert layer_overlap(1 + 1e-15, 1) == 1, "rounding may carry a bond beyond 1"
    assert bit_error(0, 1) == 0.5 and bit_error(1, 1) == 0 and bit_error(-1, 1) == 1
    assert overlap_profile([]) == []


@pytest.mark.parametrize("bond", [-0.4, 0.3, 0.95])
def test_an_overlap_is_one_minus_twice_the_bit_error(bond):
    assert layer_overlap(bond, 0.8) == pytest.approx(1 - 2 * bit_error(bond, 0.8))


def test_a_profile_goes_layer_by_layer():
    first, second = overlap_profile([0.9, 0.7])
    assert first == layer_overlap(0.9, 1) and second == layer_overlap(0.7, first)


def test_untrained_wide_networks_lose_the_same_factor_in_every_layer():
    """(2/π)/√c where N → ∞; a fully connected network keeps 2/π from the second layer on."""
    wide, full = (np.array(untrained_overlap(width, 16, 4)) for width in (10**9, 16))
    np.testing.assert_allclose(wide, (2 / np.pi / 4) ** np.arange(1, 5), rtol=1e-4)
    np.testing.assert_allclose(full[1:] / full[:-1], 2 / np.pi)
