"""The algebra of grids, checked against a second implementation that crosses Python lists."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import STUDIES, load
from sweep_fakes.methods import METHODS

from tsd.engine.rng import STREAMS
from tsd.errors import UserError
from tsd.sweep import grid
from tsd.sweep.grid import Grid

PLAIN = "name: x\nstudy: plain\n"
Trial = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A condition twice: for DuckDB and for Python."""

    sql: str
    holds: Callable[[Trial], bool]


def expand(folder: Path, text: str, where: str | None = None) -> tuple[Grid, list[Trial]]:
    """The grid of a file and its trials, each with its values by column."""
    with duckdb.connect() as connection:
        found = grid.expand(load(folder, text), connection, where)
        result = connection.execute("SELECT * FROM trials")
        assert [column[0] for column in result.description or []] == list(found.columns)
        return found, [dict(zip(found.columns, row, strict=True)) for row in result.fetchall()]


def identities(folder: Path, text: str) -> set[str]:
    found, trials = expand(folder, text)
    assert len({trial["trial_id"] for trial in trials}) == len(trials) == found.total
    return {trial["trial_id"] for trial in trials}


# --- the second implementation ---------------------------------------------------------------------------------------


def identity(study: str, values: Trial, defaults: Trial) -> str:
    """The definition of a trial's identity, word for word."""
    fields = {name: value for name, value in values.items() if name in defaults and value != defaults[name]}
    seeds = {stream: values[f"seed_{stream}"] for stream in STREAMS}
    canonical = {"fields": fields, "seeds": seeds, "study": study, "version": STUDIES.load(study).VERSION}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass
class Asked:
    """A sweep in Python's own terms."""

    study: str = "school"
    fixed: Trial = field(default_factory=dict)
    groups: list[dict[str, list[Any]]] = field(default_factory=list)
    when: list[tuple[Rule, dict[str, list[Any]]]] = field(default_factory=list)
    excludes: list[Rule] = field(default_factory=list)
    seeds: int | dict[str, int] = 1

    def yaml(self) -> str:
        """The file that asks for it. JSON is YAML."""
        sections: dict[str, Any] = {
            "name": "x",
            "study": self.study,
            "fixed": self.fixed,
            "axes": {name: group[name] for group in self.groups if len(group) == 1 for name in group},
            "zip": [group for group in self.groups if len(group) > 1],
            "when": [{"if": rule.sql, "axes": axes} for rule, axes in self.when],
            "except": [rule.sql for rule in self.excludes],
            "seeds": self.seeds,
        }
        return "\n".join(f"{key}: {json.dumps(value)}" for key, value in sections.items())

    def fields_of(self, trial: Trial) -> Trial:
        """Defaults of the fields that this trial has."""
        module: ModuleType = STUDIES.load(self.study)
        declared = dict(module.Trial.fields())
        if "method" in trial:
            declared |= METHODS.load(trial["method"]).Method.fields()
        return {name: one.parse(one.default) for name, one in declared.items()}

    def seeded(self) -> Iterator[dict[str, int]]:
        if isinstance(self.seeds, int):
            yield from ({f"seed_{stream}": index for stream in STREAMS} for index in range(self.seeds))
        else:
            for indices in product(*map(range, self.seeds.values())):
                given = dict(zip(self.seeds, indices, strict=True))
                yield {f"seed_{stream}": given.get(stream, 0) for stream in STREAMS}

    def crossed(self) -> list[Trial]:
        """Axes × zips × seeds, each point with the fields that it has; equal ones come once."""
        trials = {}
        for rows in product(*(range(len(next(iter(group.values())))) for group in self.groups)):
            pairs = zip(self.groups, rows, strict=True)
            chosen = {name: values[row] for group, row in pairs for name, values in group.items()}
            method = {"method": chosen.get("method", self.fixed.get("method", "kd"))} if self.study == "school" else {}
            for seeds in self.seeded():
                defaults = self.fields_of(method)
                trial = {name: chosen.get(name, self.fixed.get(name, defaults[name])) for name in defaults} | seeds
                trials[tuple(trial.items())] = trial
        return list(trials.values())

    def ruled(self, trials: list[Trial]) -> list[Trial]:
        """With the axes of each rule of `when` where its condition holds."""
        for rule, axes in self.when:
            grown = []
            for trial in trials:
                own = {name: values for name, values in axes.items() if name in trial and rule.holds(trial)}
                grown += [trial | dict(zip(own, values, strict=True)) for values in product(*own.values())]
            trials = grown
        return trials

    def expected(self) -> tuple[dict[str, Trial], list[int]]:
        """Trials by identity, and what each `except` removed."""
        trials, removed = self.ruled(self.crossed()), []
        for rule in self.excludes:
            kept = [trial for trial in trials if not rule.holds(trial)]
            removed.append(len(trials) - len(kept))
            trials = kept
        return {identity(self.study, trial, self.fields_of(trial)): trial for trial in trials}, removed


