"""A results folder may lie anywhere, and nothing leads out of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from store_cases import SWEEP, curves, in_bucket, rows, told

from tsd.store import Store, StoreError
from tsd.store.bucket import Bucket, _in_one_put


@pytest.mark.parametrize("name", ["a b", "größe", "50%", "what?", "a#b", "[x]*", "a'b\"c", "%20", "s3:", "~"])
def test_a_sweep_may_have_any_plain_name(tmp_path, name):
    import duckdb

    store = Store.of(tmp_path / "my results?%20", name)
    store.prepare(SWEEP | {"name": name}, {})
    store.write_part("p", rows("a"), curves("a"))
    assert (tmp_path / "my results?%20" / name / "sweep.json").is_file()
    assert len(told(store)[0]) == 1
    connection = duckdb.connect()
    store.connect(connection)
    assert connection.execute("SELECT count(*) FROM curves").fetchone() == (2,)
    assert (store.sweep() or {})["name"] == name


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\\b", "/abs", "a\nb", "a\0b"])
@pytest.mark.parametrize("results", ["results", "s3://bucket/results"])
def test_a_sweep_cannot_be_named_out_of_its_folder(results, name):
    with pytest.raises(StoreError, match="cannot be the name of a results folder"):
        Store.of(results, name)


@pytest.mark.parametrize("name", ["../x", "trials/../../x", "/etc/passwd", "trials//x", "trials/./x", "a\0b"])
def test_no_file_of_a_store_lies_outside(any_store, name):
    for use in (any_store.files.read, any_store.files.delete, lambda n: any_store.files.write(n, b"")):
        with pytest.raises(StoreError, match="leads out of the results folder"):
            use(name)
    with pytest.raises(StoreError, match="leads out"):
        any_store.files.move("trials/x", name)


@pytest.mark.parametrize("pack_id", ["../p", "a/b", "", ".p", "a b"])
def test_a_pack_cannot_be_named_out_of_its_folder(store, pack_id):
    with pytest.raises(StoreError, match="cannot be part of a file's name"):
        store.write_part(pack_id, rows("a"), None)


def test_a_relative_path_means_the_same_after_a_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store.of("results", "probe")
    monkeypatch.chdir("/")
    assert store.root == str(tmp_path / "results" / "probe")
    assert Store(store.root) == store


def test_a_file_uri_is_its_path(tmp_path):
    assert Store(f"file://{tmp_path}/a%20b").root == str(tmp_path / "a b")
    assert Store.of(f"file://{tmp_path}", "50% ü?").root == str(tmp_path / "50% ü?")


def test_options_of_a_uri_stay_at_its_end():
    store = Store.of("s3://bucket/results/?region=eu-west-1", "größe 1")
    assert store.root == "s3://bucket/results/gr%C3%B6%C3%9Fe%201?region=eu-west-1"


@pytest.mark.parametrize(
    ("uri", "opened"),
    [
        ("s3://b/x", "s3://b/x?allow_delayed_open=true"),
        ("s3://b/x?region=r", "s3://b/x?region=r&allow_delayed_open=true"),
        ("s3://b/x?allow_delayed_open=false", "s3://b/x?allow_delayed_open=false"),
        ("gs://b/x", "gs://b/x"),
    ],
)
def test_s3_gets_a_file_in_one_put(uri, opened):
    """pyarrow's own option; a server saw one PutObject a part, and no multipart upload, with it."""
    assert _in_one_put(uri) == opened


def test_an_address_with_credentials_is_refused_and_not_repeated():
    for uri in ("s3://me:secret@bucket/x", "S3://secret@bu cket/x?a=secret", "nowhere://me:secret@x"):
        for make in (Store, lambda uri: Store.of(uri, "probe")):
            with pytest.raises(StoreError, match="AWS_SECRET_ACCESS_KEY") as raised:
                make(uri)
            assert "secret" not in str(raised.value)


def test_an_option_of_a_uri_is_never_told():
    assert "secret" not in str(Store("s3://bucket/x?a=secret"))
    for uri in ("s3://bu cket/x?a=secret", "nowhere://x?a=secret"):
        with pytest.raises(StoreError) as raised:
            Store(uri).states()
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("nowhere://bucket/x", r"Could not open nowhere://bucket/x\..*Unrecognized filesystem"),
        ("s3://bu cket/x", "Cannot parse URI"),
        ("s3://", "names no bucket"),
    ],
)
def test_a_uri_that_leads_nowhere_is_told(uri, says):
    with pytest.raises(StoreError, match=says):
        Store(uri).states()


def test_a_bucket_that_does_not_answer_is_told():
    """Nobody listens on port 9 of this machine."""
    code = (
        "from tsd.store import Store, StoreError\n"
        "store = Store('s3://bucket/x?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1')\n"
        "try:\n    store.prepare({'study': 'a', 'name': 'b'}, {})\n"
        "except StoreError as error:\n    print(error)\n"
    )
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_EC2_METADATA_DISABLED": "true"}
    environment |= {"AWS_MAX_ATTEMPTS": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith("Could not read s3://bucket/x/sweep.json. The storage says:"), done.stderr
    assert "AWS_ENDPOINT_URL" in done.stdout


def test_moving_and_deleting_what_is_gone(any_store):
    any_store.files.delete("trials/gone")
    for missing in (
        lambda: any_store.files.read("trials/gone"),
        lambda: any_store.files.move("trials/gone", "damaged/gone"),
    ):
        with pytest.raises(FileNotFoundError):
            missing()


def test_where_a_file_grows_in_sight_it_is_renamed_into_place(tmp_path, monkeypatch):
    """As in hdfs: half a file never bears the name of a whole one."""
    bucket = in_bucket(tmp_path, monkeypatch, puts=False).files
    seen = []

    def cut_off(self, path, data):
        seen.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(Bucket, "_put", cut_off)
    with pytest.raises(KeyboardInterrupt):
        bucket.write("trials/x.parquet", b"whole")
    assert [Path(path).name.startswith(".tmp-") for path in seen] == [True]


def test_a_store_travels_to_other_processes(any_store):
    import pickle

    any_store.write_part("p", rows("a"), None)
    assert pickle.loads(pickle.dumps(any_store)).states().table.num_rows == 1


def test_making_a_store_touches_nothing(tmp_path):
    Store(tmp_path / "probe")
    assert list(tmp_path.iterdir()) == []


HEAVY = ("torch", "ray", "pandas", "pyarrow", "duckdb", "numpy", "safetensors")


def loaded(code: str) -> set[str]:
    """Heavy packages that are loaded after `code`."""
    code = f"import sys\n{code}\nprint(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_store_loads_nothing_heavy():
    assert loaded("import tsd.store") == set()


def test_reading_a_store_needs_neither_torch_nor_ray():
    golden = Path(__file__).parent / "golden" / "v1"
    code = (
        "import duckdb; from tsd.store import Store, provenance\n"
        f"store = Store({str(golden)!r}); store.trials(); store.curves(); store.connect(duckdb.connect())\n"
        "store.check(); provenance.collect()"
    )
    assert loaded(code).isdisjoint({"torch", "ray"})
