"""A sweep without Ray: run, run again, extend, break, mend."""

import json

import pytest

from .conftest import TINY

GRID = 2 * 2 * 2 * 3


def test_every_trial_asked_for_is_one_row_and_a_second_run_does_nothing(tsd):
    file = tsd.write(TINY)
    first = tsd(file, "--here")
    assert first.returncode == 0, first.stdout + first.stderr
    rows = tsd.rows()
    assert len(rows) == GRID == len({row["trial_id"] for row in rows})
    assert {row["state"] for row in rows} == {"done"}
    again = tsd(file, "--here")
    assert again.returncode == 0 and "nothing to run" in again.stdout
    assert tsd.rows() == rows


def test_a_new_axis_value_runs_only_what_is_new_and_moves_no_old_row(tsd):
    file = tsd.write(TINY)
    assert tsd(file, "--here").returncode == 0
    before = {row["trial_id"]: row for row in tsd.rows()}
    tsd.write(TINY.replace("[3, 6]", "[3, 6, 9]"))
    planned = json.loads(tsd("plan", file, "--json").stdout)
    assert (planned["new"], planned["done"], planned["orphans"]) == (12, GRID, 0)
    assert tsd(file, "--here").returncode == 0
    after = {row["trial_id"]: row for row in tsd.rows()}
    assert len(after) == 36 and all(after[key] == row for key, row in before.items())


def test_reordered_keys_comments_and_another_file_name_leave_nothing_new(tsd):
    assert tsd(tsd.write(TINY), "--here").returncode == 0
    lines = TINY.splitlines()
    text = (
        "# a comment\n" + "\n".join([lines[-2], lines[-1], *lines[:3], lines[3], lines[6], lines[5], lines[4]]) + "\n"
    )
    planned = json.loads(tsd("plan", tsd.write(text, "other.yaml"), "--json").stdout)
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


def test_a_truncated_part_is_moved_aside_and_its_trials_run_again(tsd):
    file = tsd.write(TINY)
    assert tsd(file, "--here").returncode == 0
    rows = tsd.rows()
    part = sorted((tsd.folder / "results/tiny/trials").glob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:200])
    again = tsd(file, "--here")
    assert again.returncode == 0 and "damaged" in again.stdout
    assert tsd.rows() == rows
    assert list((tsd.folder / "results/tiny/damaged").iterdir())


def test_another_sweep_of_the_same_name_is_refused_and_nothing_is_lost(tsd):
    assert tsd(tsd.write(TINY), "--here").returncode == 0
    rows = tsd.rows()
    other = "name: tiny\nstudy: distill\nfixed: {dataset: digits}\n"
    refused = tsd(tsd.write(other, "other.yaml"), "--here")
    assert refused.returncode == 2 and "spectral" in refused.stderr and "Traceback" not in refused.stderr
    assert tsd.rows() == rows


def test_force_runs_everything_again_to_the_same_numbers(tsd):
    file = tsd.write(TINY.replace("seeds: 3", "seeds: 1"))
    assert tsd(file, "--here").returncode == 0
    rows = tsd.rows()
    assert tsd(file, "--here", "--mode", "force").returncode == 0
    assert tsd.rows() == rows


def test_set_and_where_change_one_command(tsd):
    file = tsd.write(TINY)
    done = tsd(file, "--here", "--set", "epochs=1", "--where", "layer = 'direct' and seed_init = 0")
    assert done.returncode == 0, done.stderr
    rows = tsd.rows()
    assert len(rows) == 4 and {row["layer"] for row in rows} == {"direct"} and {row["epochs"] for row in rows} == {1}


@pytest.mark.parametrize("verb", ["status", "failures", "show", "check", "compact"])
def test_every_verb_works_on_a_finished_sweep(tsd, verb):
    file = tsd.write(TINY.replace("seeds: 3", "seeds: 1"))
    assert tsd(file, "--here").returncode == 0
    rows = tsd.rows()
    looked = tsd(verb, file)
    assert looked.returncode == 0 and looked.stdout.strip(), looked.stderr
    assert tsd.rows() == rows


def test_diverging_trials_are_results_and_leave_their_neighbours_alone(tsd):
    text = TINY.replace("eigenvalue_l2: [1e-4, 1e-3]", "lr: [1e-3, 1e18]").replace("seeds: 3", "seeds: 1")
    assert tsd(tsd.write(text + "\n"), "--here", "--set", "optimizer=sgd").returncode == 0
    states = {(row["lr"], row["state"]) for row in tsd.rows()}
    assert states == {(1e-3, "done"), (1e18, "diverged")}
    alone = {row["trial_id"]: row for row in tsd.rows() if row["state"] == "done"}
    tsd.write(text.replace("[1e-3, 1e18]", "[1e-3]").replace("name: tiny", "name: calm"))
    assert tsd("sweep.yaml", "--here", "--set", "optimizer=sgd").returncode == 0
    assert {row["trial_id"]: row for row in tsd.rows("calm")} == alone
