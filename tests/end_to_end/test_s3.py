"""Whole sweeps in an object store: a real S3 server, one that throttles and fails, and one that is not there."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from pyarrow import fs

from analysis.data.load import load
from tsd.store import Store
from tsd.sweep.__main__ import main

from .conftest import TINY, numbers

SECRET, KEY = "9b1fe6d2a7c34d0d", "AKIA5LSZ0W4Q"
RESULTS = "s3://bucket/lab/results"
SLOW = TINY.replace("epochs: 2", "epochs: 150")


class Server:
    """The S3 server of this module, in a process of its own."""

    def __init__(self, address: str) -> None:
        self.address = address

    def mood(self, share: float, seed: int = 0) -> None:
        """From now on refuse this share of all requests."""
        self._asked(json.dumps({"share": share, "seed": seed}).encode())

    def seen(self) -> dict[str, int]:
        """Requests since then."""
        return json.loads(self._asked(None))

    def _asked(self, body: bytes | None) -> bytes:
        with urllib.request.urlopen(f"{self.address}/moods", data=body, timeout=60) as answer:
            return answer.read()


@pytest.fixture(scope="module")
def server():
    started = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "s3_server.py")], stdout=subprocess.PIPE, text=True
    )
    with started:
        yield Server(started.stdout.readline().strip())
        started.kill()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """The server with an empty bucket, in a good mood, known by the environment alone."""
    environment = {"AWS_ENDPOINT_URL": server.address, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    environment |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    server.mood(0)
    system = fs.S3FileSystem(endpoint_override=server.address, allow_bucket_creation=True)
    system.create_dir("bucket")
    system.delete_dir_contents("bucket")
    server.mood(0)
    yield server
    server.mood(0)


@pytest.fixture
def here(s3, capsys, tmp_path):
    """The command line in this process, on the bucket; what was printed on either stream."""

    def call(*words, text=TINY, results=RESULTS, code=0):
        (tmp_path / "sweep.yaml").write_text(text)
        ended = main([words[0], "sweep.yaml", "--results", results, *words[1:]])
        told = capsys.readouterr()
        assert ended == code and "Traceback" not in told.out + told.err, told.out + told.err
        return told.out + told.err

    return call


def on_disk(capsys, text: str) -> list[dict]:
    """The rows of the same sweep on a disk, undisturbed."""
    Path("sweep.yaml").write_text(text)
    assert main(["run", "sweep.yaml", "--here"]) == 0
    capsys.readouterr()
    return numbers(Store("results/tiny").trials())


def test_a_throttled_failing_store_gives_the_rows_of_a_disk(s3, here, capsys):
    s3.mood(0.15, seed=3)
    here("run", "--here", "--where", "student_width = 3")
    here("status", code=1)
    assert json.loads(here("plan", "--json"))["new"] == 12
    here("run", "--here")
    assert "nothing to run" in here("run", "--here")
    assert "24 trials: 24 done" in here("status")
    parts = len(Store(f"{RESULTS}/tiny").files.listed("trials"))
    assert parts > 1 and f"{parts} parts" in here("compact")
    assert "Sound: 1 part with 24 trials" in here("check")
    assert s3.seen()["refused"] > 10, "the server was busy all along"
    s3.mood(0)
    rows = load(f"{RESULTS}/tiny", "layer = 'spectral'")
    assert len(rows) == 12 and rows["test_mse"].notna().all()
    assert numbers(Store(f"{RESULTS}/tiny").trials()) == on_disk(capsys, TINY)


def test_a_part_is_one_put_and_a_status_reads_no_more_than_it_needs(s3, here):
    here("run", "--here")
    store = Store(f"{RESULTS}/tiny")
    files = [entry for folder in ("", "trials", "curves", "events") for entry in store.files.listed(folder)]
    assert s3.seen()["PUT"] <= len(files) + 2, "no multipart uploads; sweep.json may be written again"
    assert "POST" not in s3.seen()
    s3.mood(0)
    here("status")
    assert s3.seen()["requests"] < 60 and "PUT" not in s3.seen()


@pytest.mark.cluster
def test_a_killed_driver_loses_only_what_was_in_flight(s3, here, tsd, capsys):
    s3.mood(0.1, seed=5)
    store, file = Store(f"{RESULTS}/tiny"), tsd.write(SLOW)
    with (tsd.folder / "output").open("w") as output:
        driver = subprocess.Popen(
            tsd.command(file, "--results", RESULTS), cwd=tsd.folder, stdout=output, stderr=subprocess.STDOUT
        )
    deadline = time.monotonic() + 150
    while not (kept := store.files.listed("trials")) and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    family = [each := psutil.Process(driver.pid), *each.children(recursive=True)]
    driver.kill()
    for one in family:
        if one.is_running():
            one.kill()
    psutil.wait_procs(family, timeout=20)
    driver.wait()
    assert kept, (tsd.folder / "output").read_text()
    before = {entry.name: store.files.read(entry.name) for entry in kept}
    here("run", "--here", text=SLOW)
    assert all(store.files.read(name) == content for name, content in before.items())
    assert numbers(store.trials()) == on_disk(capsys, SLOW)


def test_credentials_are_written_nowhere_and_told_to_nobody(s3, here, caplog):
    told = [here(*words) for words in (["plan"], ["plan", "--json"], ["run", "--here"], ["status", "--json"])]
    told += [here("run", "--here", results="s3://none/results", code=2), here("show"), here("check", "--json")]
    told += [str(load(f"{RESULTS}/tiny").attrs), caplog.text]
    store = Store(f"{RESULTS}/tiny")
    told += [str(store.trials().to_pylist()), str(store.trials().schema.metadata), str(store.events())]
    system, base = store.files.arrow()
    files = [info for info in system.get_file_info(fs.FileSelector(base, recursive=True)) if info.is_file]
    assert {"sweep.json", "events"} <= {info.path.removeprefix(f"{base}/").split("/")[0] for info in files}
    for info in files:
        told.append(system.open_input_stream(info.path, compression=None).read().decode("latin-1"))
    assert not [text for text in told if SECRET in text or KEY in text]


@pytest.mark.parametrize(
    ("results", "changed", "said"),
    [
        ("s3://none/results", {}, ["s3://none/results/tiny", "no such bucket"]),
        (RESULTS, {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, [RESULTS, "AWS_ACCESS_KEY_ID"]),
        (RESULTS, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}, [RESULTS, "AWS_ENDPOINT_URL"]),
        (f"s3://{KEY}:{SECRET}@bucket/x", {}, ["s3://bucket/x", "AWS_ACCESS_KEY_ID"]),
    ],
    ids=["no bucket", "no credentials", "nobody there", "credentials in the address"],
)
def test_what_keeps_a_store_shut_is_told_in_a_paragraph(here, monkeypatch, results, changed, said):
    for name, value in changed.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    told = here("run", "--here", results=results, code=2)
    assert all(words in told for words in said)
    assert len(told.strip().splitlines()) == 1 and "--results" in told
    assert SECRET not in told
