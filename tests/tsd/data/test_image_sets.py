"""Where image sets come from, with four small idx files in place of the real ones."""

import gzip
import pickle
import struct
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import torch

from tsd import data
from tsd.data import _places, _torchvision, cifar10, cifar100, fashion_mnist, mnist
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


def close(place):
    """Take the write bits of every folder of `place` away, as a mirror has it."""
    for folder in (place, *(path for path in place.rglob("*") if path.is_dir())):
        folder.chmod(0o555)


def tree(place):
    return {path: path.is_file() and path.read_bytes() for path in place.rglob("*")}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """TSD_DATA; the user's cache is the empty folder beside it, and no network is there."""
    monkeypatch.setenv("TSD_DATA", str(tmp_path / "mirror"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    _torchvision._load.cache_clear()
    yield tmp_path / "mirror"
    for folder in (path for path in tmp_path.rglob("*") if path.is_dir()):
        folder.chmod(0o755)


@pytest.fixture
def mirror(root):
    """TSD_DATA as a read-only mirror of archives."""
    put(root, packed=True)
    close(root)
    return root


def find():
    return _torchvision.find(SOURCE, _places.home())


def no_network(*_, **__):
    raise URLError(OSError(-2, "Name or service not known"))


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


def test_a_mirror_of_archives_is_unpacked_into_the_cache_and_stays_as_it_was(mirror):
    before = tree(mirror)
    assert data.load("fashion_mnist").y_test.tolist() == list(range(10))
    assert tree(mirror) == before
    [folder] = _places.cache().iterdir()
    assert {f: (folder / f).read_bytes() for f in SOURCE.files} == contents()


def test_archives_are_unpacked_beside_themselves_where_that_can_be_written(root):
    put(root, packed=True)
    assert data.load("fashion_mnist").y_test.tolist() == list(range(10))
    assert {f: (root / f).read_bytes() for f in SOURCE.files} == contents()
    assert not _places.cache().exists()


def test_a_folder_inside_that_is_read_only_makes_a_mirror_of_the_whole(root):
    put(root, packed=True)
    close(root / "FashionMNIST")
    before = tree(root)
    assert find().parent == _places.cache()
    assert tree(root) == before


@pytest.mark.parametrize("packed", [True, False])
def test_where_tsd_data_is_set_the_cache_is_not_looked_into(root, packed):
    put(_places.cache(), packed)
    before = tree(_places.cache())
    with pytest.raises(UserError, match=f"FashionMNIST is not in {root}, and it could not be downloaded"):
        data.load("fashion_mnist")
    assert tree(_places.cache()) == before


@pytest.mark.parametrize("packed", [True, False])
def test_where_tsd_data_is_not_set_the_cache_is_used(root, monkeypatch, packed):
    monkeypatch.delenv("TSD_DATA")
    put(_places.cache(), packed)
    assert len(data.load("fashion_mnist").y_train) == 20
    assert find() == _places.cache()


def test_what_is_missing_is_downloaded_to_tsd_data(root, monkeypatch):
    monkeypatch.setattr(datasets(), "FashionMNIST", lambda folder, **_: put(folder, packed=False))
    assert find() == root
    assert {f: (root / f).read_bytes() for f in SOURCE.files} == contents()
    assert not _places.cache().exists()


def test_an_archive_of_a_mirror_that_was_whole_before_is_read_again_and_named(mirror):
    """What was unpacked from it once is not taken for what it holds now."""
    find()
    path = mirror / SOURCE.archives[0]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"{path} is damaged"):
        find()


def test_many_workers_unpack_once_and_all_read_whole_files(mirror, monkeypatch):
    seen = []

    def counted(archive, target, unpack=_places.unpack):
        seen.append(archive)
        unpack(archive, target)

    monkeypatch.setattr(_torchvision, "unpack", counted)
    with ThreadPoolExecutor(8) as pool:
        [found] = set(pool.map(lambda _: find(), range(8)))
    assert {f: (found / f).read_bytes() for f in SOURCE.files} == contents()
    assert len(seen) == len(SOURCE.archives)


def test_unpacking_that_is_killed_leaves_nothing_half_done(root, monkeypatch):
    put(root, packed=True)

    def killed(archive, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(_torchvision, "unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        find()
    assert [p.name for p in root.iterdir() if p.name != "FashionMNIST"] == [".FashionMNIST.lock"]
    assert not any((root / f).exists() for f in SOURCE.files)


def test_without_files_and_network_the_error_says_what_where_and_what_to_do(root):
    with pytest.raises(UserError) as error:
        data.load("fashion_mnist")
    text = str(error.value)
    for word in ("FashionMNIST", str(root), "TSD_DATA", "train-images", "no network", "not known"):
        assert word in text


@pytest.mark.parametrize("module", [cifar10, cifar100, fashion_mnist, mnist])
def test_a_set_that_cannot_be_downloaded_is_named_as_it_is_fetched_and_the_cause_in_words(root, module):
    name = module.SOURCE.name
    assert data.DATASETS.load(name) is module
    with pytest.raises(UserError, match=f"`python -m tsd.data fetch {name}`") as error:
        data.load(name)
    assert "no network to where it is published (Name or service not known)" in str(error.value)
    assert "urlopen" not in str(error.value) and "Errno" not in str(error.value)


def test_a_server_that_refuses_is_not_called_no_network(root, monkeypatch):
    def refuse(*_, **__):
        raise HTTPError("https://example.org", 403, "Forbidden", None, None)

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(UserError, match="could not be downloaded: HTTP Error 403: Forbidden") as error:
        data.load("cifar10")
    assert "no network" not in str(error.value)


@pytest.mark.parametrize("kept", [0, 2, 100])
def test_a_truncated_idx_file_is_named(root, kept):
    put(root, packed=False)
    put(_places.cache(), packed=False)
    path = root / SOURCE.files[2]
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=f"{path} is cut short"):
        data.load("fashion_mnist")


def test_an_idx_file_of_another_kind_is_named(root):
    put(root, packed=False)
    path = root / SOURCE.files[0]
    path.write_bytes(b"<html>you are not logged in</html>")
    with pytest.raises(UserError, match=f"{path} is cut short, not what was published"):
        data.load("fashion_mnist")


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-10], lambda c: b"no gzip at all", lambda c: c[:20] + b"\0" * 20 + c[40:]]
)
def test_a_damaged_archive_is_named_and_leaves_nothing(root, damage):
    put(root, packed=True)
    put(_places.cache(), packed=False)
    path = root / SOURCE.archives[1]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"{path} is damaged"):
        data.load("fashion_mnist")
    assert not any((root / f).exists() for f in SOURCE.files)


