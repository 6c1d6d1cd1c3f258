"""What packs took is remembered in the results folder, and the next cut follows it; no number does."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tsd.engine import run as engine
from tsd.store import EventLog, Store
from tsd.sweep import pack
from tsd.sweep.__main__ import main
from tsd.sweep.asked import Asked
from tsd.sweep.gauge import out_of_memory
from tsd.sweep.shapes import Limits
from tsd.sweep.work import Context, Worker

TEXT = """\
name: example
study: spectral
fixed: {teacher_width: 3, second_width: 3, input_dim: 4, epochs: 1, batch_size: 20, samples: 50, test_samples: 20}
axes: {student_width: [3, 6], eigenvalue_l2: {linspace: [0, 1, 20]}}
seeds: {init: 2}
resources: {gpu: 0}
"""
PASSING = ["pack_id", "wall_s", "started_at", "git_sha"]


@pytest.fixture
def asked(tmp_path):
    file = tmp_path / "example.yaml"
    file.write_text(TEXT)
    with Asked.of(file, str(tmp_path / "results")) as found:
        found.store.prepare(found.sweep.as_dict())
        yield found


def worker(asked):
    return Worker(Context(asked.sweep.study, str(asked.store.root), "cpu", "", asked.sweep.parts))


def numbers(store):
    return store.trials().drop_columns(PASSING).sort_by("trial_id").to_pylist()


def log(asked, *reports):
    events = EventLog(asked.store, "run")
    for report in reports:
        events.add("pack_finished", vars(report))
    events.close()


def test_probes_run_first_count_once_and_leave_every_row_its_numbers(asked, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pack, "PROBED_FROM", 0)
    assert main(["run", str(asked.file), "--here", "--results", str(tmp_path / "cut")]) == 0
    store = Store(tmp_path / "cut/example")
    ended = [e for e in store.events() if e["kind"] == "pack_finished"]
    assert [sum(e["states"].values()) for e in ended[:2]] == [8, 8] and "first 2 packs of 8" in capsys.readouterr().out
    assert sum(sum(e["states"].values()) for e in ended) == 80 == store.trials().num_rows
    assert all(e["peak_bytes"] < e["room_bytes"] for e in ended)
    whole = worker(asked)
    for width in (3, 6):
        whole.work(asked.connection.sql(f"SELECT * FROM trials WHERE student_width = {width}").to_arrow_table())
    assert numbers(store) == numbers(asked.store)


def test_a_plan_reads_what_packs_took_from_rows_and_events(asked):
    rows = asked.connection.sql("SELECT * FROM trials WHERE student_width = 3 LIMIT 10").to_arrow_table()
    report = replace(worker(asked).work(rows), peak_bytes=10**8)
    log(asked, report)
    known, unknown = sorted(asked.plan(Limits(1), "cached").shapes, key=lambda s: s.values["student_width"])
    assert known.seconds_a_trial == pytest.approx(report.seconds / 10) and known.way == "dense"
    assert known.bytes_a_trial == 10**7 and known.room_bytes == report.room_bytes
    assert known.quickest == pytest.approx(known.seconds_a_trial) and known.fits == int(
        pack.ROOM * report.room_bytes / 10**7
    )
    assert (unknown.seconds_a_trial, unknown.fits, unknown.way) == (None, None, None)


def test_memory_that_runs_out_halves_the_pack_once_and_is_remembered(asked, monkeypatch):
    """Of five networks at most, the device holds no more: ten end as five and five, the next ten as well, untried."""
    sizes, whole = [], engine.run_pack

    def crowded(study, trials, *rest, keep):
        sizes.append(len(trials))
        if len(trials) > 5:
            raise MemoryError
        return whole(study, trials, *rest, keep=keep)

    monkeypatch.setattr(engine, "run_pack", crowded)
    at_work = worker(asked)
    rows = asked.connection.sql("SELECT * FROM trials WHERE student_width = 3").to_arrow_table()
    reports = [at_work.work(rows.slice(first, 10)) for first in (0, 10)]
    assert sizes == [10, 5, 5, 5, 5] and [r.states for r in reports] == [{"done": 10}] * 2
    assert [r.most for r in reports] == [5, 5]
    log(asked, *reports)
    planned = asked.plan(Limits(1), "cached")
    [size] = [s.size for s in planned.shapes if s.values["student_width"] == 3]
    assert size == 5


def test_one_trial_that_exhausts_memory_fails_alone_and_is_not_taken_for_the_rule(asked, monkeypatch):
    whole = engine.run_pack

    def exhausted(study, trials, *rest, keep):
        if any(trial.eigenvalue_l2 == 1.0 for trial in trials):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return whole(study, trials, *rest, keep=keep)

    monkeypatch.setattr(engine, "run_pack", exhausted)
    query = "SELECT * FROM trials WHERE student_width = 3 AND seed_init = 0 ORDER BY eigenvalue_l2 LIMIT 16 OFFSET 4"
    report = worker(asked).work(asked.connection.sql(query).to_arrow_table())
    assert report.states == {"done": 15, "failed": 1} and report.most == 8


GAUGED = """
import numpy as np
from tsd.sweep.gauge import Gauge

gauge = Gauge("cpu")
gauge.start()
before = gauge.peak
np.ones(25_000_000).sum()
print(gauge.peak - before)
gauge.start()
print(gauge.peak - before)
print(gauge.room)
"""
"""A worker of its own: in the process of the tests other threads come and go with their memory."""


def test_the_gauge_sees_what_a_pack_holds_at_its_worst_and_forgets_it():
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux can forget a high-water mark")
    told = subprocess.run([sys.executable, "-c", GAUGED], capture_output=True, text=True, check=True)
    held, after, room = map(int, told.stdout.split())
    assert held > 150e6, "200 MB were held"
    assert after < 100e6
    assert room > 0


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [(MemoryError(), True), (RuntimeError("[enforce fail] can't allocate memory"), True), (RuntimeError("nan"), False)],
)
def test_memory_that_ran_out_is_told_from_other_errors(error, is_memory):
    assert out_of_memory(error) == is_memory


def test_the_plan_for_programs_has_what_packs_take(asked, tmp_path, capsys):
    assert main(["plan", str(asked.file), "--json", "--results", str(tmp_path / "results")]) == 0
    shapes = json.loads(capsys.readouterr().out)["shapes"]
    assert {"seconds_a_trial", "bytes_a_trial", "room_bytes", "fits", "probes", "size"} <= set(shapes[0])
