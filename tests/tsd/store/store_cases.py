"""Small tables that the tests of the store share."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import fs

from tsd.store import Store, schema
from tsd.store.bucket import Bucket
from tsd.store.schema import ColumnInfo

PARAMETERS = {"lr": ColumnInfo("float", "", "Step size."), "width": ColumnInfo("int", "nodes", "Width.")}
METRICS = {"mse": ColumnInfo("float", "target²", "Error.")}
SCHEMA = schema.trial_schema(PARAMETERS, METRICS)
SWEEP = {"name": "probe", "study": "spectral", "axes": {"lr": [0.1, 0.2]}}


def row(trial_id: str, state: str = "done", at: int = 0, **values: Any) -> dict[str, Any]:
    """One row, as of `at` seconds after 1970."""
    started = datetime.fromtimestamp(at, UTC)
    base = {"study": "spectral", "study_version": 1, "kind": "experiment", "origin": "grid", "pack_id": "p"}
    return base | {"trial_id": trial_id, "state": state, "started_at": started, "lr": 0.1, "mse": float(at)} | values


def rows(trial_ids: Iterable[str], state: str = "done", at: int = 0, columns: pa.Schema = SCHEMA) -> pa.Table:
    """One row for each trial."""
    return pa.Table.from_pylist([row(t, state, at) for t in trial_ids], schema=columns)


def curves(trial_ids: Iterable[str], value: float = 0.0, points: int = 2) -> pa.Table:
    """A curve of `points` points for each trial, all at `value`."""
    made = [{"trial_id": t, "step": s, "metric": "mse", "value": value} for t in trial_ids for s in range(points)]
    return pa.Table.from_pylist(made, schema=schema.CURVES)


def told(store: Store) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """What a reader sees: trials as (id, state, mse) and curves as (id, step, value), sorted."""
    trials = store.trials(["trial_id", "state", "mse"]).to_pylist()
    drawn = store.curves().to_pylist()
    return (
        sorted((r["trial_id"], r["state"], r["mse"]) for r in trials),
        sorted((r["trial_id"], r["step"], r["value"]) for r in drawn),
    )


def files_below(store: Store) -> list[str]:
    """Every file of a store on a disk."""
    root = Path(str(store.root))
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


FOLDERS = ("trials", "curves", "manifests", "artefacts", "events")


def in_bucket(folder: Path, patch: pytest.MonkeyPatch, *, puts: bool) -> Store:
    """A store in a bucket, which is a folder behind a pyarrow file system."""
    for name in FOLDERS:
        (folder / "bucket" / "probe" / name).mkdir(parents=True)
        (folder / "bucket" / "probe" / "damaged" / name).mkdir(parents=True)
    system = fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())
    bucket = Bucket(system, "bucket/probe", "s3://bucket/probe", puts)
    patch.setattr("tsd.store.open_root", lambda root: bucket)
    return Store("s3://bucket/probe")