RULES = [
    Rule("width < 15", lambda t: t["width"] < 15),
    Rule("method = 'kd' AND lr > 0.01", lambda t: t["method"] == "kd" and t["lr"] > 0.01),
    Rule("temperature > 1.5", lambda t: "temperature" in t and t["temperature"] > 1.5),
    Rule("NOT (temperature > 1.5)", lambda t: "temperature" in t and not t["temperature"] > 1.5),
    Rule("soft_weight = 0.5 OR seed_init = 1", lambda t: t.get("soft_weight") == 0.5 or t["seed_init"] == 1),
    Rule("temperature IS NULL", lambda t: "temperature" not in t),
    Rule(
        "seed_teacher = seed_data AND width >= 15", lambda t: t["seed_teacher"] == t["seed_data"] and t["width"] >= 15
    ),
]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "width": st.integers(10, 20),
    "lr": st.sampled_from([5e-3, 1e-5, 0.1, 1.0]),
    "temperature": st.sampled_from([1.0, 2.0, 4.0]),
    "soft_weight": st.sampled_from([0.0, 0.5, 0.9]),
}


@st.composite
def sweeps(draw: st.DrawFn) -> Asked:
    """A sweep of the study `school` in which the members differ in their fields."""
    methods = ["kd", *draw(st.lists(st.sampled_from(["none", "hints"]), unique=True))]
    names = draw(st.permutations(["method", *VALUES]))[: draw(st.integers(1, 4))]
    groups: list[dict[str, list[Any]]] = []
    while names:
        taken = [names.pop() for _ in range(min(len(names), draw(st.integers(1, 3))))]
        size = len(methods) if "method" in taken else draw(st.integers(1, 3))
        columns = {name: st.lists(VALUES[name], min_size=size, max_size=size) for name in taken if name != "method"}
        group = {name: draw(column) for name, column in columns.items()} | (
            {"method": methods} if "method" in taken else {}
        )
        rows = dict.fromkeys(zip(*group.values(), strict=True))
        groups.append({name: list(values) for name, values in zip(group, zip(*rows, strict=True), strict=True)})
    used = {name for group in groups for name in group}
    free = [name for name in VALUES if name not in used]
    fixed = (
        {name: draw(VALUES[name]) for name in draw(st.lists(st.sampled_from(free), unique=True)) if free}
        if free
        else {}
    )
    when = []
    if free and draw(st.booleans()):
        axes = {name: draw(st.lists(VALUES[name], min_size=1, max_size=2, unique=True)) for name in free[:2]}
        when = [(draw(st.sampled_from(RULES)), axes)]
    streams = st.dictionaries(st.sampled_from(STREAMS), st.integers(1, 2), min_size=1)
    excludes = draw(st.lists(st.sampled_from(RULES[:5]), max_size=2))
    return Asked("school", fixed, groups, when, excludes, draw(st.integers(1, 3) | streams))


@settings(deadline=None, max_examples=100)
@given(asked=sweeps())
def test_sql_and_python_make_the_same_trials(tmp_path_factory: pytest.TempPathFactory, asked: Asked) -> None:
    """Axes, zip, when, except, seeds and parts; the identity of each trial, its values, and every count."""
    expected, removed = asked.expected()
    folder = tmp_path_factory.getbasetemp()
    if not expected:
        with pytest.raises(UserError, match="No trial is left"):
            expand(folder, asked.yaml())
        return
    found, trials = expand(folder, asked.yaml())
    empty = dict.fromkeys(found.columns)
    assert {t["trial_id"]: t for t in trials} == {
        key: empty | {"trial_id": key, "origin": "grid"} | trial for key, trial in expected.items()
    }
    assert found.total == len(trials) == len(expected)
    assert [count for _, count in found.excluded] == removed
    every = 1
    for _, count in found.axes:
        every *= count
    assert every - found.merged + found.added - sum(removed) == found.total