def test_a_cifar_archive_is_unpacked_and_batches_that_are_not_the_published_ones_are_named(root, tmp_path):
    inside = tmp_path / "cifar-10-batches-py"
    inside.mkdir()
    for name in cifar10.BATCHES:
        (inside / name).write_bytes(pickle.dumps({"data": [], "labels": []}))
    root.mkdir()
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(inside, arcname=inside.name)
    with pytest.raises(UserError, match=f"CIFAR10 cannot be read: {root}.*data_batch_1,"):
        data.load("cifar10")


@pytest.mark.parametrize("inside", ["", "deeper/still"])
def test_a_folder_without_write_bits_is_left_alone_even_by_root(root, monkeypatch, inside):
    root.mkdir(mode=0o555)
    monkeypatch.setenv("TSD_DATA", str(root / inside))
    with pytest.raises(UserError, match=f"CIFAR10 is not in {root / inside}, and that folder is read-only"):
        data.load("cifar10")
    assert list(root.iterdir()) == []
    assert not _places.cache().exists()


def test_a_cache_without_write_bits_is_left_alone_even_by_root(mirror, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o555)
    with pytest.raises(UserError, match=r"could not be written to .*read-only"):
        data.load("fashion_mnist")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing_half_done(mirror, monkeypatch):
    def full(archive, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_torchvision, "unpack", full)
    with pytest.raises(UserError, match=r"could not be written to .*No space left on device.*TSD_DATA"):
        data.load("fashion_mnist")
    [folder] = _places.cache().iterdir()
    assert [p.name for p in folder.iterdir()] == [".FashionMNIST.lock"]


def test_a_cache_that_cannot_be_made_is_said(mirror, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="could not be written to"):
        data.load("fashion_mnist")


def test_where_nothing_can_be_written_that_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.delenv("TSD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="is read-only, so nothing is downloaded"):
        data.load("fashion_mnist")


@pytest.mark.data
@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_the_published_sets_have_their_published_sizes(name):
    source = data.DATASETS.load(name).SOURCE
    if not (_places.holds(_places.home(), source.files) or _places.holds(_places.home(), source.archives)):
        pytest.skip(f"{name} is not in {_places.home()}; set TSD_DATA or run `python -m tsd.data fetch {name}`")
    images = data.load(name)
    assert images.x_train.shape == (60_000, 1, 28, 28)
    assert images.x_test.shape == (10_000, 1, 28, 28)
    assert images.y_test.bincount().sum() == 10_000
    assert images.classes == 10
