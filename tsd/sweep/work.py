"""What a worker does with one pack: rows → trials → engine → one part. The same code under Ray and in this process.

A trial that raises never takes its neighbours along: the pack is halved until the culprit is alone, and what is kept
of it is a row in the state `failed` with its trace.
"""

from __future__ import annotations

import hashlib
import importlib
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pyarrow as pa

import tsd
from tsd.engine.rng import STREAMS, Streams
from tsd.errors import UserError
from tsd.fields import Role
from tsd.store import Store, StoreError, names
from tsd.store.checkpoints import Keeper
from tsd.studies import STUDIES
from tsd.studies._base import Outcome, artefacts
from tsd.sweep import columns, log, part
from tsd.sweep.gauge import Gauge, Room, out_of_memory
from tsd.sweep.shelf import StoreShelf
from tsd.words import counted

Record = Mapping[str, Any]
"""A trial as a row: its id, its fields, its seeds."""
Compute = Callable[[Sequence[Any], Sequence[Streams]], list[Outcome]]
"""Trials of one shape and their random streams → how they ended; raises what the study raises."""


@dataclass(frozen=True)
class Context:
    """What every pack of a run shares. It travels to the workers once.

    Args:
        study: name of the study.
        root: the results folder or URI of the sweep.
        device: "cpu" or "cuda".
        git_sha: the code that runs, as the driver sees it.
        parts: the field values by which members of other families join in ({"method": ("kd", "none")}).
    """

    study: str
    root: str
    device: str
    git_sha: str
    parts: Mapping[str, tuple[str, ...]]

    @property
    def sweep(self) -> str:
        """Name of the sweep, which is that of its folder."""
        return names.shown(self.root).rpartition("/")[2]


@dataclass(frozen=True)
class Report:
    """What the driver hears of a pack: counts, never rows.

    Args:
        pack_id: names the pack.
        states: trials by state.
        seconds: time of the pack.
        errors: failed trials by type of error.
        refused: why the store could not give or take what the pack needs; empty where all went well.
        host: the machine that worked it.
        peak_bytes, room_bytes: memory that it took at its worst, and what there was for it.
        most: trials at once after memory had run out; 0 where it did not.
    """

    pack_id: str
    states: Mapping[str, int]
    seconds: float
    errors: Mapping[str, int]
    refused: str = ""
    host: str = field(default_factory=socket.gethostname)
    peak_bytes: int = 0
    room_bytes: int = 0
    most: int = 0

    @classmethod
    def refusal(cls, error: StoreError) -> Report:
        """Nothing came of the pack, because the store could not give or take what it needs."""
        return cls("", {}, 0.0, {}, str(error))


