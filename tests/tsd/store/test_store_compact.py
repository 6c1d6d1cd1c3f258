"""Compaction makes fewer files and changes no answer, whoever writes or reads meanwhile."""

import random
import threading

import pyarrow as pa
import pytest
from store_cases import METRICS, PARAMETERS, SCHEMA, SWEEP, curves, files_below, row, rows, told

from tsd.store import Store, compact, parts, schema
from tsd.store.disk import Disk
from tsd.store.schema import ColumnInfo


def many(store: Store, count: int = 12) -> None:
    """`count` parts of three trials."""
    for i in range(count):
        ids = [f"{i:02}.{j}" for j in range(3)]
        store.write_part(f"pack{i}", rows(ids, at=i), curves(ids, float(i)))


def test_many_parts_become_one_that_answers_alike(any_store):
    many(any_store)
    any_store.write_part("without-curves", rows("z"), None)
    before = told(any_store)
    report = any_store.compact()
    assert (report.before, report.after) == (13, 1)
    assert report.bytes_after < report.bytes_before
    assert told(any_store) == before
    assert any_store.check().sound


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (compact.CompactReport(4, 1, 104_000, 12_340), "4 parts (104.0 kB) are now 1 (12.3 kB)."),
        (compact.CompactReport(1, 1, 1_000_000, 999_900), "1 part (1.0 MB) is now 1 (999.9 kB)."),
    ],
)
def test_a_report_tells_sizes_that_are_not_nought(report, says):
    assert str(report) == says


def test_a_compacted_store_stays_as_it_is(store):
    many(store)
    store.compact()
    files = files_below(store)
    store.compact()
    assert files_below(store) == files


def test_no_file_exceeds_the_limit(store, monkeypatch):
    many(store)
    before = told(store)
    size = max(part.size for part in parts.listed(store.files))
    monkeypatch.setattr(compact, "LIMIT", 4 * size)
    store.compact()
    assert 3 <= len(parts.listed(store.files)) < 12
    assert all(part.size <= 4 * size for part in parts.listed(store.files))
    assert told(store) == before


def test_what_is_large_already_is_left_alone(store, monkeypatch):
    generator = random.Random(0)
    store.write_part("large", rows(f"{generator.getrandbits(128):032x}" for _ in range(2000)), None)
    [large] = parts.listed(store.files)
    many(store)
    before = told(store)
    monkeypatch.setattr(compact, "LIMIT", int(1.9 * large.size))
    store.compact()
    assert large.stem in [part.stem for part in parts.listed(store.files)]
    assert len(parts.listed(store.files)) < 13
    assert told(store) == before


def test_rows_that_nobody_reads_are_dropped_with_their_curves(store):
    store.write_part("pack", rows("ab", "diverged", at=1), curves("ab", 1.0))
    store.write_part("pack", rows("a", "done", at=0), curves("a", 2.0))
    before = told(store)
    store.compact()
    assert told(store) == before
    [part] = parts.listed(store.files)
    assert parts.open_sealed(store.files, part.trials.name).metadata.num_rows == 2
    assert parts.open_sealed(store.files, part.curves.name).metadata.num_rows == 4


def test_a_later_row_wins_against_a_compacted_one(store):
    many(store, 3)
    store.compact()
    store.write_part("again", rows(["00.0"], at=99), curves(["00.0"], 99.0))
    trials, drawn = told(store)
    assert trials[0] == ("00.0", "done", 99.0)
    assert [value for trial, _, value in drawn if trial == "00.0"] == [99.0, 99.0]


def test_parts_of_different_ages_are_merged(store):
    grown = schema.trial_schema(PARAMETERS | {"depth": ColumnInfo("int", "", "Depth.")}, METRICS)
    store.write_part("old", rows("a"), None)
    store.write_part("new", pa.Table.from_pylist([row("b", depth=3)], schema=grown), None)
    fields = store.fields()
    store.compact()
    assert store.fields() == fields
    assert sorted(map(str, store.trials(["depth"])["depth"].to_pylist())) == ["3", "None"]


