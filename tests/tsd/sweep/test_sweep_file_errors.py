"""Every message that a wrong sweep file can get, word for word; and that nothing but such a message ever comes out."""

import time
from pathlib import Path
from textwrap import dedent

import duckdb
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweep_fakes import STUDIES
from syrupy.assertion import SnapshotAssertion

from tsd.errors import UserError
from tsd.sweep import grid, spec
from tsd.sweep._points import Points
from tsd.sweep.problems import SweepFileError

GOOD = """\
name: good
study: school
fixed: {width: 30}
axes:
  method: [none, kd]
  lr: {logspace: [1e-3, 1e-1, 3]}
zip:
  - {temperature: [1, 2], soft_weight: [0.5, 0.9]}
except: ["lr > 0.05 AND method = 'none'"]
seeds: {teacher: 2, init: 2}
resources: {cpu: 1, gpu: 0}
"""

FILES = {
    "empty": "# nothing but a comment\n",
    "not_a_mapping": "- name: x\n- study: plain\n",
    "only_a_word": "plain\n",
    "missing_name_and_study": "axes: {lr: [1, 2]}\n",
    "repeated_keys": """
        name: x
        study: plain
        fixed: {lr: 1, lr: 2}
        axes:
          width: [1, 2]
          width: [3, 4]
        """,
    "unknown_top_level_keys": """
        name: x
        study: plain
        axis: {lr: [1, 2]}
        width: 30
        colour: red
        """,
    "misnamed_keys_and_what_stands_below_them": """
        Name: x
        study: plain
        fixxed: {widht: 30}
        axess:
          lr: [a, 2]
        zips: [{shift: [1, 2], l2: [1]}]
        whenn: [{iff: "widht > 3", axis: {note: 3}}]
        exceptt: ["widht < 3"]
        sedes: {inti: 0}
        """,
    "names_that_are_nearly_right": """
        name: x
        study: scool
        fixed: {method: kdd, temprature: 3, soft_weight: 7}
        """,
    "unknown_study": """
        name: x
        study: plane
        fixed: {anything: 1}
        axes: {lr: [], width: 3}
        """,
    "study_of_a_wrong_type": "name: x\nstudy: [plain]\n",
    "unknown_method": """
        name: x
        study: school
        axes: {method: [none, kdd], temperature: [1, 2]}
        """,
    "method_of_a_wrong_type": """
        name: x
        study: school
        fixed: {method: {kd: 1}, lr: -1}
        """,
    "unknown_field": """
        name: x
        study: plain
        fixed: {widht: 30}
        axes: {temprature: [1, 2]}
        """,
    "unknown_field_with_methods": """
        name: x
        study: school
        axes:
          method: [none, kd]
          temprature: [1, 2]
        fixed: {zzz: 1}
        """,
    "field_of_a_method_that_is_not_named": """
        name: x
        study: school
        fixed: {method: none, temperature: 4}
        """,
    "value_that_only_one_method_takes": """
        name: x
        study: school
        axes: {method: [hints, kd], temperature: [0.5, 2]}
        """,
    "wrong_types": """
        name: x
        study: plain
        fixed:
          width: wide
          teacher_width: 2.5
          layer: 3
          lr: [0.1, 0.2]
          l2: {value: 1}
          nesterov: yes
          shift:
          note: 7
        """,
    "separators_in_numbers": "name: x\nstudy: plain\nfixed: {width: 20_000}\n",
    "out_of_range": """
        name: x
        study: plain
        fixed: {width: 0, lr: 0, l2: -1e-9, layer: spektral, teacher_width: 99999999999999999999}
        axes: {shift: [1, .inf, -.INF, .nan, 1e999]}
        """,
    "numbers_beyond_all_floats": f"""
        name: x
        study: plain
        fixed: {{shift: 0x{"f" * 290}, width: {"9" * 290}}}
        axes: {{lr: {{linspace: [1, 0o{"7" * 290}, 3]}}, l2: [1, 0x{"f" * 198}], teacher_width: [1, {"9" * 5000}]}}
        seeds: 0x{"f" * 290}
        resources: {{cpu: 0x{"f" * 290}}}
        """,
    "true_is_no_number": "name: x\nstudy: plain\nfixed: {lr: true, width: false, nesterov: 1}\n",
    "axes_that_are_no_lists": """
        name: x
        study: plain
        axes:
          lr: 0.1
          width: []
          l2:
          shift: {from: 1, to: 3}
          layer: spectral
        """,
    "axes_section_that_is_a_list": "name: x\nstudy: plain\naxes: [lr, width]\n",
    "repeated_values": """
        name: x
        study: plain
        axes:
          lr: [0.1, 1e-1]
          width: [10, 20, 10.0]
          shift: {linspace: [1, 1, 3]}
        """,
    "lists_within_lists": "name: x\nstudy: plain\naxes: {lr: [[0.1, 0.2], 0.3]}\n",
    "given_twice": """
        name: x
        study: plain
        fixed: {lr: 0.1}
        axes: {lr: [0.1, 0.2], width: [1, 2]}
        zip:
          - {width: [1, 2], shift: [1, 2]}
          - {shift: [3, 4], l2: [1, 2]}
        when:
          - if: "width > 1"
            axes: {l2: [1, 2], lr: [0.3, 0.4]}
        """,
    "zip": """
        name: x
        study: plain
        zip:
          - {lr: [0.1, 0.2], width: [1, 2, 3]}
          - {}
          - [shift]
          - {shift: [1, 2, 1], l2: [1, 2, 1]}
        """,
    "zip_that_is_a_mapping": "name: x\nstudy: plain\nzip: {lr: [0.1, 0.2], width: [1, 2]}\n",
    "rules_for_values": """
        name: x
        study: plain
        axes:
          lr: {logspace: [0, 1, 5]}
          l2: {logspace: [1, -1, 5]}
          shift: {linspace: [0, 1]}
          width: {linspace: [0, 1, 2.5]}
          teacher_width: {range: [0, 10, 0]}
          note: {linspase: [0, 1, 3]}
          layer: {linspace: [0, 1, 3]}
          nesterov: {linspace: [0, 1, 2], range: [0, 1, 1]}
        """,
    "more_rules_for_values": """
        name: x
        study: plain
        axes:
          lr: {linspace: [0, 1, 3]}
          l2: {range: [0, -1, 0.1]}
          shift: {range: [0, 1e9, 1]}
          width: {logspace: [10, 1000, 5]}
          teacher_width: {linspace: [1, 2, 0]}
          note: {linspace: [0, .nan, 3]}
          layer: {linspace: [a, true, []]}
          nesterov: {linspace: [0, 1, 1e9]}
        """,
    "conditions": """
        name: x
        study: plain
        axes: {width: [10, 20]}
        except:
          - "widht < 3"
          - "width"
          - "layer = 'spectral"
          - 'layer = "spectral"'
          - "layer = 3"
          - "width < 3; DROP TABLE trials"
          - "width < 3) OR (lr > 1"
          - "width < 3 ORDER BY lr"
          - "width IN (SELECT width FROM trials)"
          - "EXISTS (FROM 'secrets.csv')"
          - "read_csv('secrets.csv') IS NULL"
          - "length(getenv('HOME')) > 0"
          - "sum(width) > 3"
          - "row_number() OVER () > 3"
          - "flor(lr) = 1"
          - "COLUMNS(*) > 3"
          - "width = ?"
          - "list_filter([1], x -> x > width)"
          - "NULL"
          - "true AND"
          - ""
          - 3
          - {if: "width < 3"}
        """,
    "except_that_is_text": "name: x\nstudy: plain\nexcept: width < 3\n",
    "when": """
        name: x
        study: school
        when:
          - if: "width < 3"
          - axes: {lr: [1, 2]}
          - if: true
            axes: {lr: [1, 2]}
          - if: "width > 3"
            axes:
          - if: "width > 3"
            axes: {method: [kd, none]}
          - iff: "width > 3"
            axes: {lr: [1, 1], temprature: [3, 4]}
          - width > 3
        """,
    "seeds": "name: x\nstudy: plain\nseeds: {teacher: 0, dta: 3, init: 2.5, noise: many}\n",
    "seeds_below_one": "name: x\nstudy: plain\nseeds: 0\n",
    "seeds_that_are_a_list": "name: x\nstudy: plain\nseeds: [1, 2]\n",
    "seeds_of_no_stream": "name: x\nstudy: plain\nseeds: {}\n",
    "resources": "name: x\nstudy: plain\nresources: {cpus: 2, cpu: 0, gpu: 1.5}\n",
    "resources_of_wrong_types": "name: x\nstudy: plain\nresources: {cpu: many, gpu: -1}\n",
    "resources_that_are_a_number": "name: x\nstudy: plain\nresources: 4\n",
    "name_that_is_a_path": "name: ../../etc/passwd\nstudy: plain\n",
    "name_that_is_a_number": "name: 2024\nstudy: plain\n",
    "name_that_is_hidden": "name: .hidden\nstudy: plain\n",
    "too_many_trials": """
        name: x
        study: plain
        axes:
          lr: {linspace: [1, 2, 10000]}
          shift: {linspace: [1, 2, 10000]}
        seeds: 2
        """,
    "far_too_many_trials": "name: x\nstudy: plain\nseeds: {teacher: 1e9, data: 1e9, init: 1e9, noise: 1e9}\n",
    "too_many_values": "name: x\nstudy: plain\naxes: {lr: {logspace: [1, 2, 1e6]}}\n",
    "yaml_bracket": "name: x\nstudy: plain\naxes: {lr: [1, 2\n",
    "yaml_quote": 'name: x\nexcept: ["lr > 1]\n',
    "yaml_tab": "name: x\naxes:\n\tlr: [1, 2]\n",
    "yaml_colon": "name: x\nstudy: plain: yes\n",
    "yaml_indentation": "name: x\n  study: plain\n",
    "yaml_no_colon": "name: x\nstudy\nfixed: {}\n",
    "yaml_no_space_behind_a_colon": "name: x\nstudy: plain\nfixed: {width:3, lr: 1}\nseeds: {init:2}\n",
    "yaml_two_documents": "name: x\n---\nname: y\n",
    "yaml_alias": "name: x\nstudy: *plain\n",
    "yaml_control_character": "name: x\nstudy: pl\x01ain\n",
    "yaml_escape": 'name: x\nstudy: "\\U99999999"\n',
    "yaml_directive": "%YAML 1" + "0" * 5000 + ".1\n---\nname: x\n",
    "yaml_tags": """
        name: !!python/object/apply:os.system [id]
        study: plain
        fixed: {lr: !!float 0.1, width: !!int many, note: !!binary aGk=, layer: !custom x}
        """,
    "yaml_keys": "name: x\nstudy: plain\n? [a, b]\n: c\n",
    "yaml_merge_of_a_number": "name: x\nstudy: plain\nfixed: {<<: 3}\n",
    "yaml_text_that_no_database_holds": 'name: x\nstudy: plain\nfixed: {note: "a\\0b\\ud800"}\n',
    "yaml_too_deep": "name: x\nfixed: " + "[" * 60 + "]" * 60 + "\n",
    "yaml_far_too_deep": "name: x\nfixed: " + "[" * 5000 + "]" * 5000 + "\n",
    "yaml_aliases_that_add_up_to_a_depth": "".join(
        f"a{i}: &a{i} {'[' * 30}{f'*a{i - 1}' if i else '1'}{']' * 30}\n" for i in range(100)
    ),
    "yaml_that_contains_itself": "name: x\nfixed: &loop\n  lr: *loop\n",
}


