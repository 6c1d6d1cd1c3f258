"""A part that is not what was stored is noticed, set aside, and its trials count as never run."""

import errno
import hashlib
import os
import random
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_cases import curves, files_below, rows, told

from tsd.store import Store, StoreError, parts, schema, seals
from tsd.store.disk import Disk
from tsd.store.errors import Damaged


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A part file to be harmed, and its content."""
    store = Store(tmp_path_factory.mktemp("part"))
    store.write_part("p", rows("abc"), None)
    path = Path(str(store.root)) / store.files.listed("trials")[0].name
    return path, path.read_bytes()


def opens(path: Path) -> bool:
    """Whether the file is taken for sound, both by who reads it and by who only verifies it."""
    disk = Disk(path.parent)
    looks = [lambda: parts.open_sealed(disk, path.name), lambda: parts.verify(disk, path.name)]
    found = []
    for look in looks:
        try:
            look()
            found.append(True)
        except Damaged:
            found.append(False)
    assert found[0] == found[1]
    return found[0]


@settings(max_examples=200, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(part, at, bit):
    path, data = part
    harmed = bytearray(data)
    harmed[int(at * len(data))] ^= 1 << bit
    path.write_bytes(harmed)
    assert not opens(path)
    path.write_bytes(data)
    assert opens(path)


@settings(max_examples=100, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_no_missing_end_goes_unnoticed(part, share):
    path, data = part
    path.write_bytes(data[: int(share * len(data))])
    assert not opens(path)
    path.write_bytes(data)


@pytest.mark.parametrize("piece", [1, 7, 16, 1000])
def test_a_file_may_be_verified_in_pieces_of_any_size(part, piece, monkeypatch):
    path, data = part
    monkeypatch.setattr(seals, "PIECE", piece)
    assert opens(path)
    for at in (0, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not opens(path)
    path.write_bytes(data)


def test_a_file_that_was_sealed_by_an_earlier_hash_is_read_and_verified(part):
    path, data = part
    seal = seals.seal_of(data)
    earlier = data.replace(seal, hashlib.blake2b(data.replace(seal, b""), digest_size=16).digest())
    path.write_bytes(earlier)
    assert earlier != data
    assert opens(path)
    for at in (0, len(data) // 2, len(data) - 1):
        path.write_bytes(earlier[:at] + bytes([earlier[at] ^ 1]) + earlier[at + 1 :])
        assert not opens(path)
    path.write_bytes(data)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"\xff" * 300, b"x" * 50 + b"\xff\xff\xff\xffPAR1"])
def test_what_is_no_part_is_damaged(part, content):
    path, data = part
    path.write_bytes(content)
    assert not opens(path)
    path.write_bytes(data)


def test_a_parquet_file_of_somebody_else_is_damaged(store):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"trial_id": ["a"]}), sink)
    store.files.write("trials/other.parquet", sink.getvalue().to_pybytes())
    store.files.write("trials/sealed.parquet", seals.sealed(sink.getvalue().to_pybytes()))
    assert [reason for _, reason in store.check().damaged] == [
        "its content does not match its seal",
        "it was not written by tsd",
    ]


def test_other_parquet_readers_read_a_sealed_part(part):
    """The seal lies where the format leaves room; here Arrow and DuckDB read it, page checksums verified."""
    import duckdb

    path, _ = part
    assert pq.read_table(path, page_checksum_verification=True).num_rows == 3
    ids = duckdb.execute("SELECT trial_id FROM read_parquet(?)", [str(path)]).fetchall()
    assert ids == [("a",), ("b",), ("c",)]


def test_pages_carry_checksums_for_readers_that_do_not_know_the_seal(part):
    path, data = part
    page = data.index(b"\x28\xb5\x2f\xfd")  # the first zstd frame
    path.write_bytes(data[: page + 6] + bytes([data[page + 6] ^ 1]) + data[page + 7 :])
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)
    path.write_bytes(data)


def harm(store: Store, folder: str, which: int = 0) -> str:
    """Flip a bit of one file of `folder` and return its name."""
    entry = store.files.listed(folder)[which]
    data = bytearray(store.files.read(entry.name))
    data[random.Random(0).randrange(len(data))] ^= 1
    store.files.write(entry.name, bytes(data))
    return entry.name


@pytest.fixture
def two_parts(any_store: Store) -> Store:
    """A store of two parts with curves."""
    any_store.write_part("one", rows("ab"), curves("ab"))
    any_store.write_part("two", rows("cd"), curves("cd"))
    return any_store


def test_a_damaged_part_is_named_and_the_others_are_read(two_parts):
    name = harm(two_parts, "trials")
    states = two_parts.states()
    assert states.damaged == [name]
    assert sorted(states.table["trial_id"].to_pylist()) == ["c", "d"]
    assert two_parts.states().damaged == [name], "only looking moves nothing"


def test_a_damaged_part_is_moved_aside_with_its_curves(two_parts):
    name = harm(two_parts, "trials")
    assert two_parts.states(move_damaged=True).damaged == [f"damaged/{name}"]
    assert two_parts.states().damaged == []
    assert [e.name for e in two_parts.files.listed("damaged/trials")] == [f"damaged/{name}"]
    assert len(two_parts.files.listed("damaged/curves")) == 1
    assert [t for t, *_ in told(two_parts)[1]] == ["c", "c", "d", "d"]


def test_a_run_plans_trials_with_damaged_curves_again_and_touches_nothing_else(two_parts):
    name = harm(two_parts, "curves")
    kept = {e.name: two_parts.files.read(e.name) for f in ("trials", "curves") for e in two_parts.files.listed(f)[1:]}
    looked = two_parts.states()
    assert (looked.damaged, looked.table.num_rows) == ([], 4), "only looking is fast, and reads no curves"
    states = two_parts.states(move_damaged=True)
    assert states.damaged == [f"damaged/{name}"]
    assert sorted(states.table["trial_id"].to_pylist()) == ["c", "d"]
    assert [len(two_parts.files.listed(f"damaged/{folder}")) for folder in ("trials", "curves")] == [1, 1]
    left = {e.name: two_parts.files.read(e.name) for f in ("trials", "curves") for e in two_parts.files.listed(f)}
    assert left == kept
    two_parts.write_part("one", rows("ab", at=9), curves("ab", 9.0))
    assert two_parts.states(move_damaged=True).damaged == []
    assert sum(value for _, _, value in told(two_parts)[1]) == 4 * 9.0


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1"])
def test_curves_that_are_cut_to_nothing_are_seen_without_opening_them(two_parts, content, monkeypatch):
    name = two_parts.files.listed("curves")[0].name
    two_parts.files.write(name, content)
    monkeypatch.setattr(parts, "verify", lambda files, name: pytest.fail("only looking read curves"))
    states = two_parts.states()
    assert states.damaged == [name]
    assert sorted(states.table["trial_id"].to_pylist()) == ["c", "d"]


@pytest.mark.parametrize(
    ("error", "says"),
    [(PermissionError(errno.EACCES, "no"), "no permission"), (OSError("AWS Error"), "The storage says: AWS Error")],
)
def test_curves_that_cannot_be_read_now_are_told_and_stay(two_parts, error, says, monkeypatch):
    def refused(files, name):
        raise error

    monkeypatch.setattr(parts, "_source", refused)
    with pytest.raises(StoreError, match=rf"Could not read .*curves/.*{says}"):
        two_parts.states(move_damaged=True)
    assert [len(two_parts.files.listed(folder)) for folder in ("trials", "curves")] == [2, 2]


def test_a_part_that_is_damaged_in_both_files_is_named_once(two_parts):
    harm(two_parts, "curves")
    name = harm(two_parts, "trials")
    assert two_parts.states(move_damaged=True).damaged == [f"damaged/{name}"]


def test_a_question_about_all_results_is_not_answered_from_some(two_parts):
    import duckdb

    name = harm(two_parts, "trials")
    for ask in (two_parts.trials, two_parts.curves):
        with pytest.raises(StoreError, match=rf"{name} is damaged.*check FILE --repair") as raised:
            ask()
        assert "Nothing was touched" in str(raised.value)
    assert two_parts.trials(skip_damaged=True).num_rows == 2
    if isinstance(two_parts.files, Disk):
        with pytest.raises(StoreError, match="is damaged"):
            two_parts.connect(duckdb.connect())


def test_damaged_curves_are_noticed_and_repair_has_their_trials_run_again(two_parts):
    name = harm(two_parts, "curves")
    with pytest.raises(StoreError, match=rf"{name} is damaged"):
        two_parts.curves()
    assert two_parts.trials().num_rows == 4
    report = two_parts.check(repair=True)
    assert not report.sound
    assert [damaged for damaged, _ in report.damaged] == [name]
    assert report.trials == 2
    assert len(report.moved) == 2
    assert two_parts.check().sound
    assert sorted(two_parts.states().table["trial_id"].to_pylist()) == ["c", "d"]


@pytest.mark.parametrize("compacted", [False, True])
def test_curves_that_are_gone_are_noticed_whoever_looks(two_parts, compacted):
    """Somebody deleted the file; parts that never had curves are sound without."""
    import duckdb

    two_parts.write_part("plain", rows("e"), None)
    if compacted:
        two_parts.compact()
    entry = two_parts.files.listed("curves")[0]
    two_parts.files.delete(entry.name)
    trials = entry.name.replace("curves/", "trials/")
    assert two_parts.states().damaged == [trials]
    held = "; it held 5 rows of 3 parts, 0 of which are still there" if compacted else ""
    assert two_parts.check().damaged == ((trials, f"its curves are gone{held}"),)
    for look in (two_parts.trials, two_parts.curves, lambda: two_parts.connect(duckdb.connect())):
        with pytest.raises(StoreError, match="its curves are gone"):
            look()
    assert two_parts.compact().damaged == (trials,)
    assert two_parts.states(move_damaged=True).damaged == [f"damaged/{trials}"]
    left = two_parts.states()
    assert (left.table.num_rows, left.damaged) == (0 if compacted else 3, [])


def test_a_check_without_repair_touches_nothing(two_parts):
    two_parts.artefacts.write("k", {}, {}, {})
    for folder in ("trials", "curves", "artefacts"):
        harm(two_parts, folder, -1)
    before = [e.name for folder in ("trials", "curves", "artefacts") for e in two_parts.files.listed(folder)]
    report = two_parts.check()
    assert len(report.damaged) == 2, "a part counts once"
    assert "check FILE --repair" in str(report)
    assert before == [e.name for folder in ("trials", "curves", "artefacts") for e in two_parts.files.listed(folder)]


def test_repair_moves_a_damaged_artefact(any_store):
    any_store.artefacts.write("k", {}, {"accuracy": 0.9}, {})
    harm(any_store, "artefacts")
    assert any_store.check(repair=True).moved == ("damaged/artefacts/k.safetensors",)
    assert any_store.artefacts.read("k") is None


def test_temporary_and_foreign_files_are_no_parts(store):
    store.write_part("p", rows("a"), curves("a"))
    data = store.files.read(store.files.listed("trials")[0].name)
    for name in (".tmp-1234", ".hidden.parquet", "notes.txt"):
        store.files.write(f"trials/{name}", data)
    assert store.trials().num_rows == 1
    store.files.write("curves/cut-off.parquet", b"half")
    assert store.curves().num_rows == 2


def test_repair_deletes_what_was_left_behind_and_nothing_younger(store):
    store.write_part("p", rows("a"), curves("a"))
    kept = files_below(store)
    left = [".tmp-1", "artefacts/.tmp-2", "curves/without-trials.parquet", "manifests/.tmp-3", "trials/.tmp-4"]
    for name in left:
        store.files.write(name, b"half")
    assert store.check(repair=True).temporary == ()
    for name in left:
        long_ago = time.time() - 4000
        os.utime(Path(str(store.root)) / name, (long_ago, long_ago))
    assert sorted(store.check().temporary) == left
    assert files_below(store) == sorted([*kept, *left]), "without repair nothing is touched"
    report = store.check(repair=True)
    assert report.sound and sorted(report.temporary) == left and "5 files of writes" in str(report)
    assert files_below(store) == kept
    assert store.check(repair=True).temporary == ()


GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("version", [p.name for p in sorted(GOLDEN.iterdir())])
def test_what_an_earlier_version_stored_is_still_read(version):
    """Folders written by each schema version, `golden/<version>`, are never written again."""
    store = Store(GOLDEN / version)
    assert store.check().sound
    assert told(store) == (
        [("a", "done", 1.0), ("b", "diverged", 1.0)],
        [("a", 0, 0.5), ("a", 1, 0.5), ("b", 0, 0.5), ("b", 1, 0.5)],
    )
    arrays, facts = store.artefacts.read("teacher") or ({}, {})
    assert arrays["weight"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert facts == {"accuracy": 0.9}
    assert (store.sweep() or {})["study"] == "spectral"


def test_there_is_a_golden_folder_for_this_version():
    assert (GOLDEN / f"v{schema.SCHEMA_VERSION}").is_dir()
