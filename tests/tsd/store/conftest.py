"""A store on a disk, and the same store in what pyarrow opens by URI."""

from pathlib import Path

import pytest
from pyarrow import fs

from tsd.store import Store
from tsd.store.bucket import Bucket

FOLDERS = ("trials", "curves", "artefacts", "events", "damaged/trials", "damaged/curves", "damaged/artefacts")


def in_bucket(folder: Path, patch: pytest.MonkeyPatch, *, puts: bool) -> Store:
    """A store in a bucket, which is a folder behind a pyarrow file system."""
    for name in FOLDERS:
        (folder / "bucket" / "probe" / name).mkdir(parents=True)
    system = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    bucket = Bucket(system, "bucket/probe", "s3://bucket/probe", puts)
    patch.setattr("tsd.store.open_root", lambda root: bucket)
    return Store("s3://bucket/probe")


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
