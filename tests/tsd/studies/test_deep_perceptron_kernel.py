"""The compiled Monte Carlo: bit by bit that of plain NumPy, and a sampler of the Boltzmann law."""

from itertools import product

import numba
import numpy as np
import pytest

from tsd.studies import _deep_perceptron_kernel as kernel
from tsd.studies import _deep_perceptron_reference as reference
from tsd.studies._deep_perceptron_network import draw_inputs, draw_weights, draw_wiring, pack, unpack


def drawn(depth, width, fan_in, patterns, seed=0):
    """Teacher, student and packed inputs."""
    generator, shape = np.random.default_rng(seed), (depth, width, fan_in)
    wiring = draw_wiring(shape, generator)
    teacher, student = (kernel.network(draw_weights(shape, generator), wiring) for _ in range(2))
    return teacher, student, draw_inputs(patterns, None, width, generator), generator


def proposals(generator, network, count, temperature, step=0.3):
    depth, width, fan_in = network.weights.shape
    kicks = step * fan_in**0.5 * generator.normal(size=(count, fan_in))
    return generator.integers(depth * width, size=count), kicks, temperature * generator.exponential(size=count)


@pytest.mark.parametrize("fan_in", [1, 2, 5, 12])
def test_a_diagram_says_what_the_signs_of_the_fields_say_on_every_input(fan_in):
    corners = np.array(list(product([-1.0, 1.0], repeat=fan_in))).T
    weights = np.random.default_rng(0).normal(size=(1, 100, fan_in))
    wiring = np.tile(np.arange(fan_in), (1, 100, 1))
    made = kernel.network(weights, wiring)
    inputs = np.concatenate([corners, np.ones((100 - fan_in, corners.shape[1]))])
    found = unpack(kernel.spins_of(made, pack(inputs > 0))[1], corners.shape[1])
    assert np.array_equal(found, np.sign(weights[0] @ corners))
    assert made.diagrams[..., 0, 0].max() < kernel.most_nodes(fan_in)


@pytest.mark.parametrize(
    ("depth", "width", "fan_in", "patterns", "temperature"),
    [(4, 20, 5, 300, 0.0), (3, 12, 4, 64, 3.0), (1, 9, 3, 10, 0.0), (3, 13, 13, 70, 1.0), (2, 12, 12, 100, 0.0)],
)
def test_the_compiled_moves_are_those_of_numpy_bit_by_bit(depth, width, fan_in, patterns, temperature):
    """By diagrams and by sums, greedy and not, with patterns that fill their words and that do not."""
    teacher, student, inputs, generator = drawn(depth, width, fan_in, patterns)
    target, spins = kernel.spins_of(teacher, inputs)[-1], kernel.spins_of(student, inputs)
    counted = pack(np.ones((1, patterns), dtype=bool))[0]
    weights, signs = student.weights.copy(), unpack(spins, patterns).astype(float)
    moves = proposals(generator, student, 400, temperature)
    plain = reference.metropolis(weights, teacher.wiring.astype(int), signs, unpack(target, patterns), *moves)
    assert kernel.metropolis(student, spins, target, counted, *moves) == plain != 0
    assert np.array_equal(student.weights, weights)
    assert np.array_equal(unpack(spins, patterns), signs)


def test_what_is_carried_along_is_what_a_fresh_evaluation_gives():
    """Spins, diagrams and errors after 20 000 moves, most of them refused."""
    teacher, student, inputs, generator = drawn(4, 16, 4, 200)
    target, spins = kernel.spins_of(teacher, inputs)[-1], kernel.spins_of(student, inputs)
    counted = pack(np.ones((1, 200), dtype=bool))[0]
    start = wrong(spins[-1], target, counted)
    change = kernel.metropolis(student, spins, target, counted, *proposals(generator, student, 20_000, 1.0))
    assert start + change == wrong(spins[-1], target, counted)
    fresh = kernel.network(student.weights, teacher.wiring)
    assert np.array_equal(kernel.spins_of(fresh, inputs), spins)
    assert np.array_equal(kernel.spins_of(student, inputs), spins)
    np.testing.assert_allclose((student.weights**2).sum(-1), 4)


def wrong(spins, target, counted):
    return int(np.bitwise_count((spins ^ target) & counted).sum())


def test_moves_sample_the_boltzmann_law():
    """The law of E at temperature T is the density of states, drawn by uniform weights, times exp(−E/T)."""
    temperature, samples, patterns = 1.5, 20_000, 12
    teacher, student, inputs, generator = drawn(2, 2, 2, patterns)
    target, spins = kernel.spins_of(teacher, inputs)[-1], kernel.spins_of(student, inputs)
    counted = pack(np.ones((1, patterns), dtype=bool))[0]
    energies = np.zeros(samples, dtype=int)
    states = np.zeros(samples, dtype=int)
    for n in range(samples):
        moves = proposals(generator, student, 8, temperature, step=1.0)
        kernel.metropolis(student, spins, target, counted, *moves)
        energies[n] = wrong(spins[-1], target, counted)
        anywhere = kernel.network(draw_weights((2, 2, 2), generator), teacher.wiring)
        states[n] = wrong(kernel.spins_of(anywhere, inputs)[-1], target, counted)
    size = 2 * patterns + 1
    density = np.bincount(states, minlength=size) * np.exp(-np.arange(size) / temperature)
    found = np.bincount(energies, minlength=size) / samples
    np.testing.assert_allclose(found, density / density.sum(), atol=0.02)


def test_a_place_that_cannot_be_written_costs_the_cache_and_nothing_else(monkeypatch):
    def nowhere_to_write(function=None, *, cache=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr(numba, "njit", lambda function=None, **options: nowhere_to_write if options else function)
    assert kernel.compiled(wrong) is wrong
