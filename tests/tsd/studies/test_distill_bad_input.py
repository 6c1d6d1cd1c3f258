"""Data that are no data, memory that runs out, students that blow up: who is told what, and that nobody else pays."""

import numpy as np
import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.studies import distill
from tsd.sweep.__main__ import main

SHELF = MemoryShelf()
X, Y = np.random.default_rng(0).random((24, 8, 8)), np.arange(24) % 3
HOLED = np.where(np.arange(24 * 64).reshape(24, 8, 8) == 200, np.nan, X)


def seeds(i=0):
    return Streams(dict.fromkeys(STREAMS, i) | {"teacher": 0})


def trial(**changed):
    return distill.Trial.of(distill.EXAMPLE | changed)


@pytest.mark.parametrize(
    ("arrays", "changed", "said"),
    [
        ({"x_train": HOLED}, {}, "x_train holds NaN or infinite values, first in sample 3"),
        ({"x_test": HOLED * np.inf}, {}, "x_test holds NaN or infinite values"),
        ({"y_train": Y * 2}, {}, "y_train has the labels 0, 2, 4; .*without a gap"),
        ({"y_train": Y - 1}, {}, "y_train has the labels -1, 0, 1"),
        ({"y_train": Y % 2}, {}, "y_test has labels from 0 to 2; expected 0 to 1, the classes of y_train"),
        ({"y_test": Y + 7}, {}, "y_test has labels from 7 to 9"),
        ({}, {"samples_per_class": 9}, r"samples_per_class 9 .*class 0 of .*mine\.npz has 8 training samples"),
        ({"y_train": np.minimum(np.arange(24), 2)}, {"samples_per_class": 2}, "class 0 of .* has 1 training sample"),
    ],
)
def test_data_that_cannot_be_learned_are_told_by_file_and_number(tmp_path, arrays, changed, said):
    path = tmp_path / "mine.npz"
    np.savez(path, **{"x_train": X, "y_train": Y, "x_test": X, "y_test": Y} | arrays)
    with pytest.raises(UserError, match=said) as told:
        distill.prepare(trial(dataset=str(path), **changed))
    assert "mine.npz" in str(told.value)


@pytest.mark.parametrize("way", ["loop", "vmap"])
@pytest.mark.parametrize("rows", [{"batch_size": 1}, {"batch_size": 7, "samples_per_class": 5}])
def test_a_batch_of_one_sample_that_an_adapter_cannot_normalise_is_told_with_a_way_out(rows, way):
    with pytest.raises(UserError, match=r"a batch of one sample.*choose a batch_size"):
        run_pack(distill, [trial(method="fitnet", steps=24, way=way, **rows)], [seeds()], SHELF)


CNN = {"teacher": "cnn", "teacher_width": 4, "teacher_depth": 2, "student": "cnn", "student_width": 2}
STAGED = {**CNN, "student_depth": 2, "way": "vmap"}


@pytest.mark.parametrize(
    "how",
    [
        {"method": "none"},
        {"method": "kd", "way": "vmap"},
        {"method": "crd", "way": "vmap", "crd_negatives": 4},
        {"method": "fitnet", **STAGED},
        {"method": "wasserstein", "way": "loop"},
        {"method": "noise"},
    ],
    ids=lambda how: how["method"],
)
def test_a_student_that_blows_up_is_a_result_and_its_neighbours_keep_their_bits(how):
    good = [trial(**how, lr=1e-3), trial(**how, lr=2e-3)]
    wild = trial(**how, lr=1e30, optimizer="adam")
    together = run_pack(distill, [good[0], wild, good[1]], [seeds(i) for i in range(3)], SHELF)
    assert [outcome.state for outcome in together] == ["done", "diverged", "done"]
    assert not together[1].measured.metrics
    apart = run_pack(distill, good, [seeds(0), seeds(2)], SHELF)
    assert [repr(outcome) for outcome in apart] == [repr(together[0]), repr(together[2])]


SWEEP = """\
name: large
study: distill
fixed:
  {dataset: digits, teacher: mlp, teacher_width: 8, teacher_depth: 1, teacher_epochs: 1, student: mlp, student_depth: 1,
   steps: 3, batch_size: 20, samples_per_class: 5}
axes: {method: [none, kd], student_width: [4, 4000]}
seeds: 2
resources: {cpu: 1, gpu: 0}
"""


def test_memory_that_runs_out_is_told_with_the_values_of_the_trial(tmp_path, monkeypatch, capsys):
    """As a GPU says it; the others are done, and the same command with `--mode retry` tries again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large.yaml").write_text(SWEEP)
    real = distill.start

    def start(one, *rest):
        if one.student_width == 4000:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(one, *rest)

    monkeypatch.setattr(distill, "start", start)
    assert main(["run", "large.yaml", "--here"]) == 1
    capsys.readouterr()
    assert main(["failures", "large.yaml"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "OutOfMemoryError" in told and "×4" in told and "student_width = 4000" in told
    assert "CUDA out of memory. Tried to allocate 20.00 GiB." in told
    monkeypatch.setattr(distill, "start", real)
    assert main(["run", "large.yaml", "--here", "--mode", "retry"]) == 0