class Worker:
    """One place that works packs; what it loaded once (a study, artefacts, data) serves the next pack too."""

    def __init__(self, context: Context) -> None:
        self.context = context
        importlib.import_module("tsd.engine.run")  # seconds that its first pack shall not be charged with
        self.study: ModuleType = STUDIES.load(context.study)
        self.store = Store(context.root)
        self.shelf = StoreShelf(self.study, context.study, self.store)
        self.gauge = Gauge(context.device)
        self.most: dict[str, int] = {}

    def train_artefact(self, name: str, row: Mapping[str, Any]) -> Report:
        """Train the artefact `name` that the trial in `row` needs, unless it is there. An error of its training is told
        by the trials that need it, each in its own row."""
        started = time.perf_counter()
        trial = self._trial(row)
        refused = ""
        try:
            artefact = next(a for a in artefacts(self.study, trial) if a.name == name)
            self.shelf.get(artefact, trial, _streams(row))
        except StoreError as error:
            refused = str(error)
        except Exception:
            pass  # It comes again where a trial asks for the artefact, and is kept there.
        return Report(name, {}, time.perf_counter() - started, {}, refused)

    def work(self, rows: pa.Table) -> Report:
        """Run the trials of one pack and write its part."""
        records = rows.to_pylist()
        return self._reported(records, lambda pack: self._work(pack, records))

    def keep_failed(self, rows: pa.Table, error_type: str, error: str) -> Report:
        """Keep trials as `failed` that took their process along and could not say so themselves."""
        records = rows.to_pylist()
        failed = [Outcome("failed", error_type=error_type, error=error)] * len(records)
        return self._reported(records, lambda pack: self._keep(pack, records, failed, datetime.now(UTC), 0.0))

    def _reported(self, records: Sequence[Record], work: Callable[[str], Report]) -> Report:
        """What `work` reports of the pack of these trials, whose name it is given, or that the store refused it."""
        pack = pack_id([record["trial_id"] for record in records])
        try:
            with log.about(sweep=self.context.sweep, pack=pack):
                return work(pack)
        except StoreError as error:
            return Report.refusal(error)

    def _work(self, pack: str, records: Sequence[Record]) -> Report:
        started, clock = datetime.now(UTC), time.perf_counter()
        trials, seeds = [self._trial(r) for r in records], [_streams(r) for r in records]
        self.gauge.start()
        keep = self.store.checkpoints.of(pack, [record["trial_id"] for record in records])
        outcomes, most = self._outcomes(trials, seeds, keep)
        report = self._keep(pack, records, outcomes, started, time.perf_counter() - clock, most=most)
        keep.clear()
        return report

    def _keep(
        self,
        pack: str,
        records: Sequence[Record],
        outcomes: Sequence[Outcome],
        started: datetime,
        seconds: float,
        *,
        most: int = 0,
    ) -> Report:
        """Write the part of a pack."""
        common = {
            "study": self.context.study,
            "study_version": self.study.VERSION,
            "kind": "experiment",
            "pack_id": pack,
            "wall_s": seconds / len(records),
            "device": self.context.device,
            "started_at": started,
            "git_sha": self.context.git_sha,
            "tsd_version": tsd.__version__,
            "host": socket.gethostname(),
        }
        rows = part.trial_rows(records, outcomes, common, part.schema_of(self.study, self.context.parts))
        self.store.write_part(pack, rows, part.curve_rows(records, outcomes))
        _log(records, outcomes, seconds)
        failures = Counter(str(o.error_type) for o in outcomes if o.state == "failed")
        states, gauge = dict(Counter(o.state for o in outcomes)), self.gauge
        return Report(pack, states, seconds, dict(failures), peak_bytes=gauge.peak, room_bytes=gauge.room, most=most)

    def _outcomes(self, trials: Sequence[Any], seeds: Sequence[Streams], keep: Keeper) -> tuple[list[Outcome], int]:
        """How the trials ended, and how many of them memory holds at once where it has run out, else 0. The next packs
        of the shape come in parts of so many from the start."""
        shape, room = repr(trials[0].values(Role.STATIC)), Room()
        size = self.most.get(shape, len(trials))
        outcomes: list[Outcome] = []
        for first in range(0, len(trials), size):
            some = slice(first, first + size)
            outcomes += _outcomes(self._compute(keep), trials[some], seeds[some], room)
        if room.short:
            self.most[shape] = max(room.fitted, 1)
        return outcomes, self.most.get(shape, 0)

    def _compute(self, keep: Keeper) -> Compute:
        from tsd.engine.run import run_pack

        return lambda trials, seeds: run_pack(self.study, trials, seeds, self.shelf, self.context.device, keep=keep)

    def _trial(self, row: Record) -> Any:
        return columns.trial(self.study, row)


def _log(records: Sequence[Record], outcomes: Sequence[Outcome], seconds: float) -> None:
    """What a pack came to, and each trial that failed with the last line of its trace."""
    for record, outcome in zip(records, outcomes, strict=True):
        if outcome.state == "failed":
            with log.about(trial=record["trial_id"]):
                log.LOG.warning("failed: %s", (outcome.error or str(outcome.error_type)).strip().splitlines()[-1])
    states = ", ".join(f"{state} {count}" for state, count in Counter(o.state for o in outcomes).items())
    log.LOG.info("stored %s in %.1f s: %s", counted(len(outcomes), "trial"), seconds, states)


def pack_id(trial_ids: Sequence[str]) -> str:
    """The pack's name: a hash of its members, whatever their order."""
    return hashlib.blake2b("".join(sorted(trial_ids)).encode(), digest_size=16).hexdigest()


def _streams(row: Record) -> Streams:
    return Streams({stream: row[f"seed_{stream}"] for stream in STREAMS})


def _outcomes(compute: Compute, trials: Sequence[Any], seeds: Sequence[Streams], room: Room) -> list[Outcome]:
    try:
        outcomes = compute(trials, seeds)
        room.fitted = max(room.fitted, len(trials))
        return outcomes
    except StoreError:
        raise
    except Exception as error:
        room.short = room.short or out_of_memory(error)
        if len(trials) == 1:
            told = str(error) if isinstance(error, UserError) else traceback.format_exc()
            return [Outcome("failed", error_type=type(error).__name__, error=told)]
    half = len(trials) // 2
    first = _outcomes(compute, trials[:half], seeds[:half], room)
    return first + _outcomes(compute, trials[half:], seeds[half:], room)
