"""What every test of tsd starts from."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _equal_draws():
    """A test that draws without a generator of its own draws the same numbers every time."""
    torch.manual_seed(0)