FLOATS = [1e-05, 0.1, 1e22, 5e-324, 1e16, 123456789012345680.0, 2.5e-08, 1.7976931348623157e308, -1e-300, 3.0, 0.0]


def test_floats_keep_every_digit_in_the_identity(tmp_path: Path) -> None:
    asked = Asked("plain", groups=[{"shift": FLOATS}])
    assert identities(tmp_path, asked.yaml()) == set(asked.expected()[0])


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=6, unique=True
    ),
    numbers=st.lists(
        st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0), min_size=1, max_size=6, unique=True
    ),
    whole=st.lists(st.integers(1, 2**63 - 1), min_size=1, max_size=6, unique=True),
)
def test_any_text_and_any_number_is_identified_as_python_would(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], numbers: list[float], whole: list[int]
) -> None:
    asked = Asked("plain", groups=[{"note": texts}, {"shift": numbers}, {"width": whole}, {"nesterov": [True, False]}])
    escaped = ", ".join('"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"' for text in texts)
    folder = tmp_path_factory.getbasetemp()
    written = f"{PLAIN}axes: {{note: [{escaped}], shift: {numbers}, width: {whole}, nesterov: [true, false]}}"
    assert identities(folder, written) == set(asked.expected()[0])


def test_quotes_and_backslashes_are_identified_as_python_would(tmp_path: Path) -> None:
    for note in ("it's", 'say "so"', "back\\slash", "tab\tnew\nline", "λ→φ 😀", "{}", "'; DROP TABLE trials; --"):
        asked = Asked("plain", fixed={"note": note}, groups=[{"width": [1, 2]}])
        written = f"{PLAIN}axes: {{width: [1, 2]}}\nfixed: {{note: {json.dumps(note, ensure_ascii=False)}}}"
        assert identities(tmp_path, written) == set(asked.expected()[0])


BASE = """\
name: base
study: plain
fixed: {teacher_width: 10}
axes:
  width: [10, 20, 30]
  lr: [0.1, 0.2]
seeds: {teacher: 2, init: 3}
"""


@pytest.mark.parametrize(
    "same",
    [
        "seeds: {init: 3, teacher: 2}\naxes:\n  lr: [0.2, 0.1]\n  width: [30, 10, 20]\nfixed: {teacher_width: 10}\n"
        "study: plain\nname: another_name\n",
        BASE + "# a comment\nresources: {cpu: 2}\n",
        BASE + "zip:\n",
        BASE.replace("fixed: {teacher_width: 10}", "fixed: {teacher_width: 10.0, layer: spectral, l2: 0}"),
        BASE.replace("  lr: [0.1, 0.2]\n", "  lr: {range: [0.1, 0.3, 0.1]}\n  teacher_width: [10]\n").replace(
            "fixed: {teacher_width: 10}\n", ""
        ),
        BASE.replace("  lr: [0.1, 0.2]\n", "") + "zip: [{lr: [0.1, 0.2]}]\n",
        BASE.replace("  lr: [0.1, 0.2]\n", "") + "when: [{if: 'true', axes: {lr: [0.1, 0.2]}}]\n",
    ],
    ids=["order_and_name", "comment", "empty_section", "defaults_spelt_out", "another_spelling", "zip", "when"],
)
def test_how_a_sweep_is_written_changes_no_identity(tmp_path: Path, same: str) -> None:
    assert identities(tmp_path, same) == identities(tmp_path, BASE)


def test_a_new_value_of_an_axis_changes_no_identity(tmp_path: Path) -> None:
    assert identities(tmp_path, BASE) < identities(tmp_path, BASE.replace("[10, 20, 30]", "[10, 15, 20, 25, 30]"))
    assert identities(tmp_path, BASE) < identities(tmp_path, BASE.replace("init: 3", "init: 5"))
    assert identities(tmp_path, BASE) < identities(tmp_path, BASE + "zip: [{l2: [0, 1], shift: [1, 2]}]\n")


