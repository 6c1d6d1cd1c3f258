"""A sweep file as it is read: YAML 1.2, axes as NumPy counts them, overrides, and conditions that reach nothing."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import load

from tsd.errors import UserError
from tsd.sweep import conditions
from tsd.sweep.spec import Resources, SweepFileError, When

PLAIN = "name: x\nstudy: plain\n"
EVERYTHING = """\
name: everything_1.0
study: school
fixed: {width: 30}
axes:
  method: [none, kd]
zip:
  - {lr: [5e-3, 2e-3], temperature: [1, 2]}
when:
  - if: "method = 'kd'"
    axes: {soft_weight: [0.1, 0.5, 0.9]}
except: ["lr < 3e-3 AND method = 'none'"]
seeds: {init: 4, teacher: 2}
resources: {cpu: 2, gpu: 0.5}
"""


def test_every_key_of_a_file_is_read(tmp_path: Path) -> None:
    sweep = load(tmp_path, EVERYTHING)
    assert (sweep.name, sweep.study, sweep.version) == ("everything_1.0", "school", 1)
    assert sweep.fixed == {"width": 30}
    assert sweep.axes == {"method": ("none", "kd")}
    assert sweep.zips == ({"lr": (5e-3, 2e-3), "temperature": (1.0, 2.0)},)
    assert sweep.when == (When("method = 'kd'", {"soft_weight": (0.1, 0.5, 0.9)}),)
    assert sweep.excludes == ("lr < 3e-3 AND method = 'none'",)
    assert sweep.seeds == {"teacher": 2, "init": 4}
    assert sweep.resources == Resources(cpu=2, gpu=0.5)
    assert sweep.parts == {"method": ("kd", "none")}
    assert list(sweep.fields) == ["width", "method", "lr", "temperature", "soft_weight"]


def test_what_is_left_out_has_a_meaning(tmp_path: Path) -> None:
    sweep = load(tmp_path, "name: x\nstudy: school\nfixed:\naxes:\nzip:\nwhen:\nexcept:\n")
    assert (sweep.fixed, sweep.axes, sweep.zips, sweep.when, sweep.excludes) == ({}, {}, (), (), ())
    assert sweep.seeds == 1
    assert sweep.resources == Resources(cpu=1, gpu=None)
    assert sweep.parts == {"method": ("kd",)}  # the default of the field


def test_a_resolved_sweep_survives_json(tmp_path: Path) -> None:
    resolved = load(tmp_path, EVERYTHING).as_dict()
    assert json.loads(json.dumps(resolved)) == resolved
    again = load(tmp_path, json.dumps({k: v for k, v in resolved.items() if k != "version"}))
    assert again.as_dict() == resolved


def test_the_question_is_the_first_comment_as_far_as_its_mark(tmp_path: Path) -> None:
    asked = load(tmp_path, "# Does a wider student\n# learn sooner?   arXiv:1\n# 3 trials.\n" + PLAIN)
    assert asked.question == asked.as_dict()["question"] == "Does a wider student learn sooner?"
    for text in (PLAIN, "# A note.\n" + PLAIN, PLAIN + "# late?\n"):
        assert "question" not in load(tmp_path, text).as_dict()


def test_the_commands_that_draw_are_those_of_the_first_comment_each_on_one_line(tmp_path: Path) -> None:
    lines = ["# Why?", "# python -m tsd.sweep s.yaml", "# python -m analysis table results/s \\", "#     --rows 'a  b'"]
    asked = load(tmp_path, "\n".join([*lines, "# python -m analysis sql results/s q", "# Shows: python.", PLAIN]))
    assert asked.as_dict()["analysis"] == [
        "python -m analysis table results/s --rows 'a  b'",
        "python -m analysis sql results/s q",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+7", 7.0),
        ("010", 10.0),
        ("0o17", 15.0),
        ("0x1F", 31.0),
        ("-0.0", 0.0),
        ("5e-324", 5e-324),
        ("1e22", 1e22),
    ],
)
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: float) -> None:
    shift = load(tmp_path, f"{PLAIN}fixed: {{shift: {text}}}").fixed["shift"]
    assert (shift, type(shift), str(shift)) == (value, float, str(value))


@pytest.mark.parametrize(
    "text", ["off", "no", "yes", "on", "y", "2001-12-14", "12:30:45", "1_000", "0b11", "=", "1e", "nan"]
)
def test_what_yaml_1_2_does_not_call_a_number_or_a_truth_is_text(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, f"{PLAIN}fixed: {{note: {text}}}").fixed["note"] == text


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = "fixed: {<<: [{shift: 2}, {shift: 3, width: 7}], note: &n hello}\n"
    sweep = load(tmp_path, PLAIN + text)
    assert sweep.fixed == {"shift": 2.0, "width": 7, "note": "hello"}
    assert load(tmp_path, PLAIN + "axes: {lr: &v [0.1, 0.2], shift: *v}").axes == {
        "lr": (0.1, 0.2),
        "shift": (0.1, 0.2),
    }


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + PLAIN).name == "x"


def axis(folder: Path, field: str, rule: str) -> tuple[object, ...]:
    return load(folder, f"{PLAIN}axes: {{{field}: {rule}}}").axes[field]


NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: float(f"{x:.6g}"))
COUNTS = st.integers(2, 40)


@settings(deadline=None, max_examples=60)
@given(first=NUMBERS, last=NUMBERS, count=COUNTS)
def test_linspace_counts_as_numpy_does(
    tmp_path_factory: pytest.TempPathFactory, first: float, last: float, count: int
) -> None:
    expected = np.linspace(first, last, count)
    if len(set(expected)) == count:
        found = axis(tmp_path_factory.getbasetemp(), "shift", f"{{linspace: [{first}, {last}, {count}]}}")
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15 * max(abs(first), abs(last)))


@settings(deadline=None, max_examples=60)
@given(first=NUMBERS, last=NUMBERS, count=COUNTS)
def test_logspace_takes_end_values_and_counts_as_geomspace_does(
    tmp_path_factory: pytest.TempPathFactory, first: float, last: float, count: int
) -> None:
    first, last = abs(first) + 1e-3, abs(last) + 1e-3
    expected = np.geomspace(first, last, count)
    if len(set(expected)) == count:
        found = axis(tmp_path_factory.getbasetemp(), "lr", f"{{logspace: [{first}, {last}, {count}]}}")
        np.testing.assert_allclose(found, expected, rtol=1e-13)
        assert (found[0], found[-1]) == (first, last)


@settings(deadline=None, max_examples=60)
@given(first=st.integers(-50, 50), steps=st.integers(1, 40), step=st.integers(-9, 9).filter(bool), more=st.booleans())
def test_range_leaves_its_stop_out_as_arange_does(
    tmp_path_factory: pytest.TempPathFactory, first: int, steps: int, step: int, more: bool
) -> None:
    stop = first + steps * step + (1 if step > 0 else -1) * more
    found = axis(tmp_path_factory.getbasetemp(), "shift", f"{{range: [{first}, {stop}, {step}]}}")
    assert list(found) == list(np.arange(first, stop, step))


def test_counted_values_are_those_that_a_list_written_by_hand_holds(tmp_path: Path) -> None:
    """In binary 3 · 0.1 is 0.30000000000000004; the identity of a trial must not hang on who did the sum."""
    assert axis(tmp_path, "shift", "{linspace: [0, 1, 11]}") == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert axis(tmp_path, "shift", "{range: [1, 1.3, 0.1]}") == (1.0, 1.1, 1.2)
    assert axis(tmp_path, "lr", "{logspace: [1e-5, 1, 6]}") == (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert axis(tmp_path, "width", "{logspace: [1, 1024, 11]}") == tuple(2**i for i in range(11))
    assert axis(tmp_path, "width", "{linspace: [20, 100, 5]}") == (20, 40, 60, 80, 100)


def test_an_override_of_a_field_replaces_all_that_the_file_says_of_it(tmp_path: Path) -> None:
    for name, value in (("width", 7), ("method", "kd"), ("lr", 0.5), ("soft_weight", 0.3)):
        sweep = load(tmp_path, EVERYTHING, f"{name}={value}")
        assert sweep.fixed[name] == value
        assert name not in {*sweep.axes, *(n for z in sweep.zips for n in z), *(n for w in sweep.when for n in w.axes)}
    assert load(tmp_path, EVERYTHING, "soft_weight=0.3").when == ()
    assert load(tmp_path, EVERYTHING, "lr=0.5").zips == ({"temperature": (1.0, 2.0)},)
    assert load(tmp_path, EVERYTHING, "lr=0.5", "temperature=3").zips == ()


def test_an_override_reaches_every_key(tmp_path: Path) -> None:
    changes = [
        "name=y",
        "fixed.width=31",
        "axes.method=[kd]",
        "seeds.data=3",
        "resources={cpu: 4}",
        "except=[]",
        "when=",
        "zip=",
    ]
    sweep = load(tmp_path, EVERYTHING, *changes)
    assert (sweep.name, sweep.fixed, sweep.axes) == ("y", {"width": 31}, {"method": ("kd",)})
    assert sweep.seeds == {"teacher": 2, "data": 3, "init": 4}
    assert (sweep.resources, sweep.excludes, sweep.when, sweep.zips) == (Resources(cpu=4), (), (), ())
    assert load(tmp_path, PLAIN, "axes.lr={logspace: [1e-3, 1e-1, 3]}").axes == {"lr": (1e-3, 1e-2, 1e-1)}
    assert load(tmp_path, PLAIN, "seeds=2", "seeds=5").seeds == 5
    assert load(tmp_path, EVERYTHING, "fixed=", " width = 3 ").fixed == {"width": 3}
    assert load(tmp_path, PLAIN, "note=a=b").fixed == {"note": "a=b"}


COLUMNS = {
    "width": "BIGINT",
    "lr": "DOUBLE",
    "layer": "VARCHAR",
    "nesterov": "BOOLEAN",
    "started_at": "TIMESTAMP WITH TIME ZONE",
}


@pytest.mark.parametrize(
    "condition",
    [
        "width < 3",
        "nesterov",
        "NOT nesterov OR width BETWEEN 2 AND 3",
        "layer IN ('spectral', 'direct') AND layer NOT LIKE 'x%'",
        "LAYER = 'it''s' -- a comment",
        "/* a comment */ lr = 1e-3",
        "abs(lr - 0.1) < 1e-9",
        "width % 2 = 0 AND width / 3 > 1 AND -width < 2 ^ 3",
        "lr IS NOT NULL AND coalesce(lr, 1) > 0",
        "CASE WHEN nesterov THEN lr > 1 ELSE lr > 2 END",
        "CAST(width AS VARCHAR) = '3' AND lr::BIGINT = 1",
        "TRY_CAST(layer AS BIGINT) = 3",
        "layer ~ '^spec' AND starts_with(lower(layer), 's')",
        '"width" = 3',
        "started_at > '2026-01-01'",
        "width % (width - 1) = 0",
        "true",
    ],
)
def test_a_condition_is_any_boolean_expression_over_the_columns(condition: str) -> None:
    assert conditions.check(condition, COLUMNS) is None


@pytest.mark.parametrize(
    "condition",
    [
        "read_csv('/etc/passwd') IS NULL",
        "glob('*') = 'x'",
        "width = (SELECT 1)",
        "width IN (FROM '/etc/passwd')",
        "EXISTS (SELECT * FROM read_text('/etc/passwd'))",
        "getenv('HOME') = 'x'",
        "width < 3; COPY trials TO 'x.csv'",
        "width < 3) OR (width > 1",
        "1) UNION ALL SELECT (1",
        "width < 3 /*",
        "current_setting('threads') = '1'",
        "query('SELECT 1') = 1",
        "count(*) > 0",
        "sum(width) > 0",
        "max(width) OVER () > 0",
        "error('x')",
        "width[1] = 1",
        "sample.width = 1",
        "rowid = 1",
        "random() < 0.5",
        "now() > started_at",
        "not " * 3000 + "true",
        "(" * 2000 + "true" + ")" * 2000,
        "true AND " * 2000 + "true",
    ],
)
def test_a_condition_reaches_nothing_but_its_columns(condition: str) -> None:
    assert conditions.check(condition, COLUMNS)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=30) | st.text(st.sampled_from("width lr()'\"<>=;-*/,.1?$[]{}:|&~"), max_size=25))
def test_what_is_accepted_as_a_condition_can_be_counted_with(text: str) -> None:
    if conditions.check(text, COLUMNS) is None:
        with duckdb.connect() as connection:
            connection.execute(
                "CREATE TABLE t (width BIGINT, lr DOUBLE, layer VARCHAR, nesterov BOOLEAN, started_at TIMESTAMPTZ)"
            )
            assert connection.execute(f"SELECT count(*) FROM t WHERE {conditions.embedded(text)}").fetchall() == [(0,)]


def test_where_is_checked_against_the_table_at_hand() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE rows AS SELECT 3 AS width, 'done' AS state, now() AS started_at")
        condition = conditions.checked("state = 'done' -- all", connection, "rows")
        assert connection.execute(f"SELECT width FROM rows WHERE {condition}").fetchall() == [(3,)]
        with pytest.raises(UserError, match=r"--where: `stat = 'done'` uses `stat`, .*\nDid you mean `state`\?"):
            conditions.checked("stat = 'done'", connection, "rows")


def test_problems_travel_between_processes(tmp_path: Path) -> None:
    import pickle

    with pytest.raises(SweepFileError) as caught:
        load(tmp_path, PLAIN + "seeds: 0")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_reading_and_expanding_a_sweep_loads_neither_torch_nor_ray_nor_pandas(tmp_path: Path) -> None:
    text = "name: x\nstudy: distill\naxes: {method: [none, kd], student_width: {range: [1, 51, 1]}}\nseeds: 10\n"
    (tmp_path / "sweep.yaml").write_text(text)
    program = (
        "import sys, pathlib, duckdb; from tsd.sweep import grid, spec\n"
        "found = grid.expand(spec.load(pathlib.Path('sweep.yaml')), duckdb.connect())\n"
        "assert found.total == 1000, found.total\n"
        "print(*{'torch', 'ray', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("\n", "")
