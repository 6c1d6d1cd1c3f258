"""One wide product for all trials of a stack is a matter of speed: it moves no bit."""

import pytest
import torch

from tsd.engine import products

SHAPES = [(16, 10, 100, 256), (5, 50, 100, 256), (16, 3, 5, 17), (2, 1, 100, 64), (3, 20, 784, 50)]


def drawn(trials, out, features, samples, dtype):
    """Weights, slopes, and the same inputs once as one matrix that all see and once copied for each."""
    source = torch.Generator().manual_seed(1)
    sizes = (trials, out, features), (trials, out, samples), (samples, features)
    weight, slopes, inputs = (torch.randn(size, generator=source, dtype=dtype) for size in sizes)
    return weight, slopes, inputs.expand(trials, -1, -1), inputs.repeat(trials, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shared_inputs_give_the_bits_of_own_ones(shape, dtype):
    weight, slopes, shared, own = drawn(*shape, dtype)
    assert torch.equal(products.signals(weight, shared), products.signals(weight, own))
    assert torch.equal(products.gradients(slopes, shared), products.gradients(slopes, own))
    moved, beside = weight.clone(), weight.clone()
    products.descend(moved, slopes, shared)
    products.descend(beside, slopes, own)
    assert torch.equal(moved, beside)


def test_products_are_sums_over_inputs_and_over_samples():
    weight, slopes, shared, _ = drawn(16, 10, 100, 256, torch.float64)
    torch.testing.assert_close(products.signals(weight, shared), torch.einsum("toi,tni->ton", weight, shared))
    gradient = torch.einsum("ton,tni->toi", slopes, shared)
    torch.testing.assert_close(products.gradients(slopes, shared), gradient)
    expected = weight - gradient
    products.descend(weight, slopes, shared)
    torch.testing.assert_close(weight, expected)


def test_weights_that_lie_otherwise_in_memory_move_too():
    weight, slopes, shared, _ = drawn(4, 6, 100, 64, torch.float64)
    turned = weight.mT.contiguous().mT
    products.descend(weight, slopes, shared)
    products.descend(turned, slopes, shared)
    torch.testing.assert_close(turned, weight)