def refused(text: str | bytes, *overrides: str) -> str:
    """What is said of a file `sweep.yaml` with this text in the current folder."""
    file = Path("sweep.yaml")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SweepFileError) as caught:
        spec.load(file, overrides, STUDIES)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_file_is_told_what_is_wrong_where_and_what_would_be_right(
    name: str, snapshot: SnapshotAssertion
) -> None:
    assert refused(dedent(FILES[name])) == snapshot


OVERRIDES = {
    "type": ["lr=fast"],
    "no_value": ["lr"],
    "no_key": ["=3"],
    "empty_key": ["axes..lr=3"],
    "no_yaml": ["lr=[1,"],
    "unknown_field": ["widht=3"],
    "unknown_fixed_field": ["fixed.widht=3"],
    "unknown_key": ["sedes=3"],
    "unknown_stream": ["seeds.inti=3"],
    "unknown_section": ["axis.lr=[1, 2]"],
    "no_such_word": ["a b=c\nd"],
    "repeated_value": ["axes.lr=[1, 1]"],
    "fixed_beside_an_axis": ["fixed.lr=0.1"],
    "into_a_number": ["seeds.init.x=3"],
    "several": ["name=a/b", "study=plane", "resources.cpu=-1"],
    "condition": ["except=['lr <']"],
    "repeated_key": ["width={a: 1, a: 2}"],
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_wrong_override_is_told_by_the_words_in_which_it_was_given(name: str, snapshot: SnapshotAssertion) -> None:
    assert refused(GOOD, *OVERRIDES[name]) == snapshot


def test_a_file_that_is_not_there_gets_the_name_of_one_that_is(snapshot: SnapshotAssertion) -> None:
    Path("quickstart.yaml").write_text(GOOD)
    with pytest.raises(SweepFileError) as caught:
        spec.load(Path("quikstart.yaml"), (), STUDIES)
    assert str(caught.value) == snapshot


@pytest.mark.parametrize(
    "path", [".", "no/such/folder.yaml", "nul\0.yaml", "long" * 100], ids=["dir", "none", "nul", "long"]
)
def test_a_path_that_is_no_file_is_told_so(path: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(SweepFileError) as caught:
        spec.load(Path(path), (), STUDIES)
    assert str(caught.value) == snapshot


def test_bytes_that_are_no_text_are_told_their_place(snapshot: SnapshotAssertion) -> None:
    assert refused("name: é\n".encode("latin-1") + b"study: plain\n") == snapshot
    assert refused("name: x\n".encode("utf-16")) == snapshot


def test_a_file_of_megabytes_is_refused_unread(snapshot: SnapshotAssertion) -> None:
    assert refused("# " + "x" * 2_000_000) == snapshot


def test_anchors_that_multiply_are_refused_at_once(snapshot: SnapshotAssertion) -> None:
    """Nine levels of nine aliases each: 3.9·10⁸ values in 400 bytes of text."""
    lists = "l0: &l0 [1]\n" + "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 10))
    merges = "m0: &m0 {a: 1}\n" + "".join(
        f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 10)
    )
    started = time.perf_counter()
    assert refused(lists) == snapshot
    assert refused(merges) == snapshot
    assert time.perf_counter() - started < 5


TRIALS = {
    "nothing_left": 'except: ["width < 15", "width > 5"]\naxes: {width: [10, 20]}',
    "two_rules_set_one_axis": """
        axes: {width: [10, 20]}
        when:
          - {if: "width > 5", axes: {lr: [0.1, 0.2]}}
          - {if: "width > 15", axes: {lr: [0.3, 0.4]}}
        """,
    "condition_that_fails_on_a_value": 'axes: {width: [10, 20]}\nexcept: ["lr < 0", "width % (width - 10) = 0"]',
    "rule_that_fails_on_a_value": """
        axes: {width: [10, 20]}
        when: [{if: "width % (width - 10) = 0", axes: {lr: [0.1, 0.2]}}]
        """,
    "when_multiplies_beyond_measure": """
        when:
          - {if: "width > 1", axes: {lr: {linspace: [1, 2, 50000]}}}
          - {if: "width > 2", axes: {l2: {linspace: [1, 2, 50000]}}}
        """,
}


@pytest.mark.parametrize("name", TRIALS)
def test_what_only_the_trials_show_is_told_like_the_rest(name: str, snapshot: SnapshotAssertion) -> None:
    file = Path("sweep.yaml")
    file.write_text("name: x\nstudy: plain\n" + dedent(TRIALS[name]).strip() + "\n")
    sweep = spec.load(file, (), STUDIES)
    with duckdb.connect() as connection, pytest.raises(SweepFileError) as caught:
        grid.expand(sweep, connection)
    assert str(caught.value) == snapshot


def test_of_very_many_problems_fifty_are_shown() -> None:
    said = refused("name: x\nstudy: plain\naxes:\n  lr:\n" + "".join(f"    - -{i}\n" for i in range(1, 100)))
    assert said.count("expected a number > 0") == 50
    assert said.endswith("… and 49 more\n99 problems. Nothing was launched.")


def test_problems_come_in_the_order_of_the_file() -> None:
    places = [line.split()[0] for line in refused(dedent(FILES["rules_for_values"])).splitlines() if line[0] == "s"]
    lines = [int(place.split(":")[1]) for place in places]
    assert lines == sorted(lines)
    assert len(lines) == 8


def survives(text: str) -> None:
    """A file with this text is read, or refused like any other; a small grid is expanded too."""
    file = Path("sweep.yaml")
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        sweep = spec.load(file, (), STUDIES)
        with duckdb.connect() as connection:
            if Points(sweep, connection).bound() <= 10_000:
                grid.expand(sweep, connection)
    except UserError as error:
        assert str(error).endswith("Nothing was launched.")


def fuzz(examples: int) -> settings:
    """Many files in one folder, however long one takes."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


WORDS = [
    "name",
    "study",
    "fixed",
    "axes",
    "zip",
    "when",
    "except",
    "seeds",
    "resources",
    "plain",
    "school",
    "lr",
    "width",
]
WORDS += [
    "method",
    "kd",
    "temperature",
    "if",
    "linspace",
    "logspace",
    "range",
    "lr > 1",
    "cpu",
    "gpu",
    "init",
    "<<",
    "",
]
SCALARS = st.one_of(
    st.sampled_from(WORDS), st.integers(-3, 50), st.floats(), st.none(), st.booleans(), st.text(max_size=5)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=20,
)


@fuzz(300)
@given(text=st.text(max_size=80) | st.text(st.sampled_from("{}[]:,-&*!|>'\"%@`#?\n ab1<."), max_size=60))
def test_no_text_brings_a_traceback(text: str) -> None:
    survives(text)


@fuzz(150)
@given(tree=st.dictionaries(st.sampled_from(WORDS[:9]), TREES, max_size=9), study=st.sampled_from(["plain", "school"]))
def test_no_yaml_brings_a_traceback(tree: dict[str, object], study: str) -> None:
    survives(yaml.safe_dump({"name": "x", **tree, "study": study}, allow_unicode=True))


@fuzz(150)
@given(data=st.data())
def test_no_slip_of_the_pen_brings_a_traceback(data: st.DataObject) -> None:
    text = GOOD
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 8)))
        text = text[:start] + data.draw(st.text(max_size=4) | st.sampled_from(WORDS)) + text[end:]
    survives(text)


@fuzz(60)
@given(override=st.text(max_size=20) | st.builds("{}={}".format, st.sampled_from(WORDS), st.text(max_size=10)))
def test_no_override_brings_a_traceback(override: str) -> None:
    file = Path("sweep.yaml")
    file.write_text(GOOD)
    try:
        spec.load(file, (override,), STUDIES)
    except SweepFileError as error:
        assert "--set" in str(error)
