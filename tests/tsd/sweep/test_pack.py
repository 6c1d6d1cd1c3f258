"""Packs hold trials that agree in what is static, each trial once, longest first."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsd.sweep import pack
from tsd.sweep.shapes import Limits, gpu_share
from tsd.sweep.waves import cut_from, in_waves, packs_at_a_time, together

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


STATIC = ["width", "activation"]


def cut(trials, limits=None, measured=None, unfinished=None):
    connection = connect(trials)
    shapes = pack.cut(connection, STATIC, limits or Limits(2), measured, unfinished=unfinished)
    return shapes, list(in_waves(connection, at_a_time=3))


def told(width, seconds, trials=1, **memory):
    """What one earlier pack took: `seconds` for all its `trials`."""
    nothing = {"way_taken": "dense", "members": trials, "peak_bytes": None, "room_bytes": None, "most": None}
    return {"width": width, "activation": "relu", "trials": trials, "seconds": seconds} | nothing | memory


def table(*packs):
    static = [("width", pa.int64()), ("activation", pa.string())]
    return pa.Table.from_pylist(list(packs), schema=pa.schema([*static, *pack.FIGURES]))


def sizes(waves):
    return [p.trials for wave in waves for p in wave.packs]


def test_a_field_that_only_some_trials_have_is_named_only_where_it_tells_them_apart():
    shapes, _ = cut([(None, "relu", 0.1), (10, "erf", 0.1)])
    assert [shape.values for shape in shapes] == [{"activation": "erf"}, {"activation": "relu"}]
    shapes, _ = cut([(None, "relu", 0.1), (10, "erf", 0.1), (20, "erf", 0.1)])
    assert {(shape.values["width"], shape.values["activation"]) for shape in shapes} == {
        (None, "relu"),
        (10, "erf"),
        (20, "erf"),
    }


@settings(max_examples=25, deadline=None)
@given(rows, st.integers(1, 5), st.integers(1, 9))
def test_every_trial_is_in_one_pack_and_members_agree_in_static_fields(trials, slots, largest):
    shapes, waves = cut(trials, Limits(slots, smallest=1, largest=largest))
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
    _, waves = cut([(10, "relu", 0.1)] * 65, Limits(1, smallest=1, largest=64), table(told(10, 1.0)))
    assert sizes(waves) == [22, 22, 21]


def test_there_is_work_for_every_slot():
    _, waves = cut([(10, "relu", 0.1)] * 120, Limits(slots=4, smallest=1))
    assert len(sizes(waves)) >= 4 * pack.PACKS_A_SLOT


def test_measured_time_sets_the_length_of_a_pack():
    trials = [(10, "relu", 0.0)] * 200 + [(20, "relu", 0.0)] * 20
    shapes, waves = cut(trials, Limits(1, smallest=1, largest=64), table(told(10, 1.0), told(20, 60.0, 2)))
    lengths = [p.trials * shapes[p.shape].seconds_a_trial for w in waves for p in w.packs]
    assert max(lengths) <= pack.TARGET_S
    assert [s.packs for s in shapes if s.values["width"] == 10] == [4], "50 s each, not five of 40 s"


def test_the_longest_packs_come_first():
    trials = [(10, "relu", 0.0)] * 9 + [(20, "relu", 0.0)] * 9
    shapes, waves = cut(trials, Limits(1, smallest=1), table(told(10, 6.0), told(20, 20.0)))
    lengths = [p.trials * shapes[p.shape].seconds_a_trial for w in waves for p in w.packs]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) > 1


def test_shapes_that_nobody_has_measured_are_probed_by_small_packs_that_run_first():
    trials = [(10, "relu", 0.0)] * 1000 + [(20, "relu", 0.0)] * 100 + [(None, "relu", 0.0)] * 5
    shapes, waves = cut(trials, Limits(2), table(told(20, 1.0)))
    probes = {shape.values["width"]: shape.probes for shape in shapes}
    assert probes == {10: 4, 20: 0, None: 0}, "two a slot for what is unknown; five trials are one pack anyway"
    assert sizes(waves)[:4] == [8] * 4 and sum(sizes(waves)) == 1105


def test_a_sweep_that_is_soon_cut_is_not_probed():
    """Four packs a slot are soon done, whatever they turn out to take."""
    for count, probes in ((2 * 4 * 64, 0), (2 * 4 * 64 + 1, 4)):
        shapes, _ = cut([(10, "relu", 0.0)] * count, Limits(2))
        assert [shape.probes for shape in shapes] == [probes]


def test_the_first_pack_of_a_worker_which_is_slow_does_not_cut_the_others():
    _, waves = cut([(10, "relu", 0.0)] * 600, Limits(1), table(told(10, 60.0, 8), told(10, 8.0, 8)))
    assert max(sizes(waves)) == 60


def test_what_the_probes_took_cuts_the_others_in_shapes_that_keep_their_places():
    trials = [(width, "relu", 0.0) for width in (10, 20) for _ in range(500)]
    connection = connect(trials)
    before = pack.cut(connection, STATIC, Limits(2))
    probes = sum(shape.probes for shape in before)
    first = [id for wave in in_waves(connection, range(probes)) for id in wave.table["trial_id"].to_pylist()]
    pack.drop(connection, probes)
    after = pack.cut(connection, STATIC, Limits(2), table(told(10, 100.0), told(20, 5.0)), again=True)
    assert [shape.values for shape in after] == [shape.values for shape in before]
    rest = list(in_waves(connection, offset=probes))
    assert [p.index for wave in rest for p in wave.packs] == list(range(probes, probes + sum(s.packs for s in after)))
    assert {s.values["width"]: s.packs for s in after} == {10: 484, 20: 41}, "one at a time, and 12 at a time"
    others = [id for wave in rest for id in wave.table["trial_id"].to_pylist()]
    assert sorted(first + others) == [f"{i:032x}" for i in range(1000)]


def test_rows_that_are_sent_once_hold_the_packs_of_both_cuts():
    connection = connect([(width, "relu", 0.1 * i) for i in range(400) for width in (10, 20, None)])
    probes = sum(shape.probes for shape in pack.cut(connection, STATIC, Limits(2)))
    wave, [alone] = together(connection, probes), in_waves(connection, range(probes))
    ids = [row["trial_id"] for one in wave.packs for row in wave.rows(one).to_pylist()]
    assert probes > 2 and ids == [row["trial_id"] for one in alone.packs for row in alone.rows(one).to_pylist()]
    pack.drop(connection, probes)
    pack.cut(connection, STATIC, Limits(2), table(told(10, 100.0), told(20, 5.0)), again=True)
    packs, [alone] = cut_from(connection, offset=probes), in_waves(connection, offset=probes)
    assert [(p.index, p.shape, p.trials) for p in packs] == [(p.index, p.shape, p.trials) for p in alone.packs]
    for one, other in zip(packs, alone.packs, strict=True):
        assert wave.rows(one).to_pylist() == alone.rows(other).to_pylist()
    assert cut_from(connection, range(3), offset=probes) == packs[:3]


@pytest.mark.parametrize(
    ("memory", "share", "fits"),
    [
        ({"peak_bytes": 1_000, "room_bytes": 4_000}, 1.0, 32),  # 0.8 · 4000 / (1000 / 10)
        ({"peak_bytes": 1_000, "room_bytes": 4_000}, 0.25, 8),
        ({"peak_bytes": 1_000, "room_bytes": 4_000, "most": 5}, 1.0, 5),
        ({"most": 5}, 1.0, 5),
        ({"peak_bytes": 1_000_000, "room_bytes": 4_000}, 1.0, 1),
        ({"most": 0}, 1.0, None),
    ],
)
def test_a_pack_fits_into_the_memory_that_there_is(memory, share, fits):
    limits = Limits(1, share=share)
    shapes, waves = cut([(10, "relu", 0.0)] * 96, limits, table(told(10, 0.1, 10, **memory)))
    assert shapes[0].fits == fits
    assert max(sizes(waves)) == (fits or 32), "96 trials on one slot: three packs where memory does not say less"


def test_a_pack_that_was_left_unfinished_stays_the_pack_that_it_was_and_comes_first():
    left = [f"{i:032x}" for i in range(30, 60)]
    shapes, waves = cut([(10, "relu", 0.0)] * 96, Limits(1), table(told(10, 10.0, 10)), {"p": left})
    first = waves[0].packs[0]
    assert waves[0].rows(first)["trial_id"].to_pylist() == left and shapes[first.shape].resumes == "p"
    assert sum(sizes(waves)) == 96 and shapes[first.shape].packs == 1


def test_a_sweep_of_one_shape_needs_no_static_column_to_differ():
    shapes, _ = cut([(10, "relu", 0.1), (10, "relu", 0.2)])
    assert [s.values for s in shapes] == [{}]


@pytest.mark.parametrize(
    ("trials", "share"), [(1, 1 / 8), (32, 1 / 8), (33, 1 / 4), (64, 1 / 4), (100, 1 / 2), (129, 1.0), (9_999, 1.0)]
)
def test_packs_that_cannot_fill_a_gpu_share_it(trials, share):
    """256 trials fill one; the largest shape decides, beside which others are small."""
    connection = connect([(10, "relu", 0.1)] * trials + [(20, "relu", 0.1)])
    assert gpu_share(connection, STATIC) == share


def test_a_wave_holds_what_differs_once_and_gives_whole_rows():
    trials = [(None, "relu", 0.1 * i) for i in range(30)]
    connection = connect(trials)
    pack.cut(connection, STATIC, Limits(1, smallest=1, largest=10))
    [wave] = in_waves(connection)
    assert wave.table.column_names == ["trial_id", "lr"]
    rows = [row for one in wave.packs for row in wave.rows(one).to_pylist()]
    assert rows == connection.sql("SELECT * FROM todo").to_arrow_table().to_pylist()
    assert wave.rows(wave.packs[0]).schema == connection.sql("SELECT * FROM todo").to_arrow_table().schema


def test_a_wave_is_bounded_in_packs_and_in_trials(monkeypatch):
    monkeypatch.setattr("tsd.sweep.waves.TRIALS_AT_A_TIME", 25)
    _, waves = cut([(10, "relu", 0.1)] * 96, Limits(1, largest=10), table(told(10, 6.0)))
    assert [sum(p.trials for p in wave.packs) for wave in waves] == [20] * 4 + [16]
    monkeypatch.setattr("tsd.sweep.waves.TRIALS_AT_A_TIME", 1)
    _, waves = cut([(10, "relu", 0.1)] * 96, Limits(1, largest=10), table(told(10, 6.0)))
    assert all(len(wave.packs) == 1 for wave in waves), "one pack goes out however large it is"


def test_a_wave_is_many_packs_for_each_slot_within_what_a_driver_can_keep():
    assert [packs_at_a_time(slots) for slots in (1, 100, 500, 1_000, 100_000)] == [2_000, 2_000, 10_000, 20_000, 20_000]