@pytest.mark.parametrize("folder", ["trials", "curves"])
def test_damaged_parts_are_left_alone_and_named(store, folder):
    many(store, 4)
    entry = store.files.listed(folder)[0]
    store.files.write(entry.name, b"harmed")
    report = store.compact()
    assert report.damaged == (entry.name,)
    assert f"{entry.name} is damaged" in str(report)
    assert report.after == 2
    assert store.files.read(entry.name) == b"harmed"


def test_rows_that_are_stored_twice_are_read_once(store):
    """As they are where a compaction was killed before it deleted them."""
    many(store, 3)
    before, old = (
        told(store),
        {e.name: store.files.read(e.name) for f in ("trials", "curves") for e in store.files.listed(f)},
    )
    store.compact()
    for name, data in old.items():
        store.files.write(name, data)
    assert told(store) == before
    assert store.compact().after == 1
    assert told(store) == before


def test_a_damaged_compacted_part_hides_no_older_one(store):
    many(store, 3)
    before, old = (
        told(store),
        {e.name: store.files.read(e.name) for f in ("trials", "curves") for e in store.files.listed(f)},
    )
    store.compact()
    store.files.write(store.files.listed("trials")[0].name, b"harmed")
    for name, data in old.items():
        store.files.write(name, data)
    assert len(store.states(move_damaged=True).damaged) == 1
    assert told(store) == before


def test_row_groups_are_merged_too(store):
    many(store)
    store.compact()
    [part] = parts.listed(store.files)
    assert parts.open_sealed(store.files, part.trials.name).metadata.num_row_groups == 1


def test_no_listing_shows_a_part_without_its_curves(store, monkeypatch):
    """A part is written between the listing of one folder and that of the other."""
    real, written = Disk.listed, []

    def interrupted(self, folder):
        found = real(self, folder)
        if not written:
            written.append(folder)
            store.write_part("p", rows("a"), curves("a"))
        return found

    monkeypatch.setattr(Disk, "listed", interrupted)
    assert [part for part in parts.listed(store.files) if part.curves is None] == []
    for name in store.files.listed("trials") + store.files.listed("curves"):
        store.files.delete(name.name)
    written.clear()
    assert parts.strays(store.files) == []


def test_compactions_that_see_different_parts_lose_no_row(store, monkeypatch):
    """One stalls before it deletes; meanwhile others merge all that there is, again and again."""
    many(store, 3)
    before, real, nested = told(store), parts.discard, []

    def stalled(files, part):
        if len(nested) < 6:
            nested.append(part)
            extra = f"later{len(nested)}"
            store.write_part(extra, rows([extra]), None)
            before[0].append((extra, "done", 0.0))
            store.compact()
        real(files, part)

    monkeypatch.setattr(parts, "discard", stalled)
    store.compact()
    assert len(nested) == 6
    assert told(store) == (sorted(before[0]), before[1])
    store.compact()
    assert told(store) == (sorted(before[0]), before[1])
    assert len(parts.listed(store.files)) == 1


def test_writing_reading_and_compacting_at_once_lose_nothing(store):
    store.prepare(SWEEP, {})
    seen: list[int] = []
    wrong: list[BaseException] = []
    done = threading.Event()

    def until_done(work):
        def loop():
            try:
                while not done.is_set():
                    work()
            except BaseException as error:
                wrong.append(error)

        return threading.Thread(target=loop)

    def look():
        trials, drawn = told(store)
        assert {t for t, *_ in trials} <= {t for t, *_ in drawn}, "curves are asked for later, so there are no fewer"
        seen.append(len(trials))

    def check():
        report = store.check(repair=True)
        assert report.sound, report

    others = [until_done(work) for work in (look, check, store.compact, store.compact)]
    for thread in others:
        thread.start()
    many(store, 40)
    done.set()
    for thread in others:
        thread.join()
    assert not wrong
    assert seen == sorted(seen)
    assert len(told(store)[0]) == 120
    store.compact()
    assert len(told(store)[0]) == 120
    assert store.trials().schema.equals(SCHEMA)
