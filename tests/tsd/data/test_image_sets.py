"""Where image sets come from, with four small idx files in place of the real ones."""

import gzip
import pickle
import struct
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tsd import data
from tsd.data import _places, _torchvision, cifar10, fashion_mnist
from tsd.data._operators import datasets
from tsd.errors import UserError

SOURCE = fashion_mnist.SOURCE


def idx_bytes(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def contents():
    """File of SOURCE → its bytes: 20 training and 10 test images."""
    rng = np.random.default_rng(0)
    made = []
    for n in (20, 10):
        made += [rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n, dtype=np.uint8) % 10]
    return dict(zip(SOURCE.files, map(idx_bytes, made), strict=True))


def put(root, packed):
    for name, content in contents().items():
        path = root / (name + ".gz" if packed else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """TSD_DATA; the user's cache is the empty folder beside it, and no network is there."""
    monkeypatch.setenv("TSD_DATA", str(tmp_path / "mirror"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    _torchvision.load.cache_clear()
    return tmp_path / "mirror"


def no_network(*_, **__):
    raise OSError("Name or service not known")


def test_torchvision_is_importable_beside_any_torch():
    assert datasets().FashionMNIST.__name__ == "FashionMNIST"
    torchvision = sys.modules["torchvision"]
    if torchvision.extension._has_ops():
        boxes = torch.tensor([[0.0, 0, 1, 1], [0.0, 0, 1, 1]])
        assert torch.ops.torchvision.nms(boxes, torch.tensor([0.5, 0.9]), 0.5).tolist() == [1]


def test_declaring_the_operators_happens_only_where_the_import_fails():
    code = (
        "import sys, types; from tsd.data import _operators; fake = types.ModuleType('torchvision'); "
        "fake.datasets = types.ModuleType('torchvision.datasets'); sys.modules['torchvision'] = fake; "
        "sys.modules['torchvision.datasets'] = fake.datasets; assert _operators.datasets() is fake.datasets; "
        "assert _operators._declare.cache_info().misses == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unpacked_files_are_read_where_they_lie(root):
    put(root, packed=False)
    images = data.load("fashion_mnist")
    assert images.input_shape == (1, 28, 28)
    assert images.y_train.tolist() == [i % 10 for i in range(20)]
    assert not _places.cache().exists()


def test_a_mirror_of_archives_is_unpacked_into_the_cache_and_stays_as_it_was(root):
    put(root, packed=True)
    before = sorted(root.rglob("*"))
    assert data.load("fashion_mnist").y_test.tolist() == list(range(10))
    assert sorted(root.rglob("*")) == before
    assert {f: (_places.cache() / f).read_bytes() for f in SOURCE.files} == contents()


def test_many_workers_unpack_once_and_all_read_whole_files(root, monkeypatch):
    put(root, packed=True)
    seen = []

    def counted(archive, target, unpack=_places.unpack):
        seen.append(archive)
        unpack(archive, target)

    monkeypatch.setattr(_torchvision, "unpack", counted)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: _torchvision.find(SOURCE), range(8)))
    assert set(found) == {_places.cache()}
    assert len(seen) == len(SOURCE.archives)


def test_unpacking_that_is_killed_leaves_nothing_half_done(root, monkeypatch):
    put(root, packed=True)

    def killed(archive, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(_torchvision, "unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        _torchvision.find(SOURCE)
    assert [p.name for p in _places.cache().iterdir()] == [".FashionMNIST.lock"]


def test_without_files_and_network_the_error_says_what_where_and_what_to_do(root):
    with pytest.raises(UserError) as error:
        data.load("fashion_mnist")
    text = str(error.value)
    for word in ("FashionMNIST", str(root), str(_places.cache()), "TSD_DATA", "train-images", "not known", "fetch"):
        assert word in text


@pytest.mark.parametrize("kept", [0, 2, 100])
def test_a_truncated_idx_file_is_named(root, kept):
    put(root, packed=False)
    path = root / SOURCE.files[2]
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=f"{path} is cut short"):
        data.load("fashion_mnist")


def test_an_idx_file_of_another_kind_is_named(root):
    put(root, packed=False)
    path = root / SOURCE.files[0]
    path.write_bytes(b"<html>you are not logged in</html>")
    with pytest.raises(UserError, match=f"{path} is cut short or is not"):
        data.load("fashion_mnist")


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-10], lambda c: b"no gzip at all", lambda c: c[:20] + b"\0" * 20 + c[40:]]
)
def test_a_damaged_archive_is_named_and_leaves_nothing(root, damage):
    put(root, packed=True)
    path = root / SOURCE.archives[1]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{path} is damaged"):
        data.load("fashion_mnist")
    assert not any((_places.cache() / f).exists() for f in SOURCE.files)


def test_a_cifar_archive_is_unpacked_and_batches_that_are_not_the_published_ones_are_named(root, tmp_path):
    inside = tmp_path / "cifar-10-batches-py"
    inside.mkdir()
    for name in cifar10.BATCHES:
        (inside / name).write_bytes(pickle.dumps({"data": [], "labels": []}))
    root.mkdir()
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(inside, arcname=inside.name)
    with pytest.raises(UserError, match=r"CIFAR10 cannot be read: .*cache.*data_batch_1,"):
        data.load("cifar10")


def test_a_mirror_without_write_bits_is_left_alone_even_by_root(root):
    root.mkdir(mode=0o555)
    assert _places.download_place() == _places.cache()
    with pytest.raises(UserError, match="could not be downloaded"):
        data.load("cifar10")
    assert list(root.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing_half_done(root, monkeypatch):
    put(root, packed=True)

    def full(archive, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_torchvision, "unpack", full)
    with pytest.raises(UserError, match=r"could not be written to .*No space left on device.*TSD_DATA"):
        data.load("fashion_mnist")
    assert [p.name for p in _places.cache().iterdir()] == [".FashionMNIST.lock"]


def test_a_cache_that_cannot_be_made_is_said(root, monkeypatch, tmp_path):
    put(root, packed=True)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="could not be written to"):
        data.load("fashion_mnist")


def test_where_nothing_can_be_written_that_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.delenv("TSD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="No folder for image sets can be written to"):
        data.load("fashion_mnist")


@pytest.mark.data
@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_the_published_sets_have_their_published_sizes(name):
    source = data.DATASETS.load(name).SOURCE
    if not (_places.holding(source.files) or _places.holding(source.archives)):
        pytest.skip(f"{name} lies in none of {_places.places()}; set TSD_DATA or run `python -m tsd.data fetch {name}`")
    images = data.load(name)
    assert images.x_train.shape == (60_000, 1, 28, 28)
    assert images.x_test.shape == (10_000, 1, 28, 28)
    assert images.y_test.bincount().sum() == 10_000
    assert images.classes == 10
