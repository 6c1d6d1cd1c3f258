"""Packs hold trials that agree in what is static, each trial once, longest first."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsd.sweep import pack
from tsd.sweep.conditions import quoted

rows = st.lists(
    st.tuples(st.sampled_from([10, 20, None]), st.sampled_from(["relu", "erf"]), st.floats(0, 1)),
    min_size=1,
    max_size=80,
)


CONNECTION = duckdb.connect(config={"threads": 1})


def connect(trials):
    connection = CONNECTION
    table = pa.table(
        {
            "trial_id": [f"{i:032x}" for i in range(len(trials))],
            "width": pa.array([t[0] for t in trials], pa.int64()),
            "activation": [t[1] for t in trials],
            "lr": [t[2] for t in trials],
        }
    )
    connection.register("source", table)
    connection.execute("CREATE OR REPLACE TABLE todo AS SELECT * FROM source")
    return connection


def cut(trials, limits=None, timing=None):
    connection = connect(trials)
    shapes = pack.cut(connection, ["width", "activation"], limits or pack.Limits(2), timing)
    return shapes, list(pack.waves(connection, at_a_time=3))


@settings(max_examples=25, deadline=None)
@given(rows, st.integers(1, 5), st.integers(1, 9))
def test_every_trial_is_in_one_pack_and_members_agree_in_static_fields(trials, slots, largest):
    shapes, waves = cut(trials, pack.Limits(slots, smallest=1, largest=largest))
    seen = []
    for wave in waves:
        for one in wave.packs:
            members = wave.rows(one)
            assert members.num_rows == one.trials <= largest
            assert len({(r["width"], r["activation"]) for r in members.to_pylist()}) == 1
            seen += members["trial_id"].to_pylist()
    assert sorted(seen) == [f"{i:032x}" for i in range(len(trials))]
    assert sum(s.trials for s in shapes) == len(trials)
    assert [p.index for w in waves for p in w.packs] == list(range(sum(s.packs for s in shapes)))


def test_packs_of_a_shape_are_even():
    _, waves = cut([(10, "relu", 0.1)] * 65, pack.Limits(1, smallest=1, largest=64))
    sizes = [p.trials for w in waves for p in w.packs]
    assert max(sizes) - min(sizes) <= len(sizes) and max(sizes) < 64


def test_there_is_work_for_every_slot():
    _, waves = cut([(10, "relu", 0.1)] * 120, pack.Limits(slots=4, smallest=1))
    assert sum(len(w.packs) for w in waves) >= 4 * pack.PACKS_A_SLOT


def test_measured_time_sets_the_length_of_a_pack_and_the_order():
    timing = pa.table({"width": [10, 20], "activation": ["relu", "relu"], "wall_s": [1.0, 30.0]})
    trials = [(10, "relu", 0.0)] * 200 + [(20, "relu", 0.0)] * 20
    shapes, waves = cut(trials, pack.Limits(1, smallest=1, largest=64), timing)
    assert [s.values["width"] for s in shapes] == [20, 10], "600 s of work before 200 s"
    longest = max(p.trials * shapes[p.shape].seconds_a_trial for w in waves for p in w.packs)
    assert longest <= pack.TARGET_S


def test_a_sweep_of_one_shape_needs_no_static_column_to_differ():
    shapes, _ = cut([(10, "relu", 0.1), (10, "relu", 0.2)])
    assert [s.values for s in shapes] == [{}]


@pytest.mark.parametrize("name", ["plain", 'with "quotes"', "select"])
def test_any_column_name_can_be_quoted(name):
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE t ({quoted(name)} INTEGER)")
    assert connection.execute("SELECT * FROM t").description[0][0] == name
