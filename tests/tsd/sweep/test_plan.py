"""A plan is a set difference, and its screen says what a run would do."""

from pathlib import Path

import pytest

from tsd.sweep import outline, plan
from tsd.sweep.asked import Asked
from tsd.sweep.shapes import Limits
from tsd.sweep.waves import in_waves
from tsd.sweep.work import Context, Worker

TEXT = """\
name: example
study: spectral
fixed: {teacher_width: 3, second_width: 3, input_dim: 4, epochs: 1, batch_size: 20, samples: 50, test_samples: 20}
axes:
  student_width: [3, 6, 9]
  eigenvalue_l2: [1e-4, 1e-3]
except: ["student_width = 9 AND eigenvalue_l2 > 5e-4"]
seeds: 2
"""
TAUGHT = """\
name: taught
study: distill
fixed: {dataset: digits, teacher: mlp, student: mlp}
axes: {method: [none, kd], temperature: [1, 4], student_width: [4, 8]}
seeds: {teacher: 2, init: 3}
"""


@pytest.fixture
def planned(tmp_path: Path, monkeypatch):
    """Plans a text, after running those of its trials that satisfy `first`."""
    monkeypatch.chdir(tmp_path)

    def call(text: str, mode: str = "cached", first: str | None = None) -> plan.Plan:
        file = Path("example.yaml")
        file.write_text(text)
        if first:
            with Asked.of(file, "results", where=first) as asked:
                asked.plan(Limits(1), "cached")
                asked.store.prepare(asked.sweep.as_dict())
                worker = Worker(Context(asked.sweep.study, str(asked.store.root), "cpu", "", asked.sweep.parts))
                for wave in in_waves(asked.connection):
                    for one in wave.packs:
                        worker.work(wave.rows(one))
        with Asked.of(file, "results") as asked:
            return asked.plan(Limits(2), mode)

    return call


def test_new_is_what_was_asked_for_less_what_is_stored(planned):
    found = planned(TEXT, first="student_width = 3")
    assert (found.grid.total, found.done, found.new, found.todo, found.orphans) == (10, 4, 6, 6, 0)


def test_what_is_no_longer_asked_for_is_counted_and_left_alone(planned):
    planned(TEXT, first="student_width = 3")
    found = planned(TEXT.replace("[3, 6, 9]", "[6, 9]"))
    assert (found.done, found.new, found.orphans) == (0, 6, 4)


def test_force_plans_everything_and_retry_only_what_failed(planned):
    assert planned(TEXT, "force", first="student_width = 3").todo == 10
    assert planned(TEXT, "retry").todo == 6


def test_a_method_without_a_field_counts_once(planned):
    """`none` has no temperature: 2 widths × 2 teachers × 3 inits × (kd at 2 temperatures + none once)."""
    found = planned(TAUGHT)
    assert found.grid.total == 2 * 2 * 3 * 3 and found.grid.merged == 2 * 2 * 3


def test_a_teacher_is_needed_once_for_every_teacher_seed(planned):
    found = planned(TAUGHT)
    assert len(found.needs) == len({need.key for need in found.needs}) == 2
    assert not any(need.stored for need in found.needs)


def test_earlier_rows_give_the_estimate(planned):
    assert planned(TEXT).seconds is None
    found = planned(TEXT, first="student_width = 3")
    assert found.seconds is not None and found.seconds > 0 and found.bytes_a_trial


@pytest.mark.parametrize("text", [TEXT, TAUGHT])
def test_the_screen(planned, text, snapshot):
    found = planned(text)
    assert outline.render(found).replace(str(Path.cwd()), "FOLDER") == snapshot


def test_the_screen_of_a_sweep_that_is_partly_done(planned):
    screen = outline.render(planned(TEXT, first="student_width = 3"))
    assert "4 done · 6 new" in screen and "estimate" in screen and "from stored rows" in screen


def test_the_line_for_a_cluster_runs_the_same_trials(tmp_path, monkeypatch):
    """The flags that decide which trials are meant go along; where the results lie is the cluster's own matter."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(TEXT)
    with Asked.of(Path("s.yaml"), "elsewhere", ["epochs=2"], "student_width = 3") as asked:
        line = outline.render(asked.plan(Limits(1), "cached"), asked.command("run", results=False)).splitlines()[-1]
        again = asked.command("run", "--here")
    command = "python -m tsd.sweep run s.yaml {}--set epochs=2 --where 'student_width = 3'"
    assert f"--submission-id tsd-example -- {command.format('')} --address auto" in line and "elsewhere" not in line
    assert again == command.format("--results elsewhere ") + " --here"
