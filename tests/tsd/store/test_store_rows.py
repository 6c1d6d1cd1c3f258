"""What is written is read, one row a trial, whatever the number and the age of the parts."""

import os
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_cases import METRICS, PARAMETERS, SCHEMA, curves, files_below, row, rows, told

from tsd.store import Store, StoreError, schema
from tsd.store.schema import STATES, ColumnInfo


def test_an_empty_folder_has_no_trials_and_the_columns_that_every_study_has(store):
    assert store.states().table.num_rows == 0
    assert store.trials().schema.names == schema.trial_schema({}, {}).names
    assert store.curves().schema.names == schema.CURVES.names
    assert store.bytes_a_trial() is None
    assert store.artefacts.keys() == set()
    assert store.events() == []
    assert store.sweep() is None


@pytest.mark.parametrize("ask", [Store.check, Store.compact])
def test_nothing_is_checked_or_compacted_where_nothing_is_stored(any_store, ask):
    with pytest.raises(StoreError, match=r"Nothing is stored in .*/probe\. .*run FILE.*--results"):
        ask(any_store)


def test_a_sweep_without_trials_is_sound_and_compact(any_store):
    any_store.prepare({"name": "probe", "study": "spectral"}, {})
    assert any_store.check().sound
    assert str(any_store.check()) == "Sound: 0 parts with 0 trials and 0 artefacts."
    assert str(any_store.compact()) == "0 parts (0.0 kB) are now 0 (0.0 kB)."


def test_what_is_written_is_read(any_store):
    any_store.prepare({"name": "probe", "study": "spectral"}, {})
    written = rows("ab")
    any_store.write_part("pack1", written, curves("ab"))
    any_store.write_part("pack2", rows("c"), None)
    read = any_store.trials()
    assert read.sort_by("trial_id").slice(0, 2).equals(written)
    assert read.schema.equals(SCHEMA, check_metadata=True)
    assert any_store.curves().equals(curves("ab"))
    assert told(any_store)[0] == [("a", "done", 0.0), ("b", "done", 0.0), ("c", "done", 0.0)]
    assert any_store.check().sound


def test_values_of_every_type_come_back_bit_by_bit(store):
    infos = {name: ColumnInfo(name) for name in ("bool", "int", "float", "str")}
    columns = schema.trial_schema(infos, {})
    values = {"bool": True, "int": -(2**63), "float": 5e-324, "str": "Zürich \N{SNOWMAN}\n\0"}
    store.write_part("p", pa.Table.from_pylist([row("a", **values), row("b", float=float("nan"))], columns), None)
    first, second = store.trials([*infos]).to_pylist()
    assert first == values
    assert second["float"] != second["float"]
    assert second["int"] is None


def test_the_same_rows_twice_are_one_part(store):
    for _ in range(2):
        store.write_part("pack", rows("ab"), curves("ab"))
    assert len(files_below(store)) == 2


def test_a_pack_that_runs_again_hides_its_older_rows_and_their_curves(store):
    store.write_part("pack", rows("ab", at=1), curves("ab", 1.0))
    store.write_part("pack", rows("ab", at=2), curves("ab", 2.0))
    trials, drawn = told(store)
    assert trials == [("a", "done", 2.0), ("b", "done", 2.0)]
    assert drawn == [(t, s, 2.0) for t in "ab" for s in (0, 1)]


def test_a_failed_run_does_not_hide_an_earlier_success(store):
    store.write_part("pack", rows("a", "done", at=1), curves("a", 1.0))
    store.write_part("pack", rows("a", "failed", at=2), None)
    assert told(store) == ([("a", "done", 1.0)], [("a", 0, 1.0), ("a", 1, 1.0)])


