"""The benchmark of the time left: its runs are whole, and where nothing is uncertain the time left is right."""

import json

import pytest

from benchmarks import time_left
from benchmarks.time_left import Case, judged, simulated
from tsd.sweep.tally import replay

STEADY = Case(4, 200, 0.0, 1.0)


def test_a_simulated_run_stores_every_trial_and_starts_no_worker_twice_at_a_time():
    for case in (STEADY, Case(4, 200, 0.2)):
        log = simulated(case, 0)
        *_, tally = replay(log)
        assert tally.ended and tally.stored == 3 * case.trials == tally.task.todo
        assert max(len(state.running) for state in replay(log)) <= case.slots


def test_where_all_is_known_the_time_left_is_right():
    error, held = judged(simulated(STEADY, 0), 0.25)
    assert abs(error) < 0.05 and held


@pytest.mark.parametrize("case", [Case(8, 800, 0.1), Case(8, 800, 0.1, 1.7)], ids=["unknown", "another machine"])
def test_at_a_quarter_of_the_way_it_is_off_by_less_than_a_fifth(case):
    errors = sorted(abs(judged(simulated(case, seed), 0.25)[0]) for seed in range(9))
    assert errors[4] < 0.2


def test_the_table_has_a_row_for_each_case(capsys):
    assert time_left.main(["--runs", "1", "--json"]) == 0
    [table] = json.loads(capsys.readouterr().out)["tables"]
    assert [row[0] for row in table["rows"]] == [case.name for case in time_left.CASES]
