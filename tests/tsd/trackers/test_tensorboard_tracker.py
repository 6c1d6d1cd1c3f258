"""What TensorBoard's HParams page reads, read back from the event files."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from tensorboardX.proto.summary_pb2 import Summary

from tsd.errors import UserError
from tsd.trackers import ready, tensorboard


def values(file: Path) -> Iterator[Summary.Value]:
    """Of every event: records are a length, its checksum, the event, its checksum."""
    data, at = file.read_bytes(), 0
    while at < len(data):
        [length] = struct.unpack_from("<Q", data, at)
        yield from Event.FromString(data[at + 12 : at + 12 + length]).summary.value
        at += 16 + length


def sessions(folder: Path) -> list[tuple[dict[str, object], dict[str, float]]]:
    """Parameters and metrics of every session."""
    found = []
    for file in folder.glob("*/events.out.tfevents.*"):
        told, measured = {}, {}
        for value in values(file):
            start = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
            told |= {name: getattr(kept, kept.WhichOneof("kind")) for name, kept in start.hparams.items()}
            if value.WhichOneof("value") == "simple_value":
                measured[value.tag] = value.simple_value
        found.append((told, measured))
    return sorted(found, key=lambda each: each[0]["width"])


@pytest.mark.parametrize("times", [1, 2])
def test_a_session_is_a_setting_with_its_means_however_often_it_is_sent(report, tmp_path, times):
    for _ in range(times):
        told = ready("tensorboard")(report, str(tmp_path / "runs"))
    folder = tmp_path / "runs" / "tracked sweep"
    assert str(folder) in told
    same = {"layer": "spectral", "lr": 0.1}
    assert sessions(folder) == [
        (same | {"width": 10}, {"mse": 2.0, "learned": 0.0, "n": 2}),
        (same | {"width": 20}, {"mse": 0.375, "learned": pytest.approx(2 / 3), "n": 3}),
    ]


def test_more_settings_than_a_page_shows_are_refused(report, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "MOST", 1)
    with pytest.raises(UserError, match="--where"):
        ready("tensorboard")(report, str(tmp_path))
    assert not list(tmp_path.rglob("*tfevents*"))


def test_a_folder_that_is_none_is_told(report, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match="Give another folder with --at"):
        ready("tensorboard")(report, str(tmp_path / "runs"))


@pytest.mark.parametrize("name", ["../up", "/abs", ".."])
def test_a_name_that_leads_out_of_the_folder_is_refused(report, tmp_path, name):
    """It is read from results, which may be somebody else's."""
    with pytest.raises(UserError, match="cannot be the name of a results folder"):
        ready("tensorboard")(replace(report, name=name), str(tmp_path / "runs"))
    assert not list(tmp_path.rglob("*tfevents*"))
