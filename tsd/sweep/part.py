"""What is kept of a pack: its trials and how they ended, as the tables of its part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import pyarrow as pa

from tsd.store import schema
from tsd.studies._base import Outcome
from tsd.sweep.columns import parameters


def schema_of(study: ModuleType, parts: Mapping[str, Sequence[str]]) -> pa.Schema:
    """The table of a study's trials: their fields, among them those of the named members, and the metrics."""
    fields, told = parameters(study.Trial, parts), study.METRICS
    infos = {f.name: schema.ColumnInfo(f.type.__name__, f.unit, f.doc) for f in fields.values()}
    metrics = {m.name: schema.ColumnInfo(m.type.__name__, m.unit, m.doc) for m in told if not m.curve}
    curves = {m.name: schema.CurveInfo(m.unit, m.doc, m.step) for m in told if m.curve}
    return schema.trial_schema(infos, metrics, curves)


def trial_rows(
    records: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome], common: Mapping[str, Any], columns: pa.Schema
) -> pa.Table:
    """One row a trial: what was asked for, what is common to the pack, and how the trial ended."""
    rows = [{**record, **common, **_ended(outcome)} for record, outcome in zip(records, outcomes, strict=True)]
    return pa.Table.from_pylist(rows, schema=columns)


def curve_rows(records: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> pa.Table | None:
    """The curves of all trials; None where there are none."""
    rows = [
        {"trial_id": record["trial_id"], "step": step, "metric": curve.metric, "value": value}
        for record, outcome in zip(records, outcomes, strict=True)
        for curve in outcome.measured.curves
        for step, value in zip(curve.steps, curve.values, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=schema.CURVES) if rows else None


def _ended(outcome: Outcome) -> dict[str, Any]:
    return dict(outcome.measured.metrics) | {
        "state": outcome.state,
        "error_type": outcome.error_type,
        "error": outcome.error,
        "way_taken": outcome.way or None,
    }
