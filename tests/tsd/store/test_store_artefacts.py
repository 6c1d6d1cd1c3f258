"""An artefact is what was stored, bit by bit, or it is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsd.errors import UserError
from tsd.store import ArtefactError, Store, StoreError

ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.asarray(3), "none": np.zeros((0, 4))}
FACTS: dict[str, float | int | str] = {"accuracy": 0.9, "epochs": 3, "name": "CNN, größer"}


def test_arrays_and_facts_come_back(any_store):
    any_store.artefacts.write("k1", ARRAYS, FACTS, {"study": "distill"})
    arrays, facts = any_store.artefacts.read("k1")
    assert facts == FACTS
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    any_store.artefacts.verify("k1")
    assert any_store.artefacts.keys() == {"k1"}


@settings(max_examples=50, deadline=None)
@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]), hnp.array_shapes(min_dims=0)
    )
)
def test_every_array_comes_back_bit_by_bit_whatever_its_layout(tmp_path_factory, array):
    store = Store(tmp_path_factory.mktemp("a"))
    store.artefacts.write(
        "k", {"c": array, "turned": array.T, "striped": array[..., ::2] if array.ndim else array}, {}, {}
    )
    arrays, _ = store.artefacts.read("k") or ({}, {})
    assert arrays["c"].tobytes() == array.tobytes()
    assert arrays["turned"].tobytes() == array.T.tobytes()


def test_there_is_none_before_it_is_written(any_store):
    assert any_store.artefacts.read("k") is None
    with pytest.raises(KeyError):
        any_store.artefacts.verify("k")


@pytest.fixture
def kept(store: Store) -> tuple[Store, Path, bytes]:
    """A store with one artefact, its file and its bytes."""
    store.artefacts.write("k", ARRAYS, FACTS, {"seed": 1})
    path = Path(str(store.root)) / "artefacts" / "k.safetensors"
    return store, path, path.read_bytes()


def test_no_changed_byte_goes_unnoticed_unless_nothing_changed(kept):
    """All positions, two changes each; a change between the header's words may change nothing that is read."""
    store, path, data = kept
    arrays, facts = store.artefacts.read("k")
    for at in range(len(data)):
        for flip in (1, 0x20):
            path.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
            try:
                found, told = store.artefacts.read("k")
            except ArtefactError:
                continue
            assert told == facts
            assert all(found[name].tobytes() == arrays[name].tobytes() for name in arrays)


@pytest.mark.parametrize("length", [0, 4, 8, 60, -1])
def test_a_truncated_artefact_is_refused(kept, length):
    store, path, data = kept
    path.write_bytes(data[:length])
    with pytest.raises(ArtefactError):
        store.artefacts.read("k")


def test_an_artefact_of_another_training_is_refused(kept):
    """Sound safetensors, other numbers under the same hash."""
    store, path, data = kept
    at = data.index(ARRAYS["weight"].tobytes())
    path.write_bytes(data[:at] + np.ones(6, np.float32).tobytes() + data[at + 24 :])
    with pytest.raises(ArtefactError) as raised:
        store.artefacts.verify("k")
    text = str(raised.value)
    assert str(path) in text
    assert "no longer matches the hash" in text
    assert "Nothing else was touched" in text
    assert "check FILE --repair" in text
    assert isinstance(raised.value, UserError)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_reading_runs_no_code(kept, tmp_path):
    store, _, _ = kept
    mark = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(mark))
    for name in ("artefacts/k.safetensors", "trials/k.parquet", "curves/k.parquet", "sweep.json", "events/k.jsonl"):
        store.files.write(name, bomb)
    with pytest.raises(ArtefactError):
        store.artefacts.read("k")
    with pytest.raises(StoreError):
        store.trials()
    with pytest.raises(StoreError):
        store.sweep()
    assert store.events() == []
    store.check(repair=True)
    assert not mark.exists()


@pytest.mark.parametrize("key", ["", "..", "../k", "a/b", "/etc/passwd", "a\0b", "a b", ".hidden", "x" * 200, "ü"])
def test_a_key_cannot_lead_elsewhere(store, key):
    for use in (store.artefacts.read, store.artefacts.verify, lambda k: store.artefacts.write(k, {}, {}, {})):
        with pytest.raises(StoreError, match="cannot be part of a file's name"):
            use(key)
