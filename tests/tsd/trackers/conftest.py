"""A small sweep in a store: two widths, three seeds, one failed trial."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from tsd.store import Store, schema
from tsd.store.schema import ColumnInfo
from tsd.trackers._report import Report

PARAMETERS = {"width": ColumnInfo("int"), "layer": ColumnInfo("str"), "lr": ColumnInfo("float")}
METRICS = {"mse": ColumnInfo("float"), "learned": ColumnInfo("bool"), "way": ColumnInfo("str")}
SWEEP = {"name": "tracked sweep", "study": "spectral"}
PROVENANCE = {"git_sha": "abc123", "versions": {"torch": "2.13.0", "ray": None}, "host": "here"}


def trial(width: int, seed: int, mse: float, state: str = "done", kind: str = "experiment") -> dict[str, object]:
    own = {
        "width": width,
        "layer": "spectral",
        "lr": 0.1,
        "seed_init": seed,
        "mse": mse,
        "learned": mse < 1,
        "way": "x",
    }
    return own | {"trial_id": f"{width}-{seed}-{kind}", "state": state, "kind": kind, "started_at": 0}


ROWS = [trial(10, 0, 1.0), trial(10, 1, 3.0), trial(10, 2, 0.0, "failed"), trial(20, 0, 0.5), trial(20, 1, 0.25)]
ROWS += [trial(20, 2, float("nan")), trial(20, 9, 77.0, kind="theory")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results" / "tracked sweep")
    store.prepare(SWEEP, PROVENANCE)
    store.write_part("p", pa.Table.from_pylist(ROWS, schema=schema.trial_schema(PARAMETERS, METRICS)), None)
    return store


@pytest.fixture
def report(store: Store) -> Report:
    connection = duckdb.connect()
    connection.register("rows", store.trials())
    return Report.of(store, connection, [*PARAMETERS, "seed_init"])
