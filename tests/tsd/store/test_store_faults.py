"""Killed or failing at any call, a write has happened as a whole or not at all, and nothing stored before is lost."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from store_cases import SWEEP, curves, files_below, rows, told
from store_faults import FULL, Faults, Killed, count, faulty

from tsd.store import Store, StoreError
from tsd.store.bucket import Bucket

OLD = ("ab", 1.0)


def filled(folder: Path) -> Store:
    """A store with a part of two trials and one artefact."""
    store = Store(folder)
    store.prepare(SWEEP, {})
    store.write_part("old", rows(OLD[0], at=1), curves(OLD[0], OLD[1]))
    store.write_part("more", rows("b", at=2), curves("b", 2.0))
    store.artefacts.write("k", {"w": np.ones(3)}, {"accuracy": 0.5}, {})
    return store


def merged(folder: Path) -> Store:
    """One whose parts were merged before some came."""
    store = filled(folder)
    store.compact()
    store.write_part("later", rows("bd", at=4), curves("bd", 4.0))
    return store


def half_merged(folder: Path) -> Store:
    """One whose compaction was cut off before it deleted anything, when parts had been merged before."""
    store = merged(folder)
    before = {name: (folder / name).read_bytes() for name in files_below(store)}
    store.compact()
    for name, data in before.items():
        store.files.write(name, data)
    return store


def copies(
    folder: Path, work: Callable[[Store], object], make: Callable[[Path], Store] = filled
) -> Iterator[tuple[int, Store]]:
    """A fresh store for each call that `work` makes, with the number of that call."""
    origin = make(folder / "origin")
    shutil.copytree(str(origin.root), folder / "counted")
    for k in range(count(lambda: work(Store(folder / "counted")))):
        shutil.copytree(str(origin.root), folder / str(k))
        yield k, Store(folder / str(k))


def add(store: Store) -> None:
    """Two further trials, one of which has an older row."""
    store.write_part("new", rows("bc", at=3), curves("bc", 3.0))


def keep(store: Store) -> None:
    """An artefact, over another one of the same key."""
    store.artefacts.write("k", {"w": np.zeros(3)}, {"accuracy": 0.9}, {})


def take(store: Store) -> None:
    """The same sweep, asked for with other axes."""
    store.prepare(SWEEP | {"axes": {}}, {})


@pytest.mark.parametrize("error", [None, FULL], ids=["killed", "disk full"])
def test_a_part_is_there_as_a_whole_or_not_at_all(tmp_path, error):
    before, after = told(filled(tmp_path / "before")), None
    for k, store in copies(tmp_path, add):
        with faulty(Faults(k, error)), pytest.raises(Killed if error is None else StoreError):
            add(store)
        seen = told(store)
        assert store.check().sound
        add(store)
        after = told(store)
        assert seen in (before, after)
        assert after[0] == [("a", "done", 1.0), ("b", "done", 3.0), ("c", "done", 3.0)]
        assert [value for _, _, value in after[1]] == [1.0, 1.0, 3.0, 3.0, 3.0, 3.0]


@pytest.mark.parametrize("error", [None, FULL], ids=["killed", "disk full"])
@pytest.mark.parametrize("make", [filled, merged, half_merged])
def test_a_compaction_that_is_cut_off_changes_no_answer_and_the_next_one_finishes_it(tmp_path, make, error):
    whole = make(tmp_path / "whole")
    before = told(whole)
    whole.compact()
    for k, store in copies(tmp_path, Store.compact, make):
        with faulty(Faults(k, error)), pytest.raises(Killed if error is None else StoreError):
            store.compact()
        assert told(store) == before
        assert store.check().sound
        store.compact()
        assert told(store) == before
        assert kept(store) == kept(whole), "but for temporary files it is as if nothing had happened"


@pytest.mark.parametrize(("name", "at"), [*(("write", k) for k in range(3)), *(("delete", k) for k in range(4))])
def test_in_an_object_store_too_a_compaction_may_be_cut_off_before_any_request(bucket_store, monkeypatch, name, at):
    """It makes three, and deletes both files of two parts."""
    bucket_store.prepare(SWEEP, {})
    bucket_store.write_part("one", rows("ab", at=1), curves("ab", 1.0))
    bucket_store.write_part("two", rows("bc", at=2), curves("bc", 2.0))
    before, real, made = told(bucket_store), getattr(Bucket, name), []

    def cut_off(self: Bucket, *given: object) -> None:
        made.append(given)
        if len(made) > at:
            raise Killed
        real(self, *given)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Bucket, name, cut_off)
        bucket_store.compact()
    assert told(bucket_store) == before and bucket_store.check().sound
    bucket_store.compact()
    assert told(bucket_store) == before
    assert [len(bucket_store.files.listed(folder)) for folder in ("trials", "curves", "manifests")] == [1, 1, 1]


def repair(store: Store) -> None:
    """What a person does after a fault."""
    store.check(repair=True)


@pytest.mark.parametrize("error", [None, FULL], ids=["killed", "disk full"])
def test_a_repair_that_is_cut_off_changes_no_answer_and_the_next_one_finishes_it(tmp_path, error):
    """Of a store whose compaction was cut off, and whose manifest was then damaged."""

    def harmed(folder: Path) -> Store:
        store = half_merged(folder)
        for entry in store.files.listed("manifests"):
            store.files.write(entry.name, b"harmed")
        return store

    whole = harmed(tmp_path / "whole")
    before = told(whole)
    repair(whole)
    assert [len(whole.files.listed(folder)) for folder in ("trials", "curves", "manifests")] == [1, 1, 1]
    for k, store in copies(tmp_path, repair, harmed):
        with faulty(Faults(k, error)), pytest.raises(Killed if error is None else StoreError):
            repair(store)
        assert told(store) == before
        repair(store)
        assert told(store) == before and store.check().sound
        assert kept(store) == kept(whole)


def kept(store: Store) -> dict[str, bytes]:
    """What is stored of trials and curves."""
    names = [name for name in files_below(store) if name.startswith(("trials/", "curves/", "manifests/"))]
    return {name: (Path(str(store.root)) / name).read_bytes() for name in names if "/.tmp-" not in name}


@pytest.mark.parametrize("error", [None, FULL], ids=["killed", "disk full"])
def test_an_artefact_is_the_old_one_or_the_new_one(tmp_path, error):
    for k, store in copies(tmp_path, keep):
        with faulty(Faults(k, error)), pytest.raises(Killed if error is None else StoreError):
            keep(store)
        _, facts = store.artefacts.read("k") or ({}, {})
        assert facts["accuracy"] in (0.5, 0.9)
        assert store.artefacts.keys() == {"k"}


@pytest.mark.parametrize("error", [None, FULL], ids=["killed", "disk full"])
def test_the_sweep_is_the_old_one_or_the_new_one(tmp_path, error):
    for k, store in copies(tmp_path, take):
        with faulty(Faults(k, error)), pytest.raises(Killed if error is None else StoreError):
            take(store)
        assert (store.sweep() or {})["axes"] in (SWEEP["axes"], {})
        assert told(store) == told(Store(tmp_path / "origin"))


@pytest.mark.parametrize("folder", ["trials", "curves"])
@pytest.mark.parametrize(
    "repair",
    [lambda store: store.check(repair=True), lambda store: store.states(move_damaged=True)],
    ids=["check", "run"],
)
def test_setting_a_damaged_part_aside_loses_no_other(tmp_path, repair, folder):
    origin = filled(tmp_path / "origin")
    entry = next(e for e in origin.files.listed(folder) if "more" in e.name)
    origin.files.write(entry.name, b"harmed, and long enough to have a seal")
    shutil.copytree(str(origin.root), tmp_path / "counted")
    calls = count(lambda: repair(Store(tmp_path / "counted")))
    assert calls > 0
    for k in range(calls):
        shutil.copytree(str(origin.root), tmp_path / str(k))
        store = Store(tmp_path / str(k))
        with faulty(Faults(k)), pytest.raises(Killed):
            repair(store)
        assert sorted(store.trials(["trial_id"], skip_damaged=True)["trial_id"].to_pylist()) == ["a", "b"]
        assert sum("more" in name for name in files_below(store)) == 2, "nothing is deleted"


def test_what_fails_leaves_no_temporary_file_behind(tmp_path):
    for k, store in copies(tmp_path, add):
        with faulty(Faults(k, FULL)), pytest.raises(StoreError):
            add(store)
        assert not [name for name in files_below(store) if ".tmp-" in name]


def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(store):
    """So that a power cut leaves the old file or the new one."""
    store.prepare(SWEEP, {})
    with faulty(Faults(-1)) as faults:
        store.files.write("trials/x", b"x")
    assert [c for c in faults.made if c in ("write", "fsync", "replace")] == ["write", "fsync", "replace", "fsync"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errno.ENOSPC, "The disk is full.*Free some space"),
        (errno.EDQUOT, "quota is used up"),
        (errno.EACCES, "no permission.*Ask the owner"),
        (errno.EPERM, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EIO, "The system says: Input/output error"),
    ],
)
def test_a_disk_that_refuses_is_told_in_words_that_help(store, error, says):
    store.prepare(SWEEP, {})
    with faulty(Faults(0, error)), pytest.raises(StoreError, match=says) as raised:
        store.artefacts.write("k", {}, {}, {})
    text = str(raised.value)
    assert text.startswith(f"Could not write {store.root}/artefacts/k.safetensors")
    assert "Nothing that was stored before is touched." in text
    assert "--results" in text
    assert raised.value.exit_code == 2


def test_a_file_that_outgrows_the_limit_of_the_system_is_told(store):
    """A real refusal of the kernel, without a mock: RLIMIT_FSIZE."""
    store.prepare(SWEEP, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError, match=r"larger than this system allows.*ulimit -f"):
            store.write_part("p", rows("a"), None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_below(store) == ["sweep.json"]


def test_a_folder_that_cannot_be_written_to_is_told_before_anything_runs(store, monkeypatch):
    store.prepare(SWEEP, {})
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("curves"))
    with pytest.raises(StoreError, match=r"Could not write to .*/curves\. This user has no permission"):
        store.prepare(SWEEP, {})


def test_a_disk_that_is_mounted_read_only_is_told_before_anything_runs(store, monkeypatch):
    store.prepare(SWEEP, {})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(StoreError, match=r"Could not write to .*/probe\. That disk is mounted read-only"):
        store.prepare(SWEEP, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_told(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o555)
    with pytest.raises(StoreError, match="no permission"):
        Store(tmp_path / "theirs" / "probe").prepare(SWEEP, {})


def test_a_file_in_the_way_is_told(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="A file stands where a folder is expected"):
        Store(tmp_path / "results" / "probe").prepare(SWEEP, {})


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from store_cases import curves, rows
from tsd.store import Store
store = Store(sys.argv[1])
for i in range(10**6):
    ids = [f"{i}.{j}" for j in range(3)]
    store.write_part(f"pack{i}", rows(ids), curves(ids))
    print(i, flush=True)
    if i % 7 == 6:
        store.compact()
"""


def test_kill_9_loses_nothing_that_was_reported(store):
    """A real process, killed at three random moments while it writes and compacts."""
    for moment in (0.0, 0.15, 0.3):
        command = [sys.executable, "-c", WRITER, str(store.root), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            reported = [writer.stdout.readline()]
            time.sleep(moment)
            os.kill(writer.pid, signal.SIGKILL)
            reported += writer.stdout.readlines()
        last = json.loads([line for line in reported if line.endswith("\n")][-1])
        trials, drawn = told(store)
        assert {f"{i}.{j}" for i in range(last + 1) for j in range(3)} <= {t for t, *_ in trials}
        assert {t for t, *_ in trials} == {t for t, *_ in drawn}
        assert store.check().sound
