"""Results folders that many tests read, and nobody writes to; figures without windows."""

from collections.abc import Iterator
from pathlib import Path

import example_results as example
import pytest
from matplotlib import pyplot


@pytest.fixture
def no_window() -> Iterator[None]:
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example.plane(tmp_path_factory.mktemp("r") / "plane", [20, 40, 60, 100, 150, 200], [1e-4, 1e-3, 1e-2])


@pytest.fixture(scope="session")
def panels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["relu", "erf", "tanh"]
    return example.plane(tmp_path_factory.mktemp("r") / "panels", [20, 40, 60], words, seeds=2, panels=("b", "a"))


@pytest.fixture(scope="session")
def spectral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example.spectral(tmp_path_factory.mktemp("r") / "spectral")


@pytest.fixture(scope="session")
def few_samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example.few_samples(tmp_path_factory.mktemp("r") / "few_samples")


@pytest.fixture(scope="session")
def one_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example.few_samples(tmp_path_factory.mktemp("r") / "one_seed", seeds=1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--baseline", action="store_true", help="draw the pictures that figures are compared with anew")
