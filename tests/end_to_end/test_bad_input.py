"""Whatever goes wrong outside the sweep file: one paragraph that says what, where and what to do next; nothing lost."""

import errno
import os

import numpy as np
import pytest

from tsd.store import Store
from tsd.sweep.__main__ import main

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


def test_an_npz_that_is_missing_is_told_before_anything_starts(here, folder):
    code, told = here(DIGITS.replace("dataset: digits", "dataset: mine.npz"))
    assert code == 2 and "mine.npz" in told and not (folder / "results").exists()


def test_an_npz_that_is_cut_short_is_told_before_anything_starts(here, folder):
    x, y = np.zeros((40, 6)), np.arange(40) % 2
    np.savez(folder / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    (folder / "mine.npz").write_bytes((folder / "mine.npz").read_bytes()[:300])
    code, told = here(DIGITS.replace("dataset: digits", "dataset: mine.npz"))
    assert code == 2 and "mine.npz" in told
    assert not list((folder / "results").rglob("*.parquet"))


def test_too_few_samples_in_a_class_fail_those_trials_alone_and_say_why(here, folder, capsys):
    code, _ = here(
        DIGITS.replace("samples_per_class: 5}", "validation_per_class: 0}").replace(
            "[none, kd]}", "[none]}\nzip: [{samples_per_class: [5, 500]}]"
        )
    )
    assert code == 1
    states = {row["samples_per_class"]: row["state"] for row in rows(folder, "taught")}
    assert states == {5: "done", 500: "failed"}
    assert main(["failures", "sweep.yaml"]) == 1
    told = capsys.readouterr().out
    assert "samples_per_class = 500" in told and "×2" in told


def test_an_unknown_flag_is_told_with_the_nearest_and_exit_code_2(here):
    code, told = here(TINY, "--mod", "retry")
    assert code == 2 and "--mode" in told


def test_an_unknown_mode_is_told_with_those_that_are(here):
    code, told = here(TINY, "--mode", "again")
    assert code == 2 and "retry" in told