def test_a_new_field_with_a_neutral_default_changes_no_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep_fakes.studies import plain

    from tsd.fields import Batched
    from tsd.fields import field as declare

    before = identities(tmp_path, BASE)

    class Trial(plain.Trial):
        added: Batched[float] = declare(0.5, doc="New.")

    monkeypatch.setattr(plain, "Trial", Trial)
    found, trials = expand(tmp_path, BASE)
    assert "added" in found.columns
    assert {trial["trial_id"] for trial in trials} == before


def test_a_new_version_of_the_study_changes_every_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identities(tmp_path, BASE)
    monkeypatch.setattr("sweep_fakes.studies.plain.VERSION", 4)
    assert not before & identities(tmp_path, BASE)


def test_zip_counts_as_one_axis(tmp_path: Path) -> None:
    found, trials = expand(tmp_path, PLAIN + "axes: {width: [1, 2]}\nzip: [{lr: [1, 2, 3], l2: [4, 5, 6]}]\n")
    assert found.axes == (("width", 2), ("lr·l2", 3))
    assert {(t["lr"], t["l2"]) for t in trials} == {(1, 4), (2, 5), (3, 6)}
    assert found.total == 6


def test_except_removes_the_trials_in_which_the_condition_is_true_and_not_those_in_which_it_is_null(
    tmp_path: Path,
) -> None:
    text = "name: x\nstudy: school\naxes: {method: [none, kd], temperature: [1, 2]}\nexcept: ['temperature > 1']\n"
    found, trials = expand(tmp_path, text)
    assert {(t["method"], t["temperature"]) for t in trials} == {("none", None), ("kd", 1.0)}
    assert found.excluded == (("temperature > 1", 1),)


def test_trials_that_differ_only_in_fields_that_they_lack_count_once(tmp_path: Path) -> None:
    text = (
        "name: x\nstudy: school\naxes: {method: [none, kd, hints], temperature: [1, 2, 4], lr: [0.1, 0.2]}\nseeds: 5\n"
    )
    found, trials = expand(tmp_path, text)
    assert found.merged == 2 * 2 * 5
    assert found.total == (1 + 3 + 3) * 2 * 5 == len(trials)
    assert {t["beta"] for t in trials if t["method"] == "kd"} == {None}
    assert {t["beta"] for t in trials if t["method"] == "hints"} == {1.0}


def test_each_member_has_its_own_default(tmp_path: Path) -> None:
    """4.0 is the default of kd and 2.0 that of hints: only what differs from it enters the identity."""
    _, trials = expand(tmp_path, "name: x\nstudy: school\naxes: {method: [kd, hints]}\n")
    assert {t["method"]: t["temperature"] for t in trials} == {"kd": 4.0, "hints": 2.0}
    both = "name: x\nstudy: school\naxes: {method: [kd, hints]}\nfixed: {temperature: 4}\n"
    plain = identities(tmp_path, "name: x\nstudy: school\naxes: {method: [kd, hints]}\n")
    assert len(identities(tmp_path, both) & plain) == 1


def test_a_rule_of_when_sees_what_earlier_rules_have_set(tmp_path: Path) -> None:
    text = PLAIN + (
        "axes: {layer: [spectral, direct]}\nfixed: {l2: 3}\nwhen:\n"
        "  - {if: \"layer = 'spectral'\", axes: {l2: [1, 2]}}\n"
        '  - {if: "l2 = 2", axes: {lr: [0.1, 0.2], shift: [7, 8]}}\n'
    )
    found, trials = expand(tmp_path, text)
    rest = {("direct", 3.0, 5e-3, 1.0), ("spectral", 1.0, 5e-3, 1.0)}
    assert {(t["layer"], t["l2"], t["lr"], t["shift"]) for t in trials} == rest | {
        ("spectral", 2.0, lr, shift) for lr in (0.1, 0.2) for shift in (7.0, 8.0)
    }
    assert (found.total, found.added) == (6, 4)


