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
from tsd.store import Store, StoreError, names, schema
from tsd.store.checkpoints import Keeper
from tsd.studies import STUDIES
from tsd.studies._base import Outcome, artefacts
from tsd.sweep import log
from tsd.sweep.columns import parameters
from tsd.sweep.gauge import Gauge, Room, out_of_memory
from tsd.sweep.shelf import StoreShelf

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
        try:
            with log.about(sweep=self.context.sweep, pack=pack_id(rows.column("trial_id").to_pylist())):
                return self._work(rows)
        except StoreError as error:
            return Report("", {}, 0.0, {}, str(error))

    def _work(self, rows: pa.Table) -> Report:
        started, clock = datetime.now(UTC), time.perf_counter()
        records = rows.to_pylist()
        trials, seeds = [self._trial(r) for r in records], [_streams(r) for r in records]
        self.gauge.start()
        ids = [record["trial_id"] for record in records]
        keep = self.store.checkpoints.of(pack_id(ids), ids)
        outcomes, most = self._outcomes(trials, seeds, keep)
        report = self._keep(records, outcomes, started, time.perf_counter() - clock, most)
        keep.clear()
        return report

    def keep_failed(self, rows: pa.Table, error_type: str, error: str) -> Report:
        """Keep trials as `failed` that took their process along and could not say so themselves."""
        failed = [Outcome("failed", error_type=error_type, error=error)] * rows.num_rows
        try:
            return self._keep(rows.to_pylist(), failed, datetime.now(UTC), 0.0)
        except StoreError as refused:
            return Report("", {}, 0.0, {}, str(refused))

    def _keep(
        self,
        records: Sequence[dict[str, Any]],
        outcomes: Sequence[Outcome],
        started: datetime,
        seconds: float,
        most: int = 0,
    ) -> Report:
        """Write the part of a pack."""
        pack = pack_id([r["trial_id"] for r in records])
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
        table = [record | common | _result(outcome) for record, outcome in zip(records, outcomes, strict=True)]
        self.store.write_part(pack, pa.Table.from_pylist(table, schema=self._schema()), _curves(records, outcomes))
        failures = Counter(str(o.error_type) for o in outcomes if o.state == "failed")
        with log.about(sweep=self.context.sweep, pack=pack):
            _log(records, outcomes, seconds)
        states, gauge = dict(Counter(o.state for o in outcomes)), self.gauge
        return Report(pack, states, seconds, dict(failures), peak_bytes=gauge.peak, room_bytes=gauge.room, most=most)

    def _outcomes(self, trials: Sequence[Any], seeds: Sequence[Streams], keep: Keeper) -> tuple[list[Outcome], int]:
        """How the trials ended, and how many of them memory holds at once where it has run out, else 0. The next packs
        of the shape come in parts of so many from the start."""
        shape, room = repr(trials[0].values(Role.STATIC)), Room()
        size = self.most.get(shape, len(trials))
        outcomes: list[Outcome] = []
        for first in range(0, len(trials), size):
            part = slice(first, first + size)
            outcomes += _outcomes(self._compute(keep), trials[part], seeds[part], room)
        if room.short:
            self.most[shape] = max(room.fitted, 1)
        return outcomes, self.most.get(shape, 0)

    def _compute(self, keep: Keeper) -> Compute:
        from tsd.engine.run import run_pack

        return lambda trials, seeds: run_pack(self.study, trials, seeds, self.shelf, self.context.device, keep=keep)

    def _trial(self, row: Mapping[str, Any]) -> Any:
        return self.study.Trial.of({k: v for k, v in row.items() if v is not None})

    def _schema(self) -> pa.Schema:
        fields = parameters(self.study.Trial, self.context.parts)
        told = self.study.METRICS
        metrics = {m.name: schema.ColumnInfo(m.type.__name__, m.unit, m.doc) for m in told if not m.curve}
        curves = {m.name: schema.CurveInfo(m.unit, m.doc, m.step) for m in told if m.curve}
        infos = {f.name: schema.ColumnInfo(f.type.__name__, f.unit, f.doc) for f in fields.values()}
        return schema.trial_schema(infos, metrics, curves)


def _log(records: Sequence[dict[str, Any]], outcomes: Sequence[Outcome], seconds: float) -> None:
    """What a pack came to, and each trial that failed with the last line of its trace."""
    for record, outcome in zip(records, outcomes, strict=True):
        if outcome.state == "failed":
            with log.about(trial=record["trial_id"]):
                log.LOG.warning("failed: %s", (outcome.error or str(outcome.error_type)).strip().splitlines()[-1])
    states = ", ".join(f"{state} {count}" for state, count in Counter(o.state for o in outcomes).items())
    count = "1 trial" if len(outcomes) == 1 else f"{len(outcomes)} trials"
    log.LOG.info("stored %s in %.1f s: %s", count, seconds, states)


def pack_id(trial_ids: Sequence[str]) -> str:
    """The pack's name: a hash of its members, whatever their order."""
    return hashlib.blake2b("".join(sorted(trial_ids)).encode(), digest_size=16).hexdigest()


def _streams(row: Mapping[str, Any]) -> Streams:
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


def _result(outcome: Outcome) -> dict[str, Any]:
    return dict(outcome.measured.metrics) | {
        "state": outcome.state,
        "error_type": outcome.error_type,
        "error": outcome.error,
        "way_taken": outcome.way or None,
    }


def _curves(records: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> pa.Table | None:
    rows = [
        {"trial_id": record["trial_id"], "step": step, "metric": curve.metric, "value": value}
        for record, outcome in zip(records, outcomes, strict=True)
        for curve in outcome.measured.curves
        for step, value in zip(curve.steps, curve.values, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=schema.CURVES) if rows else None
