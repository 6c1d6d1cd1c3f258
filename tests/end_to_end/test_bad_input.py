"""Whatever goes wrong outside the sweep file: one paragraph that says what, where and what to do next; nothing lost."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tsd.store import EventLog, Store
from tsd.sweep.__main__ import main
from tsd.sweep.here import Here

from .conftest import TINY, numbers

DIGITS = """\
name: taught
study: distill
fixed:
  {dataset: digits, teacher: mlp, teacher_width: 8, teacher_depth: 1, teacher_epochs: 1, student: mlp, student_width: 4,
   student_depth: 1, steps: 3, batch_size: 20, samples_per_class: 5}
axes: {method: [none, kd]}
seeds: 2
resources: {cpu: 1, gpu: 0}
"""
RARE = """\
name: rare
study: distill
fixed:
  {dataset: gaussian, gaussian_dim: 4, gaussian_classes: 3, gaussian_samples: 60, teacher: mlp, teacher_width: 8,
   teacher_depth: 1, teacher_epochs: 1, student: mlp, student_width: 4, student_depth: 1, steps: 3, method: none}
axes: {samples_per_class: [5, 15]}
seeds: {teacher: 3, init: 2}
resources: {cpu: 1, gpu: 0}
"""
"""Of the three drawn worlds the third has 11 samples of its rarest class, which nobody knows before it is drawn."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def here(folder, capsys):
    """The command line in this process: exit code and what was printed on either stream."""

    def call(text, *words):
        (folder / "sweep.yaml").write_text(text)
        code = main(["sweep.yaml", "--here", *words])
        told = capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        return code, " ".join((told.out + told.err).split())

    return call


def rows(folder, name="tiny"):
    return numbers(Store(folder / "results" / name).trials())


def test_a_full_disk_ends_the_run_with_what_is_stored_kept(here, folder, monkeypatch):
    assert here(TINY, "--where", "student_width = 3")[0] == 0
    before = rows(folder)

    def full(self, name, data):
        from tsd.store.errors import told

        raise told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "write", name)

    with monkeypatch.context() as patch:
        patch.setattr(type(Store(folder / "results/tiny").files), "write", full)
        code, told = here(TINY)
    assert code == 2 and "disk is full" in told and "--results" in told
    assert rows(folder) == before
    assert here(TINY)[0] == 0 and len(rows(folder)) == 24


def test_a_teacher_that_does_not_match_its_hash_is_told_and_not_used(here, folder):
    assert here(DIGITS, "--where", "method = 'none'")[0] == 0
    before = rows(folder, "taught")
    [teacher, _] = sorted((folder / "results/taught/artefacts").glob("*.safetensors"))
    content = bytearray(teacher.read_bytes())
    content[-1] ^= 1
    teacher.write_bytes(content)
    code, told = here(DIGITS)
    assert code == 2 and teacher.name in told and "check" in told and "--repair" in told
    assert set(map(str, before)) <= set(map(str, rows(folder, "taught")))
    assert main(["check", "sweep.yaml", "--repair"]) == 0
    assert here(DIGITS)[0] == 0
    assert len(rows(folder, "taught")) == 4


def test_a_results_place_that_cannot_be_a_folder_is_told(here, folder):
    (folder / "results").write_text("a file")
    code, told = here(TINY)
    assert code == 2 and "results" in told and "--results" in told


def test_all_mistakes_in_names_are_told_at_once_and_where_they_stand(here):
    wrong = DIGITS.replace("dataset: digits", "dataset: digit").replace("student: mlp", "student: mpl")
    code, told = here(wrong.replace("[none, kd]", "[none, [kd, att], [kd, kd]]").replace("steps", "stepps"))
    assert code == 2 and "5 problems" in told
    for field, meant in (("dataset", "digits"), ("student", "mlp"), ("stepps", "steps")):
        assert re.search(rf"sweep.yaml:\d+:\d+ fixed.{field} .*? Did you mean `{meant}`?", told)
    assert "the sum 'kd+att'" in told and "Did you mean `kd+at`?" in told
    assert "the sum 'kd+kd'" in told and "Did you mean `kd`?" in told


def test_the_results_of_another_study_are_no_results_of_this_sweep(folder, capsys):
    (folder / "sweep.yaml").write_text(DIGITS)
    Store(folder / "results/taught").prepare({"name": "taught", "study": "spectral"}, {})
    for verb in ("run", "plan", "status"):
        assert main([verb, "sweep.yaml"]) == 2
        assert "was written by another sweep of the same name" in capsys.readouterr().err


def test_an_npz_that_is_missing_is_told_before_anything_starts(here, folder):
    code, told = here(DIGITS.replace("dataset: digits", "dataset: mine.npz"))
    assert code == 2 and "mine.npz" in told and not (folder / "results").exists()
    assert main(["status", "sweep.yaml"]) == 1  # looking on needs no data