runs = st.lists(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(STATES), st.integers(0, 9)), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(packs=runs)
def test_the_best_state_is_read_and_of_equal_ones_the_latest(packs):
    """Against the rule in plain Python, and against its second form, the SQL of the views."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        expected: dict[str, tuple[int, int]] = {}
        for i, pack in enumerate(packs):
            table = pa.Table.from_pylist([row(t, state, at) for t, state, at in pack], schema=SCHEMA)
            store.write_part(f"pack{i}", table, None)
            for trial, state, at in pack:
                found = (STATES.index(state), -at)
                expected[trial] = min(expected.get(trial, found), found)
        wanted = sorted((t, STATES[rank], float(-age)) for t, (rank, age) in expected.items())
        assert told(store)[0] == wanted
        connection = duckdb.connect()
        store.connect(connection)
        assert connection.execute("SELECT trial_id, state, mse FROM trials ORDER BY ALL").fetchall() == wanted
        states = store.states().table.to_pylist()
        assert sorted((r["trial_id"], r["state"], r["started_at"].timestamp()) for r in states) == wanted
        store.compact()
        assert told(store)[0] == wanted


def test_a_column_that_a_part_does_not_have_is_null_in_its_rows(store):
    grown = schema.trial_schema(PARAMETERS | {"depth": ColumnInfo("int", "layers", "Depth.")}, METRICS)
    store.write_part("old", rows("a"), None)
    store.write_part("new", pa.Table.from_pylist([row("b", depth=3)], schema=grown), None)
    table = store.trials()
    assert table.schema.names == grown.names
    assert {r["trial_id"]: r["depth"] for r in table.to_pylist()} == {"a": None, "b": 3}
    assert store.fields()["depth"] == {"role": "parameter", "unit": "layers", "doc": "Depth."}
    assert store.fields() == schema.fields_of(table.schema)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_what_the_younger_part_says_of_a_column_is_believed(store, names):
    for name, doc, age in zip(names, ("Old.", "New."), (100, 50), strict=True):
        columns = schema.trial_schema(PARAMETERS | {"width": ColumnInfo("int", "nodes", doc)}, METRICS)
        store.write_part(name, rows(name, columns=columns), None)
        [path] = Path(str(store.root)).glob(f"trials/{name}-*")
        os.utime(path, (time.time() - age,) * 2)
    assert store.fields()["width"]["doc"] == "New."
    assert schema.fields_of(store.trials().schema)["width"]["doc"] == "New."


def test_a_whole_number_that_became_a_number_is_read_as_one(store):
    widened = schema.trial_schema(PARAMETERS | {"width": ColumnInfo("float")}, METRICS)
    store.write_part("old", pa.Table.from_pylist([row("a", width=3)], schema=SCHEMA), None)
    store.write_part("new", pa.Table.from_pylist([row("b", width=3.5)], schema=widened), None)
    assert sorted(store.trials(["width"])["width"].to_pylist()) == [3.0, 3.5]


def test_a_column_that_changed_from_number_to_text_is_told(store):
    other = schema.trial_schema(PARAMETERS | {"width": ColumnInfo("str")}, METRICS)
    store.write_part("old", rows("a"), None)
    store.write_part("new", pa.Table.from_pylist([row("b", width="wide")], schema=other), None)
    for read in (store.trials, store.compact, store.fields):
        with pytest.raises(StoreError, match=r"width.*changed its type.*another `name:`"):
            read()
    assert store.states().table.num_rows == 2


def test_columns_come_in_the_order_asked_for_and_unknown_ones_are_null(store):
    store.write_part("p", rows("a"), None)
    assert store.trials(["mse", "nowhere", "trial_id"]).to_pylist() == [{"mse": 0.0, "nowhere": None, "trial_id": "a"}]


def test_the_size_of_a_trial_counts_its_curves(store):
    store.write_part("p", rows("ab"), curves("ab"))
    total = sum(entry.size for folder in ("trials", "curves") for entry in store.files.listed(folder))
    assert store.bytes_a_trial() == total / 2


def test_rows_without_the_contract_are_refused(store):
    with pytest.raises(ValueError, match="trial_schema"):
        store.write_part("p", pa.table({"trial_id": ["a"]}), None)
    with pytest.raises(pa.ArrowInvalid, match="null"):
        store.write_part("p", pa.Table.from_pylist([row("a") | {"state": None}], schema=SCHEMA), None)
    assert files_below(store) == []


def test_a_part_of_a_newer_schema_is_not_guessed_at(store):
    newer = SCHEMA.with_metadata({b"tsd.schema_version": str(schema.SCHEMA_VERSION + 1)})
    store.write_part("p", rows("a").replace_schema_metadata(newer.metadata), None)
    with pytest.raises(StoreError, match="newer tsd"):
        store.states(move_damaged=True)
    assert len(files_below(store)) == 1
