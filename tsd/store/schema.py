"""The columns of the stored tables: names, types, units and meaning. This is the contract with `analysis`.

A table carries what its columns mean in its own metadata, so that a reader needs neither the study nor torch:
`tsd.schema_version`, and `tsd.fields`, JSON of column → {role, unit, doc} with role "parameter" (asked for by the
sweep), "metric" (reported by the study) or "record" (about the run). Curves stand beside the columns, with role "curve"
where they are no metric too, and all of them with `step`, what their steps are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1
STATES = ("done", "diverged", "failed")
"""How a trial may end, best first: where a trial has several rows, the first of these that it reached is read."""

VERSION_KEY = b"tsd.schema_version"
FIELDS_KEY = b"tsd.fields"


@dataclass(frozen=True)
class ColumnInfo:
    """What is known of a parameter or a metric. `type` is one of bool, int, float, str."""

    type: str
    unit: str = ""
    doc: str = ""


@dataclass(frozen=True)
class CurveInfo:
    """What is known of a curve. `step` is what its steps are called: "step" for optimizer steps."""

    unit: str = ""
    doc: str = ""
    step: str = "step"


NO_CURVES: Mapping[str, CurveInfo] = {}
TYPES = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
INSTANT = pa.timestamp("us", tz="UTC")

_HEAD = {
    "trial_id": (pa.string(), "", "Names the trial: a hash of its study, its fields and its seeds."),
    "study": (pa.string(), "", "What one trial computes."),
    "study_version": (pa.int64(), "", "Rises when a change to the study can move numbers."),
    "kind": (pa.string(), "", "experiment, or theory for a predicted row."),
    "state": (pa.string(), "", "done, diverged (the dynamics blew up, a result) or failed (an error)."),
    "error_type": (pa.string(), "", "Class of the error of a failed trial."),
    "error": (pa.string(), "", "Trace of the error of a failed trial."),
    "origin": (pa.string(), "", "Which round of the sweep asked for the trial: grid, or refine:k."),
}
_TAIL = {
    "seed_teacher": (pa.int64(), "", "Index of the stream that draws the teacher's weights."),
    "seed_data": (pa.int64(), "", "Index of the stream that draws inputs, subsets and batch order."),
    "seed_init": (pa.int64(), "", "Index of the stream that draws the student's start."),
    "seed_noise": (pa.int64(), "", "Index of the stream that draws what a simulation or a method draws."),
    "pack_id": (pa.string(), "", "Names the pack in which the trial ran."),
    "wall_s": (pa.float64(), "s", "Wall time of the pack, divided by its trials."),
    "device": (pa.string(), "", "Kind of device that computed the trial."),
    "dtype": (pa.string(), "", "Precision of parameters and data."),
    "way_taken": (pa.string(), "", "How the engine stepped: loop, vmap, dense or fused."),
    "started_at": (INSTANT, "", "When the pack started."),
    "git_sha": (pa.string(), "", "Commit of the code."),
    "tsd_version": (pa.string(), "", "Version of the package."),
    "host": (pa.string(), "", "Machine that ran the trial."),
}
_NEVER_NULL = ("trial_id", "state", "started_at")

CURVES = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
    ],
    metadata={VERSION_KEY: str(SCHEMA_VERSION)},
)


def trial_schema(
    parameters: Mapping[str, ColumnInfo],
    metrics: Mapping[str, ColumnInfo],
    curves: Mapping[str, CurveInfo] = NO_CURVES,
) -> pa.Schema:
    """The table `trials` of a study: what every study has, its parameters, its metrics, in the contract's order.

    `dtype` is a parameter of most studies; it is then told as one, and keeps its place near the end. The way to step
    that was asked for, a parameter `way`, and the one that was taken, the record `way_taken`, are two columns, so that
    a row holds every field of its trial as it was asked for.

    Args:
        parameters, metrics: columns of their own, by name.
        curves: what the study's curves are, by metric; they are told in the metadata and are no columns here.

    Raises:
        ValueError: a parameter or a metric has the name of another column.
    """
    own = {name: info for name, info in parameters.items() if name != "dtype"}
    clash = sorted((set(own) | set(metrics)) & (set(_HEAD) | set(_TAIL)) | (set(own) & set(metrics)))
    if clash:
        raise ValueError(f"two columns cannot have one name: {', '.join(clash)}")
    types = {name: type_ for name, (type_, _, _) in _HEAD.items()}
    types |= {name: TYPES[info.type] for name, info in (own | dict(metrics)).items()}
    types |= {name: type_ for name, (type_, _, _) in _TAIL.items()}
    fields = _record(_HEAD) | _told(own, "parameter") | _told(metrics, "metric") | _record(_TAIL)
    if "dtype" in parameters:
        fields["dtype"] |= {"role": "parameter"}
    for name, curve in curves.items():
        told = {"role": "curve", "unit": curve.unit, "doc": curve.doc}
        fields[name] = fields.get(name, told) | {"step": curve.step}
    return _schema([pa.field(name, type_, nullable=name not in _NEVER_NULL) for name, type_ in types.items()], fields)


def fields_of(schema: pa.Schema) -> dict[str, dict[str, str]]:
    """What the columns and the curves of a table mean: name → {role, unit, doc}, and `step` for a curve."""
    return json.loads((schema.metadata or {}).get(FIELDS_KEY, b"{}"))


def version_in(metadata: Mapping[bytes, bytes] | None) -> int | None:
    """The schema version of a table, by its metadata; None where the table is not one of ours."""
    version = (metadata or {}).get(VERSION_KEY, b"")
    return int(version) if version.isdigit() else None


def unified(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """One schema for tables of one study over time: every column of any, in the order of the contract.

    Where two differ in what a column means the later one is believed. A whole number and a number are a number; a
    column that was text once and a number later raises pyarrow.ArrowTypeError.
    """
    schemas = distinct(schemas) or [trial_schema({}, {})]
    merged = pa.unify_schemas(schemas, promote_options="permissive")
    fields: dict[str, dict[str, str]] = {}
    for schema in schemas:
        fields |= fields_of(schema)
    own = [name for name in merged.names if name not in _HEAD and name not in _TAIL]
    metrics = [name for name in own if fields.get(name, {}).get("role") == "metric"]
    order = [*_HEAD, *(name for name in own if name not in metrics), *metrics, *_TAIL]
    return _schema([merged.field(name) for name in order if name in merged.names], fields)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` in `schema`; columns that it does not have are NULL, those that `schema` does not have are dropped."""
    if table.schema.equals(schema):  # a thousand parts need not be cast column by column to what they are
        return pa.Table.from_arrays(table.columns, schema=schema)
    missing = pa.nulls(table.num_rows)
    columns = [table[f.name].cast(f.type) if f.name in table.column_names else missing.cast(f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _schema(columns: list[pa.Field], fields: Mapping[str, Any]) -> pa.Schema:
    names = {column.name for column in columns}
    kept = {name: told for name, told in fields.items() if name in names or told["role"] == "curve"}
    text = json.dumps(kept, ensure_ascii=False)
    return pa.schema(columns, metadata={VERSION_KEY: str(SCHEMA_VERSION), FIELDS_KEY: text})


def _record(columns: Mapping[str, tuple[pa.DataType, str, str]]) -> dict[str, dict[str, str]]:
    return {name: {"role": "record", "unit": unit, "doc": doc} for name, (_, unit, doc) in columns.items()}


def _told(infos: Mapping[str, ColumnInfo], role: str) -> dict[str, dict[str, str]]:
    return {name: {"role": role, "unit": info.unit, "doc": info.doc} for name, info in infos.items()}


def distinct(schemas: Iterable[pa.Schema]) -> list[pa.Schema]:
    """Each schema once, where it first occurs."""
    found: dict[bytes, pa.Schema] = {}
    last = None
    for schema in schemas:
        if last is None or not schema.equals(last, check_metadata=True):  # a thousand parts are mostly alike
            found.setdefault(schema.serialize().to_pybytes(), schema)
        last = schema
    return list(found.values())
