"""A store on a disk, and the same store in what pyarrow opens by URI."""

from pathlib import Path

import pytest
from store_cases import in_bucket

from tsd.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store on a disk that no sweep has taken yet."""
    return Store(tmp_path / "results" / "probe")


@pytest.fixture
def bucket_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in an object store."""
    return in_bucket(tmp_path, monkeypatch, puts=True)


@pytest.fixture(params=["disk", "one PUT", "rename"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in every kind of place."""
    if request.param == "disk":
        return Store(tmp_path / "results" / "probe")
    return in_bucket(tmp_path, monkeypatch, puts=request.param == "one PUT")
