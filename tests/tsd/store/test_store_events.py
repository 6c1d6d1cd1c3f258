"""What happened is told in order, also after a crash."""

from contextlib import closing

import pytest

from tsd.store import EventLog, StoreError, events


def test_events_are_read_in_order_of_time(any_store):
    with closing(EventLog(any_store, "run2")) as second, closing(EventLog(any_store, "run1")) as first:
        second.add("started", {"packs": 3})
        first.add("started")
        second.add("pack", {"states": {"done": 2}, "name": "größer"})
    told = any_store.events()
    assert [event["kind"] for event in told] == ["started", "started", "pack"]
    assert told[0]["packs"] == 3
    assert told[2]["states"] == {"done": 2}
    assert all(event["at"].endswith("+00:00") for event in told)


def test_on_a_disk_a_line_is_there_at_once(store):
    EventLog(store, "run").add("started")
    assert len(store.events()) == 1


def test_a_line_that_was_cut_off_hides_no_other(store):
    log = EventLog(store, "run")
    log.add("one")
    store.files.append("events/run.jsonl", b'{"kind": "cut')
    assert [event["kind"] for event in store.events()] == ["one"]


def test_an_object_store_gets_pieces(bucket_store, monkeypatch):
    monkeypatch.setattr(events, "PIECE_LINES", 2)
    log = EventLog(bucket_store, "run")
    for i in range(5):
        log.add("pack", {"i": i})
    assert len(bucket_store.files.listed("events")) == 2
    log.close()
    log.close()
    assert len(bucket_store.files.listed("events")) == 3
    assert [event["i"] for event in bucket_store.events()] == list(range(5))


def test_an_object_store_is_not_kept_waiting(bucket_store, monkeypatch):
    monkeypatch.setattr(events, "PIECE_S", -1.0)
    EventLog(bucket_store, "run").add("started")
    assert len(bucket_store.events()) == 1


def test_a_run_cannot_be_named_out_of_its_folder(store):
    with pytest.raises(StoreError, match="cannot be part of a file's name"):
        EventLog(store, "../run")