def test_an_npz_that_is_cut_short_is_told_before_anything_starts(here, folder):
    x, y = np.zeros((40, 6)), np.arange(40) % 2
    np.savez(folder / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    (folder / "mine.npz").write_bytes((folder / "mine.npz").read_bytes()[:300])
    code, told = here(DIGITS.replace("dataset: digits", "dataset: mine.npz"))
    assert code == 2 and "mine.npz" in told
    assert not list((folder / "results").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("class: 5}", "class: 500}"), ("samples_per_class 500", "class 9 of digits has 133")),
        (("student: mlp", "student: lenet5"), ("student: lenet5", "student_depth: 1", "depth of its own")),
        (("mlp, student_width: 4,\n   student_depth: 1", "lenet5"), ("student: lenet5, student_depth: 0", "(1, 8, 8)")),
        (("class: 5}", "class: 5, validation_per_class: 129}"), ("validation_per_class 129", "at most 133")),
        (
            ("student_width: 4", "student_width: 4000000000000"),
            ("do not fit into memory", "student_width = 4000000000000"),
        ),
        (("mlp, teacher_width: 8, teacher_depth: 1", "cnn, teacher_depth: 4"), ("teacher: cnn, teacher_depth: 4",)),
    ],
)
def test_what_the_data_set_cannot_give_is_told_before_anything_starts(here, folder, monkeypatch, change, said):
    monkeypatch.setattr(Here, "__init__", lambda *_: pytest.fail("something was started"))
    code, told = here(DIGITS.replace(*change))
    assert code == 2 and all(words in told for words in said)
    assert not list((folder / "results").rglob("*.parquet"))
    assert not list((folder / "results").rglob("*.safetensors"))


def test_a_trial_that_fails_while_it_runs_fails_alone_and_says_why(here, folder, capsys):
    assert here(RARE)[0] == 1
    failed = {
        (row["samples_per_class"], row["seed_teacher"]) for row in rows(folder, "rare") if row["state"] == "failed"
    }
    assert failed == {(15, 2)}
    assert [row["state"] for row in rows(folder, "rare")].count("done") == 10
    assert main(["failures", "sweep.yaml"]) == 1
    told = capsys.readouterr().out
    assert "15 samples of each class were asked for, but class 0 has 11" in " ".join(told.split())
    assert "samples_per_class = 15" in told and "seed_teacher = 2" in told and "×2" in told


def test_an_unknown_flag_is_told_with_the_nearest_and_exit_code_2(here):
    code, told = here(TINY, "--mod", "retry")
    assert code == 2 and "--mode" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan"], "`plan` needs a sweep file: `python -m tsd.sweep plan FILE`"),
        (["plan", "sweep.yaml", "--set", "epochs", "3"], "`3` is left over: a command takes one sweep file"),
        (["plann", "sweep.yaml"], "Did you mean `plan`?"),
        (["swep"], "Did you mean `sweep.yaml`?"),
        (["plan", "spectral_transitions.yml"], "Did you mean `sweeps/spectral_transition.yaml`?"),
        (["failures", "sweep.yaml"], "Nothing is stored in"),
        (["show", "sweep.yaml"], "Nothing is stored in"),
        (["track", "sweep.yaml", "--to", "mlfow"], "Did you mean `mlflow`?"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_a_command_line_that_cannot_be_meant_is_told_what_would_be_right(folder, capsys, words, said):
    (folder / "sweep.yaml").write_text(TINY)
    (folder / "sweeps").mkdir()
    (folder / "sweeps/spectral_transition.yaml").touch()
    assert main(words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_python_without_the_packages_is_told_which_one_has_them(folder):
    here = Path(__file__).parents[2]
    bare = [sys.executable, "-S", "-m", "tsd.sweep", "plan", "sweep.yaml"]  # -S: no site-packages
    told = subprocess.run(bare, env={"PYTHONPATH": str(here)}, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 2 and ". .venv/bin/activate" in told.stderr and "Traceback" not in told.stderr


def test_a_cluster_that_has_died_since_ray_heard_of_it_is_told_at_once(folder, capsys, monkeypatch):
    """Ray itself goes on knocking for more than ten minutes."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    (folder / "sweep.yaml").write_text(TINY)
    assert main(["sweep.yaml", "--address", "auto"]) == 3
    told = capsys.readouterr().err
    assert "No Ray cluster answers at --address" in told and "without --address the sweep runs on this machine" in told


def test_an_unknown_mode_is_told_with_those_that_are(here):
    code, told = here(TINY, "--mode", "again")
    assert code == 2 and "retry" in told


def test_another_run_at_work_is_told_and_one_that_ended_is_not(here, folder):
    assert "another run" not in here(TINY, "--where", "student_width = 3")[1]
    assert "another run" not in here(TINY, "--where", "seed_init = 0")[1]
    begun = {"sweep": "tiny", "todo": 24, "packs": 3, "slots": 1, "device": "cpu", "shapes": [], "host": "elsewhere"}
    EventLog(Store(folder / "results/tiny"), "other").add("run_started", begun | {"run": "other"})
    code, told = here(TINY)
    assert code == 0 and "another run of this sweep is at work (other on elsewhere" in told
    assert len(rows(folder)) == 24


def test_a_reader_that_has_seen_enough_is_told_no_traceback(tsd):
    words = tsd.command("plan", tsd.write(TINY))
    planning = subprocess.Popen(words, cwd=tsd.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    planning.stdout.close()
    assert planning.stderr.read() == ""
    planning.stderr.close()
    assert planning.wait() == 141
