"""A results folder belongs to one sweep, which may grow."""

import json

import pytest
from store_cases import SWEEP

from tsd.errors import UserError
from tsd.store import StoreError, schema


def test_the_sweep_and_where_it_comes_from_are_noted(any_store):
    any_store.prepare(SWEEP, {"git_sha": "abc"})
    found = any_store.sweep()
    assert found.items() >= SWEEP.items()
    assert found["provenance"] == {"git_sha": "abc"}
    assert found["schema_version"] == schema.SCHEMA_VERSION
    assert found["created_at"] == found["updated_at"]


def test_provenance_is_collected_where_none_is_given(store):
    store.prepare(SWEEP)
    assert store.sweep()["provenance"].keys() >= {"tsd_version", "versions", "host"}


def test_a_sweep_that_grew_replaces_its_text_and_keeps_its_birthday(any_store):
    any_store.prepare(SWEEP, {})
    text = json.loads(any_store.files.read("sweep.json")) | {"created_at": "2020-01-01T00:00:00+00:00"}
    any_store.files.write("sweep.json", json.dumps(text).encode())
    any_store.prepare(SWEEP | {"axes": {"lr": [0.3]}}, {})
    found = any_store.sweep()
    assert found["axes"] == {"lr": [0.3]}
    assert found["created_at"] == "2020-01-01T00:00:00+00:00"
    assert found["updated_at"] > "2020-01-01"


@pytest.mark.parametrize("other", [{"study": "distill"}, {"name": "another"}])
def test_another_sweep_finds_the_folder_taken(any_store, other):
    any_store.prepare(SWEEP, {})
    before = any_store.files.read("sweep.json")
    with pytest.raises(StoreError, match="was written by another sweep of the same name") as raised:
        any_store.prepare(SWEEP | other, {})
    [(key, value)] = other.items()
    text = str(raised.value)
    for part in (f"`{SWEEP[key]}`", f"`{value}`", any_store.files.where(), "another `name:`", "--results"):
        assert part in text
    assert isinstance(raised.value, UserError)
    assert any_store.files.read("sweep.json") == before


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_sweep_file_that_is_damaged_is_told(store, text):
    store.files.write("sweep.json", text)
    for ask in (store.sweep, lambda: store.prepare(SWEEP, {})):
        with pytest.raises(StoreError, match=r"sweep\.json is damaged"):
            ask()
    assert store.files.read("sweep.json") == text
