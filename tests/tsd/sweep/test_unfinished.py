"""A pack that was killed in the middle of a long training goes on there, and ends as if nothing had been."""

import subprocess
import sys

import numpy as np
import pytest

from tsd.engine import fit
from tsd.store import Store, checkpoints
from tsd.sweep.__main__ import main
from tsd.sweep.asked import Asked
from tsd.sweep.shapes import Limits
from tsd.sweep.unfinished import forget, unfinished
from tsd.sweep.work import Context, Worker

TEXT = """\
name: example
study: spectral
fixed: {teacher_width: 3, second_width: 3, input_dim: 4, epochs: 60, batch_size: 20, samples: 200, test_samples: 20}
axes: {eigenvalue_l2: {linspace: [0, 1, 8]}}
resources: {gpu: 0}
"""
UPDATES = 60 * 8 * 2
"""Of two stacks of four: 60 epochs of eight batches each, a fifth of the samples being kept for validation."""
HANGS = """\
import itertools, sys, time
from tsd.engine import fit
from tsd.store.checkpoints import Keeper
from tsd.sweep.__main__ import main

calls, write = itertools.count(1), Keeper.write
def write_and_hang(keeper, states):
    write(keeper, states)
    if len(states) > 1:  # one stack has ended, the next is on its way
        print("kept", flush=True)
        time.sleep(3600)
Keeper.due = lambda keeper: next(calls) in (100, 700)
Keeper.write = write_and_hang
fit.stack_size, fit.ASK_S = lambda *of: 4, 0
main(["run", *sys.argv[1:]])
"""
PASSING = ["wall_s", "started_at", "git_sha", "host"]


@pytest.fixture
def asked(tmp_path):
    (tmp_path / "example.yaml").write_text(TEXT)
    with Asked.of(tmp_path / "example.yaml", str(tmp_path / "results")) as found:
        found.store.prepare(found.sweep.as_dict())
        yield found


def work_all(asked):
    worker = Worker(Context(asked.sweep.study, str(asked.store.root), "cpu", "", asked.sweep.parts))
    return worker.work(asked.connection.sql("SELECT * FROM trials").to_arrow_table())


def numbers(store):
    return store.trials().drop_columns(PASSING).sort_by("trial_id").to_pylist()


def test_a_worker_that_is_killed_costs_the_steps_since_its_last_state(asked, tmp_path, monkeypatch, capsys):
    words = [str(asked.file), "--here", "--results", str(tmp_path / "killed")]
    with subprocess.Popen([sys.executable, "-c", HANGS, *words], stdout=subprocess.PIPE, text=True) as child:
        assert any(line.startswith("kept") for line in child.stdout)
        child.kill()
    store = Store(tmp_path / "killed/example")
    assert store.states().table.num_rows == 0
    assert main(["plan", str(asked.file), "--explain", "--results", str(tmp_path / "killed")]) == 0
    assert "left unfinished by an earlier run" in capsys.readouterr().out

    updates = []
    monkeypatch.setattr(fit, "stack_size", lambda *of: 4)
    monkeypatch.setattr(fit, "ASK_S", 0)  # asked after every update
    monkeypatch.setattr(checkpoints.Keeper, "due", lambda keeper: updates.append(1))
    assert main(["run", *words]) == 0
    assert len(updates) == UPDATES - 700, "what was done is not done again"
    assert not store.files.listed("checkpoints")
    work_all(asked)
    assert len(updates) == 2 * UPDATES - 700
    assert numbers(store) == numbers(asked.store)
    assert (
        store.curves()
        .sort_by([("trial_id", "ascending"), ("metric", "ascending"), ("step", "ascending")])
        .equals(
            asked.store.curves().sort_by([("trial_id", "ascending"), ("metric", "ascending"), ("step", "ascending")])
        )
    )


def keep(asked, name, trials):
    asked.store.checkpoints.of(name, trials).write({"s": ({"weight": np.zeros(1)}, {"step": 1})})


def test_a_state_is_forgotten_once_a_trial_of_its_pack_is_stored(asked):
    trials = [row["trial_id"] for row in asked.connection.sql("SELECT * FROM trials").to_arrow_table().to_pylist()]
    keep(asked, "whole", trials)
    keep(asked, "other", ["f" * 32])
    asked.compare("cached")
    forget(asked.store, asked.connection)
    assert set(unfinished(asked.store, asked.connection)) == {"whole"}, "a pack that is not asked for is left alone"
    assert work_all(asked).states == {"done": 8}
    asked.compare("cached")
    assert unfinished(asked.store, asked.connection) == {}
    forget(asked.store, asked.connection)
    assert asked.store.checkpoints.packs() == {"other": ["f" * 32]}


def test_a_state_of_an_artefact_is_forgotten_once_that_is_stored(asked):
    arrays = {"weight": np.zeros(1)}
    for key in ("stored", "training"):
        asked.store.checkpoints.of(key).write({"s": (arrays, {"step": 1})})
    asked.store.artefacts.write("stored", arrays, {}, {})
    asked.compare("cached")
    forget(asked.store, asked.connection)
    assert asked.store.checkpoints.artefacts() == {"training"}
    assert unfinished(asked.store, asked.connection) == {}


def test_an_unfinished_pack_of_which_some_trials_are_not_run_is_cut_anew(asked):
    trials = [row["trial_id"] for row in asked.connection.sql("SELECT * FROM trials").to_arrow_table().to_pylist()]
    keep(asked, "partly", [*trials[:3], "f" * 32])
    assert [shape.resumes for shape in asked.plan(Limits(1), "cached").shapes] == [None]
