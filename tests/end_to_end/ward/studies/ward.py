"""A study of trials that may be ill: it waits, computes next to nothing, and one of its trials takes its process
along."""

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from tsd.fields import Batched, Static, field
from tsd.studies._base import Measured, Metric, Outcome, Study

VERSION = 1


class Trial(Study):
    """One patient."""

    bed: Batched[int] = field(0, ge=0, doc="Number of the patient.")
    room: Static[int] = field(0, ge=0, doc="Patients of one room share packs.")
    pause: Static[float] = field(0.0, ge=0, unit="s", doc="How long a patient takes.")
    ill: Static[str] = field("", doc="What the patient at `ill_bed` does, as in ILLNESSES.")
    ill_bed: Static[int] = field(0, ge=0, doc="Which patient is ill.")


METRICS = [Metric("value", "1", doc="A draw that depends on the trial alone.")]
EXAMPLE = {"bed": 1}


def hang() -> None:
    """In C, holding the GIL: no Python thread of the process runs on."""
    ctypes.PyDLL(None).sleep(100_000)


def exhaust() -> None:
    """Nine tenths of what is free; only asked for, never touched."""
    free = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    np.empty(int(free.split()[1]) * 1024 * 9 // 10, np.uint8)


def kill() -> None:
    """As the system does when memory has run out."""
    os.kill(os.getpid(), signal.SIGKILL)


def fault() -> None:
    """Read address zero."""
    ctypes.string_at(0)


ILLNESSES = {"hangs": hang, "exhausts": exhaust, "is killed": kill, "exits": lambda: os._exit(3), "faults": fault}


def simulate(trials, seeds, checkpoint):
    """Patient after patient; of a patient nothing is kept. While there is a file `closed` among the run's temporary
    files, only packs with the first patient of a room go on."""
    outcomes, door = [], Path(os.environ.get("TMPDIR", "/tmp"), "closed")
    while door.exists() and all(trial.bed for trial in trials):
        time.sleep(0.05)
    for trial, streams in zip(trials, seeds, strict=True):
        time.sleep(trial.pause)
        if trial.ill and trial.bed == trial.ill_bed:
            ILLNESSES[trial.ill]()
        value = float(streams.generator("noise", f"value {trial.bed} {trial.room}").standard_normal())
        outcomes.append(Outcome("done", Measured({"value": value})))
    return outcomes
