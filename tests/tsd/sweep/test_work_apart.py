"""A trial that takes its process along is found among its neighbours, and they are kept."""

import importlib
import sys
from math import log2
from pathlib import Path

import pyarrow as pa
import pytest

import tsd.studies
from tsd.engine.rng import STREAMS
from tsd.store import Store
from tsd.sweep import apart
from tsd.sweep.apart import work_apart
from tsd.sweep.deadline import FACTOR, LEAST_S, UNKNOWN_S, deadline
from tsd.sweep.work import Context, Worker

WARD = Path(__file__).parents[2] / "end_to_end/ward"
PACK, CULPRIT = 16, 2


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """A worker of the study `ward`, which the processes that it starts know too."""
    monkeypatch.setenv("PYTHONPATH", str(WARD))
    monkeypatch.setattr(tsd.studies, "__path__", [*tsd.studies.__path__, str(WARD / "studies")])
    yield Worker(Context("ward", str(tmp_path), "cpu", "", {}))
    sys.modules.pop("tsd.studies.ward", None)
    importlib.invalidate_caches()


def rows(ill="", count=PACK):
    same = {"ill": ill, "ill_bed": CULPRIT, "pause": 0.0, "room": 0} | {f"seed_{name}": 0 for name in STREAMS}
    return pa.Table.from_pylist(
        [{"trial_id": f"{bed:032}", "origin": "grid", "bed": bed} | same for bed in range(count)]
    )


def values(store: Store) -> dict[int, float]:
    return {row["bed"]: row["value"] for row in store.trials().to_pylist() if row["state"] == "done"}


@pytest.mark.parametrize(
    ("ill", "kind", "said"),
    [
        ("hangs", "DeadlineExceeded", "in hang\nIt took longer"),
        ("is killed", "WorkerDied(SIGKILL)", "memory has run out"),
        ("exits", "WorkerDied(exit code 3)", "exit code 3"),
        ("faults", "WorkerDied(SIGSEGV)", "in fault"),
        ("exhausts", "MemoryError", "in exhaust"),
    ],
)
def test_the_culprit_is_a_failed_row_with_its_last_words_and_all_others_are_kept(worker, tmp_path, ill, kind, said):
    size = 4
    report = work_apart(worker, rows(ill, size), deadline=3.0 if ill == "hangs" else 60.0)
    assert dict(report.states) == {"done": size - 1, "failed": 1} and dict(report.errors) == {kind: 1}
    table = worker.store.trials().to_pylist()
    [failed] = [row for row in table if row["state"] == "failed"]
    assert len(table) == size == len({row["trial_id"] for row in table})
    assert (failed["bed"], failed["error_type"], failed["ill"]) == (CULPRIT, kind, ill)
    assert said in failed["error"]
    well = Worker(Context("ward", str(tmp_path / "well"), "cpu", "", {}))
    well.work(rows(count=size))
    assert values(worker.store) == {bed: value for bed, value in values(well.store).items() if bed != CULPRIT}


def test_a_culprit_among_n_costs_at_most_one_process_more_than_two_a_halving(worker, monkeypatch):
    begun = []
    in_a_process = apart._in_a_process
    monkeypatch.setattr(apart, "_in_a_process", lambda *args: begun.append(args[1].num_rows) or in_a_process(*args))
    work_apart(worker, rows("exits"), deadline=60)
    assert len(begun) == 1 + 2 * log2(PACK)


def test_what_is_stored_already_does_not_run_again(worker):
    worker.work(rows(count=CULPRIT))
    before = {p.name for p in (Path(str(worker.store.root)) / "trials").iterdir()}
    report = work_apart(worker, rows(), deadline=60)
    assert sum(report.states.values()) == PACK - CULPRIT
    assert before < {p.name for p in (Path(str(worker.store.root)) / "trials").iterdir()}


def test_a_store_that_refuses_is_told_and_blames_no_trial(worker, tmp_path):
    (tmp_path / "trials").write_text("a file in the place of a folder")
    report = apart._halved(worker, rows(count=2), deadline=60)
    assert report.refused and not report.states


def test_a_deadline_is_what_was_asked_else_generous_to_what_is_expected():
    assert deadline(100, 1.0, asked=5.0) == 5.0
    assert deadline(100, None, asked=None) == UNKNOWN_S
    assert deadline(100, 60.0, asked=None) == FACTOR * 6000.0
    assert deadline(1, 1e-3, asked=None) == LEAST_S
