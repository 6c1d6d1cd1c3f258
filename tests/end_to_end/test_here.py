"""A sweep without Ray: run, run again, extend, break, mend."""

import json
import shutil

import pytest

from .conftest import TINY, Tsd

GRID = 2 * 2 * 2 * 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which the sweep was run by a process of its own."""
    tsd = Tsd(tmp_path_factory.mktemp("finished"))
    ran = tsd(tsd.write(TINY), "--here")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return tsd.folder


@pytest.fixture
def done(finished, inside):
    """The command line in a copy of that folder."""
    shutil.copytree(finished, inside.folder, dirs_exist_ok=True)
    return inside


def test_every_trial_asked_for_is_one_row_and_a_second_run_does_nothing(done):
    rows = done.rows()
    assert len(rows) == GRID == len({row["trial_id"] for row in rows})
    assert {row["state"] for row in rows} == {"done"}
    assert [json.loads(kept.read_text())["trials"] for kept in done.folder.glob("results/*/sweep.json")] == [GRID]
    again = done("sweep.yaml", "--here")
    assert again.returncode == 0 and "nothing to run" in again.stdout
    assert done.rows() == rows


def test_a_new_axis_value_runs_only_what_is_new_and_moves_no_old_row(done):
    before = {row["trial_id"]: row for row in done.rows()}
    file = done.write(TINY.replace("[3, 6]", "[3, 6, 9]"))
    planned = json.loads(done("plan", file, "--json").stdout)
    assert (planned["new"], planned["done"], planned["orphans"]) == (12, GRID, 0)
    assert done(file, "--here").returncode == 0
    after = {row["trial_id"]: row for row in done.rows()}
    assert len(after) == 36 and all(after[key] == row for key, row in before.items())


def test_reordered_keys_comments_and_another_file_name_leave_nothing_new(done):
    lines = TINY.splitlines()
    text = (
        "# a comment\n" + "\n".join([lines[-2], lines[-1], *lines[:3], lines[3], lines[6], lines[5], lines[4]]) + "\n"
    )
    planned = json.loads(done("plan", done.write(text, "other.yaml"), "--json").stdout)
    assert planned["new"] == 0 and planned["orphans"] == 0


def test_plan_starts_nothing_and_writes_nothing(tsd):
    planned = tsd("plan", tsd.write(TINY))
    assert planned.returncode == 0 and f"= {GRID} trials of spectral" in planned.stdout
    assert [path.name for path in tsd.folder.iterdir()] == ["sweep.yaml"]


def test_a_wrong_file_is_answered_with_exit_code_2_and_no_traceback(tsd):
    wrong = tsd(tsd.write(TINY.replace("student_width", "student_widht")), "--here")
    assert wrong.returncode == 2
    assert (
        "student_width" in wrong.stderr and "Nothing was launched" in wrong.stderr and "Traceback" not in wrong.stderr
    )
    assert not (tsd.folder / "results").exists()


def test_a_truncated_part_is_moved_aside_and_its_trials_run_again(done):
    rows = done.rows()
    part = sorted((done.folder / "results/tiny/trials").glob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:200])
    again = done("sweep.yaml", "--here")
    assert again.returncode == 0 and "damaged" in again.stdout
    assert done.rows() == rows
    assert list((done.folder / "results/tiny/damaged").iterdir())


def test_another_sweep_of_the_same_name_is_refused_and_nothing_is_lost(done):
    rows = done.rows()
    other = "name: tiny\nstudy: distill\nfixed: {dataset: digits}\n"
    refused = done(done.write(other, "other.yaml"), "--here")
    assert refused.returncode == 2 and "spectral" in refused.stderr and "Traceback" not in refused.stderr
    assert done.rows() == rows


def test_force_runs_everything_again_to_the_same_numbers(done):
    rows, parts = done.rows(), set((done.folder / "results/tiny/trials").iterdir())
    assert done("sweep.yaml", "--here", "--mode", "force").returncode == 0
    assert done.rows() == rows
    assert set((done.folder / "results/tiny/trials").iterdir()) > parts


def test_set_and_where_change_one_command(inside):
    file = inside.write(TINY)
    ran = inside(file, "--here", "--set", "epochs=1", "--where", "layer = 'direct' and seed_init = 0")
    assert ran.returncode == 0, ran.stderr
    rows = inside.rows()
    assert len(rows) == 4 and {row["layer"] for row in rows} == {"direct"} and {row["epochs"] for row in rows} == {1}


@pytest.mark.parametrize("verb", ["status", "failures", "show", "check", "compact"])
def test_every_verb_works_on_a_finished_sweep(done, tsd, verb):
    rows = done.rows()
    looked = tsd(verb, "sweep.yaml")
    assert looked.returncode == 0 and looked.stdout.strip(), looked.stderr
    assert done.rows() == rows


def test_diverging_trials_are_results_and_leave_their_neighbours_alone(inside):
    text = TINY.replace("eigenvalue_l2: [1e-4, 1e-3]", "lr: [1e-3, 1e18]").replace("seeds: 3", "seeds: 1")
    assert inside(inside.write(text), "--here", "--set", "optimizer=sgd").returncode == 0
    states = {(row["lr"], row["state"]) for row in inside.rows()}
    assert states == {(1e-3, "done"), (1e18, "diverged")}
    alone = {row["trial_id"]: row for row in inside.rows() if row["state"] == "done"}
    inside.write(text.replace("[1e-3, 1e18]", "[1e-3]").replace("name: tiny", "name: calm"))
    assert inside("sweep.yaml", "--here", "--set", "optimizer=sgd").returncode == 0
    assert {row["trial_id"]: row for row in inside.rows("calm")} == alone
