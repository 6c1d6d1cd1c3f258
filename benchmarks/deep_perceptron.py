"""How fast a sign network's Monte Carlo is, compiled and in plain NumPy: `python -m benchmarks.deep_perceptron`.

Both take the same proposals from the same start, N = 20 units a layer, and must end at the same bits. Medians over
repetitions, in CPU time of one thread; the first one, which compiles, is not counted.
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from tsd.studies import _deep_perceptron_kernel as kernel
from tsd.studies import _deep_perceptron_reference as reference
from tsd.studies._deep_perceptron_network import draw_inputs, draw_weights, draw_wiring, pack, unpack

WIDTH = 20
CASES = ((2, 5, 1024), (4, 5, 64), (4, 5, 1024), (10, 5, 1024), (4, 8, 1024), (4, 20, 1024))
REPETITIONS = 5
PROPOSALS, PROPOSALS_IN_NUMPY = 20_000, 400


def measure(depth: int, fan_in: int, patterns: int) -> tuple[float, float]:
    """Microseconds a greedy proposal takes, compiled and in NumPy.

    Raises:
        AssertionError: the two do not end at the same weights and spins.
    """
    generator, shape = np.random.default_rng(0), (depth, WIDTH, fan_in)
    wiring, inputs = draw_wiring(shape, generator), draw_inputs(patterns, None, WIDTH, generator)
    teacher, student = (kernel.network(draw_weights(shape, generator), wiring) for _ in range(2))
    target, spins = kernel.spins_of(teacher, inputs)[-1], kernel.spins_of(student, inputs)
    counted = pack(np.ones((1, patterns), dtype=bool))[0]
    truth = unpack(target, patterns).astype(float)
    seconds, seconds_in_numpy = [], []
    for _ in range(REPETITIONS + 1):
        weights, signs = student.weights.copy(), unpack(spins, patterns).astype(float)
        moves = _moves(shape, PROPOSALS_IN_NUMPY, generator)
        started = time.process_time()
        reference.metropolis(weights, wiring, signs, truth, *moves)
        seconds_in_numpy.append((time.process_time() - started) / PROPOSALS_IN_NUMPY)
        kernel.metropolis(student, spins, target, counted, *moves)
        assert np.array_equal(student.weights, weights) and np.array_equal(unpack(spins, patterns), signs)
        moves = _moves(shape, PROPOSALS, generator)
        started = time.process_time()
        kernel.metropolis(student, spins, target, counted, *moves)
        seconds.append((time.process_time() - started) / PROPOSALS)
    return 1e6 * median(seconds[1:]), 1e6 * median(seconds_in_numpy[1:])


def _moves(
    shape: tuple[int, ...], count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kicks = 0.3 * shape[-1] ** 0.5 * generator.normal(size=(count, shape[-1]))
    return generator.integers(shape[0] * shape[1], size=count), kicks, np.zeros(count)


def main() -> None:
    """Print one line a case."""
    print(f"{'depth':>6} {'fan-in':>7} {'patterns':>9} {'compiled µs':>12} {'NumPy µs':>9} {'ratio':>6}")
    for depth, fan_in, patterns in CASES:
        fast, plain = measure(depth, fan_in, patterns)
        print(f"{depth:>6} {fan_in:>7} {patterns:>9} {fast:>12.2f} {plain:>9.0f} {plain / fast:>6.0f}")


if __name__ == "__main__":
    main()
