"""The columns are the contract with analysis."""

import pyarrow as pa
import pytest
from store_cases import row

from tsd.store import schema
from tsd.store.schema import ColumnInfo, CurveInfo

HEAD = ["trial_id", "study", "study_version", "kind", "state", "error_type", "error", "origin"]
SEEDS = ["seed_teacher", "seed_data", "seed_init", "seed_noise"]
TAIL = [*SEEDS, "pack_id", "wall_s", "device", "dtype", "way_taken", "started_at", "git_sha", "tsd_version", "host"]


def test_columns_stand_in_the_order_of_the_contract():
    made = schema.trial_schema({"b": ColumnInfo("int"), "a": ColumnInfo("str")}, {"m": ColumnInfo("float")})
    assert made.names == [*HEAD, "b", "a", "m", *TAIL]


def test_every_column_says_what_it_means():
    made = schema.trial_schema({"a": ColumnInfo("int", "nodes", "Width.")}, {"m": ColumnInfo("float", "nats", "Loss.")})
    fields = schema.fields_of(made)
    assert list(fields) == made.names
    assert fields["a"] == {"role": "parameter", "unit": "nodes", "doc": "Width."}
    assert fields["m"] == {"role": "metric", "unit": "nats", "doc": "Loss."}
    assert all(told["doc"] and told["role"] == "record" for name, told in fields.items() if name not in "am")


def test_dtype_is_one_column_also_where_the_study_has_it_as_a_parameter():
    made = schema.trial_schema({"dtype": ColumnInfo("str")}, {})
    assert made.names == [*HEAD, *TAIL]
    assert schema.fields_of(made)["dtype"]["role"] == "parameter"


def test_the_way_asked_for_and_the_way_taken_are_two_columns(store):
    made = schema.trial_schema({"way": ColumnInfo("str")}, {})
    assert made.names == [*HEAD, "way", *TAIL]
    roles = {name: told["role"] for name, told in schema.fields_of(made).items()}
    assert (roles["way"], roles["way_taken"]) == ("parameter", "record")
    given = [row("a", way="auto", way_taken="dense"), row("b", "failed", way="loop", way_taken=None)]
    store.write_part("p", pa.Table.from_pylist(given, schema=made), None)
    read = {r["trial_id"]: (r["way"], r["way_taken"]) for r in store.trials().to_pylist()}
    assert read == {"a": ("auto", "dense"), "b": ("loop", None)}


@pytest.mark.parametrize(
    ("parameters", "metrics", "name"),
    [({"state": ColumnInfo("str")}, {}, "state"), ({}, {"host": ColumnInfo("str")}, "host")],
)
def test_no_two_columns_have_one_name(parameters, metrics, name):
    with pytest.raises(ValueError, match=name):
        schema.trial_schema(parameters, metrics)


def test_a_parameter_is_no_metric():
    with pytest.raises(ValueError, match="loss"):
        schema.trial_schema({"loss": ColumnInfo("float")}, {"loss": ColumnInfo("float")})


def test_curves_are_told_beside_the_columns_and_are_none():
    curves = {"m": CurveInfo("", "", "node"), "c": CurveInfo("nats", "Loss while training.", "step")}
    made = schema.trial_schema({}, {"m": ColumnInfo("float", "nats", "Loss.")}, curves)
    assert made.names == [*HEAD, "m", *TAIL]
    for fields in (schema.fields_of(made), schema.fields_of(schema.unified([made, schema.trial_schema({}, {})]))):
        assert fields["m"] == {"role": "metric", "unit": "nats", "doc": "Loss.", "step": "node"}
        assert fields["c"] == {"role": "curve", "unit": "nats", "doc": "Loss while training.", "step": "step"}


def test_the_later_meaning_of_a_column_is_believed():
    old = schema.trial_schema({"a": ColumnInfo("int", "", "Old.")}, {})
    new = schema.trial_schema({"a": ColumnInfo("int", "nodes", "New.")}, {})
    assert schema.fields_of(schema.unified([old, new]))["a"]["doc"] == "New."


def test_unifying_keeps_parameters_before_metrics():
    old = schema.trial_schema({"a": ColumnInfo("int")}, {"m": ColumnInfo("float")})
    new = schema.trial_schema({"b": ColumnInfo("int")}, {"n": ColumnInfo("float")})
    assert schema.unified([old, new]).names == [*HEAD, "a", "b", "m", "n", *TAIL]
