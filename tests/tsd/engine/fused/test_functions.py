"""Activations of sixteen numbers at once: as accurate as they say, at the edges too."""

import numpy as np
import pytest
from scipy.special import erf

from tsd.engine.fused.descent import KINDS
from tsd.engine.fused.functions import activate

UNITS = 5

TRUTH = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "erf": (lambda z: erf(z / 2**0.5), lambda z: (2 / np.pi) ** 0.5 * np.exp(-z * z / 2)),
    "relu": (lambda z: np.maximum(z, 0), lambda z: z > 0),
    "identity": (lambda z: z, np.ones_like),
}


def value_and_slope(name, z):
    padded = np.append(z, np.zeros(-len(z) % 16)).astype(np.float32)
    slopes = np.empty_like(padded)
    activate(KINDS[name], padded, slopes)
    return padded[: len(z)], slopes[: len(z)]


@pytest.mark.parametrize("name", KINDS)
def test_values_are_right_to_a_few_units_in_the_last_place(name):
    z = np.concatenate([np.linspace(-12, 12, 400_001), np.geomspace(1e-30, 12, 100_000)]).astype(np.float32)
    value, slope = value_and_slope(name, z)
    truth, steepness = (f(z.astype(np.float64)) for f in TRUTH[name])
    unit = np.spacing(np.abs(truth).astype(np.float32))
    assert np.max(np.abs(value - truth) / unit) < UNITS
    assert np.max(np.abs(slope - steepness)) < 2 * UNITS * 2.0**-24  # of 1 − f², if f is off by so much


@pytest.mark.parametrize("name", KINDS)
def test_nothing_in_nothing_out(name):
    """What fills up a vector has to stay out of every sum."""
    value, _ = value_and_slope(name, np.zeros(16))
    assert not value.any()


@pytest.mark.parametrize(("name", "limit"), [("tanh", 1), ("erf", 1), ("relu", np.inf), ("identity", np.inf)])
def test_what_is_beyond_all_bounds(name, limit):
    value, slope = value_and_slope(name, np.array([np.inf, -np.inf, np.nan, 1e30]))
    np.testing.assert_allclose(value[0], limit, rtol=2e-7)
    assert np.isnan(value[2]) == (name != "relu")
    if name in ("tanh", "erf"):
        np.testing.assert_allclose(value[1], -limit, rtol=2e-7)
        np.testing.assert_allclose(slope[[0, 1, 3]], 0, atol=5e-7)
