"""A simulation that was killed in the middle of a long pack goes on there, and ends as if nothing had been."""

import subprocess
import sys

import pytest

from tsd.store import Store, checkpoints
from tsd.sweep.__main__ import main

HEAD = "name: example\nresources: {gpu: 0}\n"
SWEEPS = {
    "dense_hopfield": "fixed: {size: 12, load: 3, students: 2, sweeps: 90}\naxes: {temperature: [1, 2, 3]}\n",
    "escape": "fixed: {dynamics: ode, input_dim: 40, alpha_max: 30}\naxes: {lr: [0.1, 0.2, 0.3]}\n",
}
HANGS = """\
import itertools, sys, time
from tsd.store.checkpoints import Keeper
from tsd.sweep.__main__ import main

calls, write = itertools.count(1), Keeper.write
def write_and_hang(keeper, states):
    write(keeper, states)
    if len(states) > 1:  # one trial has ended, the next is on its way
        print("kept after", next(calls) - 1, flush=True)
        time.sleep(3600)
Keeper.due = lambda keeper: next(calls) % 20 == 0
Keeper.write = write_and_hang
main(["run", *sys.argv[1:]])
"""
PASSING = ["wall_s", "started_at", "git_sha", "host"]


def rows(store):
    trials = store.trials().drop_columns(PASSING).sort_by("trial_id").to_pylist()
    return trials, store.curves().sort_by([(name, "ascending") for name in ("trial_id", "metric", "step")]).to_pylist()


@pytest.mark.parametrize("study", SWEEPS)
def test_a_worker_that_is_killed_costs_the_steps_since_its_last_state(study, tmp_path, monkeypatch):
    file = tmp_path / "example.yaml"
    file.write_text(f"{HEAD}study: {study}\n{SWEEPS[study]}")
    killed, whole = ([str(file), "--here", "--results", str(tmp_path / name)] for name in ("killed", "whole"))
    with subprocess.Popen([sys.executable, "-c", HANGS, *killed], stdout=subprocess.PIPE, text=True) as child:
        done = next(int(line.split()[-1]) for line in child.stdout if line.startswith("kept after"))
        child.kill()
    store = Store(tmp_path / "killed/example")
    assert store.states().table.num_rows == 0 and len(store.checkpoints.packs()) == 1

    steps = []
    monkeypatch.setattr(checkpoints.Keeper, "due", lambda keeper: steps.append(1))
    assert main(["run", *killed]) == 0
    resumed = len(steps)
    assert not store.files.listed("checkpoints")
    assert main(["run", *whole]) == 0
    assert len(steps) - resumed == done + resumed, "what was done is not done again"
    assert rows(store) == rows(Store(tmp_path / "whole/example"))
