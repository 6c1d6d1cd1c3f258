"""The state of a pack is kept until the pack has its part; what is missing, damaged or refused costs time alone."""

import numpy as np
import pytest

from tsd.store import Store, StoreError
from tsd.store.checkpoints import Keeper

TRIALS = ["a" * 32, "b" * 32]
STATE = ({"weight": np.arange(6.0).reshape(2, 3), "count": np.array(3)}, {"step": 7, "recorded": "[{}]"})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "example")


def keeper(store, pack="p", every_s=0.0):
    return Keeper(store.files, pack, TRIALS, every_s)


def test_what_is_kept_is_read_by_another_worker(store):
    keeper(store).write({"s": STATE})
    arrays, facts = keeper(store).read("s")
    assert facts == STATE[1] and all(np.array_equal(arrays[name], array) for name, array in STATE[0].items())
    assert store.checkpoints.packs() == {"p": TRIALS}


def test_a_later_state_takes_the_place_of_an_earlier_one(store):
    one = keeper(store)
    one.write({"s": STATE})
    one.write({"s": (STATE[0], {"step": 8, "recorded": "[]"})})
    assert keeper(store).read("s")[1]["step"] == 8
    assert len(store.files.listed("checkpoints")) == 2


def test_a_pack_that_has_its_part_leaves_nothing_of_itself_and_all_of_others(store):
    keeper(store, "p").write({"s": STATE, "t": STATE})
    keeper(store, "pp").write({"s": STATE})
    finished = keeper(store, "p")
    assert finished.read("s")
    finished.clear()
    assert store.checkpoints.packs() == {"pp": TRIALS} and keeper(store, "pp").read("s")
    assert not any(entry.name.startswith("checkpoints/p-") for entry in store.files.listed("checkpoints"))


def test_an_artefact_in_training_is_no_pack(store):
    keeper(store, "p").write({"s": STATE})
    Keeper(store.files, "t", [], 0.0).write({"s": STATE})
    assert store.checkpoints.packs() == {"p": TRIALS} and store.checkpoints.artefacts() == {"t"}
    assert Keeper(store.files, "t", [], 0.0).read("s")[1] == STATE[1]
    store.checkpoints.remove("t")
    assert store.checkpoints.packs() == {"p": TRIALS} and store.checkpoints.artefacts() == set()


def test_nothing_is_written_before_it_is_time(store):
    assert not keeper(store, every_s=3600.0).due() and keeper(store).due()
    keeper(store).clear()
    assert not store.files.listed("checkpoints")


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_damaged_state_is_none(store, damage):
    keeper(store).write({"s": STATE})
    [name] = [e.name for e in store.files.listed("checkpoints") if e.name.endswith(".safetensors")]
    store.files.write(name, damage(store.files.read(name)))
    assert keeper(store).read("s") is None


def test_a_damaged_list_of_trials_is_no_pack(store):
    keeper(store).write({"s": STATE})
    store.files.write("checkpoints/p.json", b"[")
    assert store.checkpoints.packs() == {}


def test_a_store_that_takes_nothing_leaves_the_pack_at_work(store, monkeypatch):
    def refused(self, name, data):
        raise StoreError("no space left")

    monkeypatch.setattr(type(store.files), "write", refused)
    keeper(store).write({"s": STATE})