def test_rules_that_exclude_one_another_may_set_the_same_field(tmp_path: Path) -> None:
    text = PLAIN + (
        "axes: {width: [1, 2, 3]}\nwhen:\n"
        "  - {if: width = 1, axes: {lr: [0.1, 0.2]}}\n"
        "  - {if: width = 2, axes: {lr: [0.3, 0.4, 0.5]}}\n"
    )
    _, trials = expand(tmp_path, text)
    assert sorted((t["width"], t["lr"]) for t in trials) == [
        (1, 0.1), (1, 0.2), (2, 0.3), (2, 0.4), (2, 0.5), (3, 5e-3)
    ]  # fmt: skip


def test_seeds_count_together_or_by_stream(tmp_path: Path) -> None:
    together, trials = expand(tmp_path, PLAIN + "seeds: 3\n")
    assert together.axes == (("seeds", 3),)
    assert {tuple(t[f"seed_{s}"] for s in STREAMS) for t in trials} == {(i, i, i, i) for i in range(3)}
    by_stream, trials = expand(tmp_path, PLAIN + "seeds: {init: 3, data: 2}\n")
    assert by_stream.axes == (("data seeds", 2), ("init seeds", 3))
    assert {tuple(t[f"seed_{s}"] for s in STREAMS) for t in trials} == {
        (0, d, i, 0) for d in range(2) for i in range(3)
    }


def test_rules_that_do_nothing_are_told(tmp_path: Path) -> None:
    text = PLAIN + 'except: ["width > 99"]\nwhen: [{if: "width > 99", axes: {lr: [1, 2]}}]\n'
    found, _ = expand(tmp_path, text)
    assert found.warnings == ("`when` width > 99 holds in no trial", "`except` width > 99 removes no trial")


def test_the_columns_have_the_types_of_the_fields(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        grid.expand(load(tmp_path, BASE), connection)
        rows = connection.execute("DESCRIBE trials").fetchall()
    assert [(name, kind) for name, kind, *_ in rows] == [
        ("trial_id", "VARCHAR"),
        ("origin", "VARCHAR"),
        ("width", "BIGINT"),
        ("teacher_width", "BIGINT"),
        ("layer", "VARCHAR"),
        ("lr", "DOUBLE"),
        ("l2", "DOUBLE"),
        ("shift", "DOUBLE"),
        ("nesterov", "BOOLEAN"),
        ("note", "VARCHAR"),
        *((f"seed_{stream}", "BIGINT") for stream in STREAMS),
    ]


def test_where_keeps_the_trials_for_which_it_holds(tmp_path: Path) -> None:
    found, trials = expand(tmp_path, BASE, "width > 10 AND seed_init = 0")
    assert found.total == len(trials) == 2 * 2 * 2
    assert found.excluded == (("not in --where", 28),)
    one = trials[0]["trial_id"]
    assert expand(tmp_path, BASE, f"trial_id = '{one}'")[1] == [trials[0]]
    with pytest.raises(UserError, match="--where: `width > 99` holds for none of the 36 trials"):
        expand(tmp_path, BASE, "width > 99")
    with pytest.raises(UserError, match="--where: `widht > 99` uses `widht`"):
        expand(tmp_path, BASE, "widht > 99")


def test_a_grid_leaves_nothing_but_its_table(tmp_path: Path) -> None:
    sweep = load(tmp_path, BASE)
    with duckdb.connect() as connection:
        for _ in range(2):
            assert grid.expand(sweep, connection).total == 36
            assert connection.execute("SHOW TABLES").fetchall() == [("trials",)]


def test_a_workspace_vanishes_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sweep = load(tmp_path, PLAIN + "seeds: 100000\n")
    with grid.workspace() as connection:
        assert grid.expand(sweep, connection).total == 100_000
        assert list(tmp_path.glob("tsd-*"))
    assert not list(tmp_path.glob("tsd-*"))


def test_too_little_room_is_told_in_words(tmp_path: Path) -> None:
    sweep = load(tmp_path, PLAIN + "axes: {note: [a, b]}\nseeds: 100000\n")
    config: dict[str, Any] = {"memory_limit": "10MB", "threads": 1, "temp_directory": ""}
    with (
        duckdb.connect(config=config) as connection,
        pytest.raises(UserError, match="There is no room for a table of 200,000 trials"),
    ):
        grid.expand(sweep, connection)
