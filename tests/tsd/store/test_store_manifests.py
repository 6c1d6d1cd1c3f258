"""A manifest says what a merged part holds and what it replaces; it hides nothing that is not stored elsewhere."""

import hashlib
import json
import random
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import xxhash
from store_cases import SWEEP, curves, files_below, rows, told

from tsd.store import Store, encoding, manifests, parts, schema
from tsd.store.disk import Disk
from tsd.store.errors import Damaged

KINDS = ("trials", "curves", "manifests")


def content(store: Store) -> dict[str, bytes]:
    """All files of parts."""
    return {entry.name: store.files.read(entry.name) for kind in KINDS for entry in store.files.listed(kind)}


def put(store: Store, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        store.files.write(name, data)


def flip(store: Store, name: str) -> None:
    data = bytearray(store.files.read(name))
    data[random.Random(0).randrange(len(data))] ^= 1
    store.files.write(name, bytes(data))


@pytest.fixture
def three(any_store: Store) -> Store:
    """A store of three parts with four trials, of which one has two rows."""
    any_store.prepare(SWEEP, {})
    any_store.write_part("one", rows("ab", at=1), curves("ab", 1.0))
    any_store.write_part("two", rows("bc", at=2), curves("bc", 2.0))
    any_store.write_part("three", rows("d", at=3), None)
    return any_store


@pytest.fixture
def cut_off(three: Store) -> tuple[Store, dict[str, bytes], str]:
    """A store whose compaction was cut off before it deleted anything, what that was, and the stem of what it made."""
    old = content(three)
    three.compact()
    [entry] = three.files.listed("manifests")
    put(three, old)
    return three, old, Path(entry.name).stem


def test_a_merged_part_has_a_manifest_of_what_it_holds(three):
    old = sorted(part.stem for part in parts.listed(three.files))
    three.compact()
    [entry] = three.files.listed("manifests")
    said = json.loads(three.files.read(entry.name))
    assert (said["rows"], said["replaces"], said["schema_version"]) == (4, old, 1)
    for kind in ("trials", "curves"):
        [file] = three.files.listed(kind)
        data = three.files.read(file.name)
        assert Path(file.name).stem == Path(entry.name).stem
        assert said[kind]["bytes"] == len(data) == file.size
        seal = bytes.fromhex(said[kind]["seal"])
        assert data.count(seal) == 1
        assert xxhash.xxh3_128_digest(data.replace(seal, b"")) == seal


def test_its_name_is_the_hash_of_its_bytes(three):
    """So `b2sum -l 64` proves it, and who merges the same parts writes the same."""
    old = content(three)
    three.compact()
    [entry] = three.files.listed("manifests")
    digest = hashlib.blake2b(three.files.read(entry.name), digest_size=8).hexdigest()
    assert entry.name == f"manifests/compacted-{digest}.json"
    merged = content(three)
    for name in merged:
        three.files.delete(name)
    put(three, old)
    three.compact()
    assert content(three) == merged


def test_merged_parts_read_as_any_parquet_files(store):
    store.write_part("one", rows("ab"), curves("ab"))
    store.write_part("two", rows("cd"), curves("cd"))
    store.compact()
    for kind, count in (("trials", 4), ("curves", 8)):
        files = f"{store.root}/{kind}/compacted-*.parquet"
        assert duckdb.execute("SELECT count(*) FROM read_parquet(?)", [files]).fetchone() == (count,)


def test_what_a_merged_part_replaces_is_passed_over_and_not_even_opened(cut_off, monkeypatch):
    store, _, stem = cut_off
    opened, real = [], parts.open_sealed
    monkeypatch.setattr(parts, "open_sealed", lambda files, name: (opened.append(name), real(files, name))[1])
    answers = told(store)
    assert {Path(name).stem for name in opened} == {stem}
    assert answers[0] == [("a", "done", 1.0), ("b", "done", 2.0), ("c", "done", 2.0), ("d", "done", 3.0)]
    assert store.states().table.num_rows == 4
    assert store.bytes_a_trial() == sum(e.size for k in KINDS[:2] for e in store.files.listed(k) if stem in e.name) / 4
    connection = duckdb.connect()
    store.connect(connection)
    assert connection.execute("SELECT count(*) FROM tsd_trial_parts").fetchone() == (4,)


@pytest.mark.parametrize("finish", [Store.compact, lambda s: s.check(repair=True)], ids=["compact", "check --repair"])
def test_what_a_compaction_left_to_delete_is_deleted_next_time(cut_off, finish):
    store, old, stem = cut_off
    before, report = told(store), store.check()
    assert report.sound and sorted(report.replaced) == sorted(old) and "parts that were merged" in str(report)
    assert content(store).keys() > old.keys(), "a check alone deletes nothing"
    finish(store)
    assert {Path(name).stem for name in content(store)} == {stem}
    assert told(store) == before and store.check().replaced == ()


@pytest.mark.parametrize("kind", ["trials", "curves"])
@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_manifest_whose_part_is_damaged_or_gone_hides_nothing(cut_off, kind, harm):
    store, old, stem = cut_off
    before, name = told(store), parts.file_of(kind, stem)
    flip(store, name) if harm == "damaged" else store.files.delete(name)
    report = store.check()
    assert not report.sound and report.trials == 4
    store.states(move_damaged=True)
    assert told(store) == before
    assert {name: data for name, data in content(store).items() if stem not in name} == old
    store.compact()
    assert told(store) == before and store.check(repair=True).trials == 4
    assert store.check().sound


def test_of_a_part_that_is_lost_a_check_says_which_rows(three):
    three.compact()
    [entry] = three.files.listed("trials")
    flip(three, entry.name)
    [(name, reason)] = three.check().damaged
    assert name == entry.name
    assert reason == "its content does not match its seal; it held 4 rows of 3 parts, 0 of which are still there"
    assert three.check(repair=True).moved == tuple(f"damaged/{kind}/{Path(name).stem}{end}" for kind, end in ENDS)
    assert three.check().sound and three.states().table.num_rows == 0


ENDS = (("manifests", ".json"), ("trials", ".parquet"), ("curves", ".parquet"))


def test_a_part_that_somebody_deleted_is_missed_by_its_manifest(three):
    three.compact()
    for kind in ("trials", "curves"):
        [entry] = three.files.listed(kind)
        three.files.delete(entry.name)
    [entry] = three.files.listed("manifests")
    report = three.check()
    assert report.trials == 0
    assert report.damaged == ((entry.name, "its part is gone, with 4 rows of 3 parts"),)
    assert three.check(repair=True).moved == (f"damaged/{entry.name}",)
    assert three.check().sound


@pytest.mark.parametrize("mend", [Store.compact, lambda s: s.check(repair=True)], ids=["compact", "check --repair"])
@pytest.mark.parametrize("harm", ["gone", "flipped", "emptied"])
def test_a_manifest_that_is_lost_is_written_again_as_it_was(three, mend, harm):
    three.compact()
    before, merged = told(three), content(three)
    [entry] = three.files.listed("manifests")
    if harm == "gone":
        three.files.delete(entry.name)
    else:
        flip(three, entry.name) if harm == "flipped" else three.files.write(entry.name, b"")
    report = three.check()
    assert told(three) == before and report.unlisted == (entry.name,)
    assert report.damaged == (((entry.name, "its content does not match its name"),) if harm != "gone" else ())
    mend(three)
    assert content(three) == merged
    assert three.check().sound and three.check().unlisted == ()


def test_a_later_version_of_tsd_reads_and_mends_what_this_one_merged(three, monkeypatch):
    three.compact()
    merged = content(three)
    monkeypatch.setattr(manifests, "__version__", "99.0")
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    assert three.check().sound and three.check().unlisted == ()
    [entry] = three.files.listed("manifests")
    three.files.delete(entry.name)
    three.check(repair=True)
    assert content(three) == merged


def test_another_sealed_file_in_the_place_of_a_merged_one_is_noticed(three):
    three.compact()
    [entry] = three.files.listed("trials")
    forged = encoding.encode([rows("xyz")], rows("x").schema, drawn=True)
    three.files.write(entry.name, forged)
    [(name, reason)] = three.check().damaged
    assert name == entry.name and reason.startswith("it is not the part that its manifest tells of; it held 4 rows")
    three.check(repair=True)
    assert three.check().sound and three.states().table.num_rows == 0


def test_parts_that_were_merged_before_there_were_manifests_are_read_as_ever(any_store):
    any_store.write_part("compacted", rows("ab"), curves("ab"))
    report = any_store.check()
    assert report.sound and (report.unlisted, report.trials) == ((), 2)
    any_store.write_part("later", rows("b", at=9), None)
    assert any_store.compact().after == 1
    assert [trial[2] for trial in told(any_store)[0]] == [0.0, 9.0]


def test_merging_what_was_merged_leaves_one_manifest_that_names_all(three):
    old = {part.stem for part in parts.listed(three.files)}
    three.compact()
    [first] = parts.listed(three.files)
    earlier = content(three)
    three.write_part("later", rows("e", at=5), curves("e"))
    [later] = {part.stem for part in parts.listed(three.files)} - {first.stem}
    three.compact()
    [entry] = three.files.listed("manifests")
    assert set(json.loads(three.files.read(entry.name))["replaces"]) == old | {first.stem, later}
    before = told(three)
    put(three, earlier)
    assert told(three) == before and three.check().sound
    for kind in ("trials", "curves"):
        three.files.delete(parts.file_of(kind, first.stem))
    assert three.check().sound, "the part of the older manifest is not lost: it was merged"
    three.compact()
    assert [e.name for e in three.files.listed("manifests")] == [entry.name]
    assert told(three) == before


@pytest.mark.parametrize("moment", ["write", "of"])
def test_a_compaction_that_stalls_while_others_go_on_raises_no_alarm(three, monkeypatch, moment):
    """Others merge what it merges, and that again, before it looks at its part or writes its manifest."""
    before, real, nested = told(three), getattr(manifests, moment), []

    def stalled(files, what):
        if len(nested) < 3:
            nested.append(what)
            name = f"later{len(nested)}"
            three.write_part(name, rows([name]), None)
            before[0].append((name, "done", 0.0))
            three.compact()
            assert told(three) == (sorted(before[0]), before[1])
        return real(files, what)

    monkeypatch.setattr(manifests, moment, stalled)
    three.compact()
    assert len(nested) == 3
    assert told(three) == (sorted(before[0]), before[1])
    assert three.check().sound
    three.compact()
    assert len(parts.listed(three.files)) == 1 == len(three.files.listed("manifests"))
    assert told(three) == (sorted(before[0]), before[1])


@pytest.mark.parametrize("look", [lambda s: s.check(repair=True), told], ids=["check --repair", "read"])
def test_a_compaction_between_any_two_listings_of_a_reader_is_no_damage(tmp_path, monkeypatch, look):
    """It merges parts of which some had been merged before."""
    real, done, at = Disk.listed, [False], 0
    while not at or done[0]:
        store, done[0], calls = Store(tmp_path / str(at)), False, []
        store.prepare(SWEEP, {})
        for name in "abc":
            store.write_part(name, rows(name), curves(name))
            if name == "b":
                store.compact()
        before = told(store)

        def interrupted(files, folder, calls=calls, store=store, at=at):
            calls.append(folder)
            if len(calls) == at + 1 and not done[0]:
                done[0] = True
                store.compact()
            return real(files, folder)

        with monkeypatch.context() as patch:
            patch.setattr(Disk, "listed", interrupted)
            found = look(store)
        assert found == before if look is told else found.sound and found.trials == 3
        assert told(store) == before and store.check().sound
        at += 1
    assert at > 6


@pytest.mark.parametrize("stem", ["../../secret", "/etc/passwd", "..", "a/b", "", 5, None, ["a"]])
def test_a_manifest_with_names_that_lead_elsewhere_counts_for_nothing(store, tmp_path, stem):
    """Its name is forged too, and there is such a part."""
    (tmp_path / "secret.parquet").write_text("open sesame")
    store.write_part("p", rows("ab"), curves("ab"))
    [part] = parts.listed(store.files)
    sealed = {"bytes": 1, "seal": "00"}
    said = {"schema_version": 1, "tsd_version": "0", "rows": 2, "trials": sealed, "curves": sealed}
    data = json.dumps(said | {"replaces": [part.stem, stem]}).encode()
    forged = parts.stem_of("compacted", data)
    store.files.write(parts.file_of("manifests", forged), data)
    store.files.write(parts.file_of("trials", forged), store.files.read(part.trials.name))
    store.files.write(parts.file_of("curves", forged), store.files.read(part.curves.name))
    with pytest.raises(Damaged, match="no manifest"):
        manifests.read(store.files, forged)
    assert len(told(store)[0]) == 2 and part.stem in {p.stem for p in parts.listed(store.files)}
    assert store.check().damaged == ((f"manifests/{forged}.json", "it is no manifest of this version of tsd"),)
    store.check(repair=True)
    store.compact()
    assert len(told(store)[0]) == 2
    assert (tmp_path / "secret.parquet").read_text() == "open sesame"


def test_a_note_in_a_part_that_leads_elsewhere_is_no_note(store):
    note = {b"tsd.merged": b'{"tsd_version": "0", "replaces": ["../../secret"]}'}
    data = encoding.encode([rows("ab")], rows("a").schema, note=note)
    parts.write(store.files, "compacted-0", data, None)
    assert b"tsd.merged" in pq.read_metadata(Path(str(store.root)) / "trials/compacted-0.parquet").metadata
    report = store.check(repair=True)
    assert report.sound and report.unlisted == () and store.files.listed("manifests") == []


def test_temporary_and_foreign_files_beside_manifests_are_passed_over(store):
    store.write_part("one", rows("a"), None)
    store.write_part("two", rows("b"), None)
    store.compact()
    for name in (".tmp-1", "notes.txt"):
        store.files.write(f"manifests/{name}", b"{}")
    files = files_below(store)
    assert store.check(repair=True).sound and len(told(store)[0]) == 2
    assert files_below(store) == files
