"""One offline run a sweep, read back from W&B's own file."""

import json
import struct

import pytest

from tsd.trackers import ready

wandb = pytest.importorskip("wandb", reason="no Weights & Biases here: pip install 'tsd[wandb]'")


BLOCK = 32768


def framed(data):
    """The records of a LevelDB log: checksum, length, and whether this is all (1), the first, a middle or the last
    piece (4), in blocks that a piece never crosses. W&B puts seven bytes of its own before them."""
    at, held = 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        held += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield held
            held = b""


def records(folder):
    """Every record of the one run below `folder`."""
    from wandb.proto.wandb_internal_pb2 import Record

    [file] = folder.glob("wandb/offline-run-*/run-*.wandb")
    return [Record.FromString(data) for data in framed(file.read_bytes())]


@pytest.mark.filterwarnings("default")
def test_a_sweep_is_one_offline_run_with_a_table_and_an_artifact(report, tmp_path, monkeypatch):
    for name, value in {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}.items():
        monkeypatch.setenv(name, value)
    ready("wandb")(report, None)
    found = records(tmp_path)
    [run] = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    assert (run.display_name, run.project) == ("tracked sweep", "tsd")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["layer"] == "spectral" and config["tsd"] == {"git_sha": "abc123", "torch": "2.13.0"}
    updates = [item for record in found for item in record.summary.update]
    summary = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in updates}
    assert {name: summary[name] for name in report.summary} == dict(report.summary)
    artifacts = {record.artifact.name for record in found if record.WhichOneof("record_type") == "artifact"}
    artifacts |= {r.request.log_artifact.artifact.name for r in found if r.request.WhichOneof("request_type")}
    assert "tracked_sweep-trials" in artifacts
    [table] = (tmp_path / "wandb").glob("offline-run-*/files/media/table/settings_*.table.json")
    kept = json.loads(table.read_text())
    assert kept["columns"] == ["width", "n", "mse", "learned"] and len(kept["data"]) == 2
