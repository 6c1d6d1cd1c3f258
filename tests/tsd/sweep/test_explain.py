"""`plan --explain` names the bound that a pack's size keeps, and the command starts without what it does not need."""

import subprocess
import sys
from dataclasses import replace

import pytest

from tsd.sweep.__main__ import main
from tsd.sweep.asked import Asked
from tsd.sweep.explain import explain, reason
from tsd.sweep.shapes import Limits

TEXT = """\
name: example
study: spectral
fixed: {teacher_width: 3, second_width: 3, input_dim: 4, epochs: 1, batch_size: 20, samples: 50, test_samples: 20}
axes: {student_width: [3, 6], eigenvalue_l2: {linspace: [0, 1, 250]}}
seeds: {init: 2}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def asked(file, tmp_path):
    with Asked.of(file, str(tmp_path / "results")) as found:
        yield found


@pytest.mark.parametrize(
    ("slots", "seconds", "packs", "expected"),
    [
        (1, None, 8, "at most 64 while no stored row tells how long a trial lasts"),
        (100, None, 63, "so that each of 100 workers gets 3 packs, though not below 8"),
        (10, None, 15, "so that each of 10 workers gets 3 packs"),
        (1, 0.01, 2, "so that the worker gets 3 packs"),
        (1, 2.0, 17, "some 60 s of trials that last 2 s each in the quickest pack"),
        (1, 0.01, 1, "all there are"),
    ],
)
def test_the_reason_is_the_bound_that_binds(asked, slots, seconds, packs, expected):
    planned = asked.plan(Limits(slots), "cached")
    shape = replace(planned.shapes[0], quickest=seconds, packs=packs, probes=0)
    assert reason(planned, shape) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"probes": 2}, "at most 64 while no stored row tells how long a trial lasts; first 2 of 8, to measure it"),
        ({"fits": 3}, "as many as memory holds at once, which once ran out"),
        (
            {"fits": 40, "bytes_a_trial": 2e8, "room_bytes": 10**10},
            "as many as memory holds at once: 200 MB a trial of 10 GB",
        ),
        ({"fits": 65, "probes": 0}, "at most 64 while no stored row tells how long a trial lasts"),
        ({"resumes": "p", "packs": 1}, "left unfinished by an earlier run, whose steps it keeps"),
    ],
)
def test_memory_and_what_is_not_known_yet_are_reasons_too(asked, told, expected):
    planned = asked.plan(Limits(1), "cached")
    assert reason(planned, replace(planned.shapes[0], **told)) == expected


@pytest.mark.parametrize("slots", [1, 10, 100])
def test_the_sizes_that_are_explained_are_those_that_are_cut(asked, slots):
    planned = asked.plan(Limits(slots), "cached")
    bound = {"at most 64": 64, "so that each": max(-(-planned.todo // (3 * slots)), 8)}
    for shape in planned.shapes:
        told = next(size for words, size in bound.items() if reason(planned, shape).startswith(words))
        assert shape.packs == shape.probes - (8 * shape.probes - shape.trials) // told
        assert shape.size <= told


def test_it_says_the_rule_and_a_line_a_shape(asked):
    text = explain(asked.plan(Limits(2), "cached"), asked.connection)
    rule, *shapes = text.splitlines()
    assert rule.startswith("way auto: fused, on a CPU,")
    assert [line.split(":")[0] for line in shapes] == ["student_width 3", "student_width 6"]


def test_a_way_that_was_asked_for_is_named(file, tmp_path, capsys):
    assert main(["plan", str(file), "--explain", "--results", str(tmp_path), "--set", "way=vmap"]) == 0
    said = capsys.readouterr().out
    assert "way vmap, as asked for" in said and "way auto" not in said


def test_simulations_have_no_way(tmp_path, capsys):
    file = tmp_path / "simulated.yaml"
    file.write_text("name: simulated\nstudy: escape\nseeds: 1\n")
    assert main(["plan", str(file), "--explain", "--results", str(tmp_path)]) == 0
    assert "escape steps its packs itself" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "seconds", "code"), [(["--help"], 1, 0), (["plan", "none.yaml"], 1, 2), (["plan", "FILE"], 4, 0)]
)
def test_what_computes_nothing_starts_at_once_and_without_torch_and_ray(file, tmp_path, words, seconds, code):
    """CPU seconds of a whole process, imports included; the file has a thousand trials."""
    given = [str(file) if word == "FILE" else word for word in words]
    script = (
        "import sys, time; from tsd.sweep.__main__ import main; code = main(sys.argv[1:]); "
        f"assert code == {code}, code; assert not {{'torch', 'ray'}} & set(sys.modules); "
        f"assert time.process_time() < {seconds}, time.process_time()"
    )
    subprocess.run([sys.executable, "-c", script, *given], check=True, cwd=tmp_path, capture_output=True)
