"""What happened in a run, as it happened: one JSON object a line in `events/<run>.jsonl`.

On a disk each line is there at once. An object store cannot append, so there lines go out in pieces,
`events/<run>-0001.jsonl` and on.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tsd.store.files import Files
from tsd.store.names import key

if TYPE_CHECKING:
    from tsd.store import Store

PIECE_LINES = 500
PIECE_S = 60.0


class EventLog:
    """The log of one run. Not synced: a power cut may cost the last lines, and no result.

    Args:
        store: whose log it is.
        run_id: names the run.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._files = store.files
        self._run = key(run_id)
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._pieces = 0
        self._since = time.monotonic()

    def add(self, kind: str, facts: Mapping[str, Any] | None = None) -> None:
        """Note that something of this kind happened, with facts about it; any thread may. Raises StoreError."""
        event = {"at": datetime.now(UTC).isoformat(timespec="microseconds"), "kind": kind} | dict(facts or {})
        line = json.dumps(event, ensure_ascii=False, default=str).encode() + b"\n"
        with self._lock:
            if self._files.appends:
                self._files.append(f"events/{self._run}.jsonl", line)
                return
            self._waiting.append(line)
            if len(self._waiting) >= PIECE_LINES or time.monotonic() - self._since > PIECE_S:
                self._send()

    def close(self) -> None:
        """Send off what waits."""
        with self._lock:
            self._send()

    def _send(self) -> None:
        if self._waiting:
            self._pieces += 1
            self._files.write(f"events/{self._run}-{self._pieces:04}.jsonl", b"".join(self._waiting))
        self._waiting = []
        self._since = time.monotonic()


def read(files: Files) -> Iterator[dict[str, Any]]:
    """The events of all runs, file by file; a line that was cut off is passed over."""
    for entry in files.listed("events"):
        if not entry.name.endswith(".jsonl"):
            continue
        for line in files.read(entry.name).splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event
