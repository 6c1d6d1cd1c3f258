"""Open a results folder: every trial and every curve as DuckDB relations, with what is known about their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from analysis.data.rows import Rows, Source, literal, quoted
from analysis.data.where import chosen, count
from analysis.errors import AnalysisError, nearest, unknown

if TYPE_CHECKING:
    import pandas as pd


def load(path: str | Path, where: str | None = None, curve: str | None = None) -> pd.DataFrame:
    """The trials of a results folder, or one of their curves.

    Args:
        path: `results/<sweep>` or a URI such as `s3://bucket/<sweep>`.
        where: an SQL condition on the trials' columns, such as "layer = 'spectral' and lr < 1e-2".
        curve: name of a curve metric; then a row is one step of one trial, with the metric and `step`, or the metric's
            own name for it. Trials that did not finish keep one row without a step.
    Returns:
        One row a trial. The figures of `analysis.figures` find units and provenance in `.attrs`.
    Raises:
        AnalysisError: there are no results, or `where` is not a condition on them.
    """
    results = Results.open(path)
    rows = results.rows(where) if curve is None else results.steps(curve, where)
    order = ["trial_id", *([quoted(rows.step)] if rows.step else [])]
    frame = rows.relation.order(", ".join(order)).to_arrow_table().to_pandas()
    known = {"fields": rows.fields, "orders": rows.orders, "source": asdict(rows.source), "step": rows.step}
    frame.attrs["tsd"] = known
    return frame


@dataclass(frozen=True)
class Results:
    """An open results folder. `connection` has the views `trials` and `curves` and can reach no other file.

    Rows are of one `kind`: "experiment", or "theory" for those that a study predicts.
    """

    path: str
    connection: duckdb.DuckDBPyConnection
    fields: Mapping[str, Mapping[str, str]]
    sweep: Mapping[str, Any]
    kind: str = "experiment"

    @classmethod
    def open(cls, path: str | Path) -> Results:
        """Raises AnalysisError where `path` is no results folder."""
        from tsd.store import Store

        _must_be_results(str(path))
        store = Store(str(path))
        connection = duckdb.connect()
        fields = store.connect(connection)
        seal(connection)
        return cls(str(path), connection, fields, _shaped(store.sweep() or {}, str(path)))

    def curves(self) -> list[str]:
        """Names of the curve metrics."""
        found = self.connection.execute("SELECT DISTINCT metric FROM curves ORDER BY metric")
        return [row[0] for row in found.fetchall()]

    def step_name(self, curve: str) -> str:
        """What a step of the curve is called."""
        return self.fields.get(curve, {}).get("step") or "step"

    def rows(self, where: str | None = None) -> Rows:
        """One row for each trial of this kind that fulfils `where`."""
        self._require_trials()
        trials = self._trials() if where is None else chosen(self._trials(), where)
        return Rows(trials, self.fields, _orders(self.sweep), self._source(trials, where))

    def steps(self, curve: str, where: str | None = None, called: str | None = None) -> Rows:
        """One row for each trial and step of a curve, the step in a column of its own name or as it is `called`.

        Trials without the curve, such as failed ones, keep one row without a step.
        """
        self._require_trials()
        if curve not in self.curves():
            raise unknown("curve", curve, self.curves(), self.path)
        rows, step = self.rows(where), called or self.step_name(curve)
        kept = ", ".join(f"t.{quoted(n)}" for n in rows.relation.columns if n not in (curve, step))
        points = self.connection.sql("SELECT trial_id, step, value FROM curves WHERE metric = ?", params=[curve])
        joined = rows.relation.set_alias("t").join(points.set_alias("c"), "t.trial_id = c.trial_id", how="left")
        relation = joined.project(f"{kept}, c.step AS {quoted(step)}, c.value AS {quoted(curve)}")
        return replace(rows, relation=relation, step=step, behind=rows)

    def rows_for(self, value: str, axes: Sequence[str | None], where: str | None = None) -> Rows:
        """The rows that hold `value`: steps of its curve where one of `axes` is the step of that curve, else trials.

        Raises AnalysisError where `value` is neither a column nor a curve, or is a curve and no axis its step.
        """
        self._require_trials()
        columns, curves, step = self.connection.table("trials").columns, self.curves(), self.step_name(value)
        called = next((a for a in axes if a in (step, "step") and a not in columns), None)
        if value in curves and called:
            return self.steps(value, where, called)
        if value in columns:
            return self.rows(where)
        if value in curves:
            raise AnalysisError(f"`{value}` is a curve: a value for each `{step}`.\nMake `{step}` one of the axes.")
        metrics = [n for n, known in self.fields.items() if known.get("role") == "metric" and n in columns]
        raise unknown("metric or curve", value, {*metrics, *curves}, self.path)

    def values_of(self, value: str, axes: Sequence[str | None], where: str | None = None) -> Rows:
        """The rows that hold `value`: trials where it is one of their columns, else all steps of its curve."""
        if value in self.connection.table("trials").columns:
            return self.rows(where)
        step = self.step_name(value) if value in self.curves() else None
        return self.rows_for(value, [*axes, step], where)

    def theory(self, name: str, axes: Sequence[str | None], where: str | None = None) -> Rows:
        """The rows that hold the prediction `name`: those of kind theory where any does, else the experiments.

        Raises AnalysisError as `rows_for` does.
        """
        predicted = replace(self, kind="theory")
        found = predicted._trials() if where is None else predicted._trials().filter(duckdb.SQLExpression(where))
        if name in found.columns and count(found.filter(f"{quoted(name)} IS NOT NULL")):
            return predicted.rows_for(name, axes, where)
        drawn = self.connection.sql("SELECT DISTINCT trial_id FROM curves WHERE metric = ?", params=[name])
        here = (
            drawn.set_alias("c").join(found.set_alias("t"), "t.trial_id = c.trial_id", how="semi").limit(1).fetchall()
        )
        return (predicted if here else self).rows_for(name, axes, where)

    def _require_trials(self) -> None:
        if not count(self._trials().limit(1)):
            raise AnalysisError(
                f"{self.path} holds no trial yet.\nRun the sweep first: python -m tsd.sweep run sweeps/<name>.yaml"
            )

    def _trials(self) -> duckdb.DuckDBPyRelation:
        return self.connection.sql(f"SELECT * FROM trials WHERE kind = {literal(self.kind)}")

    def _source(self, trials: duckdb.DuckDBPyRelation, where: str | None) -> Source:
        made = Rows(trials).distinct(["git_sha", "tsd_version"])
        shas, versions = (tuple(sorted({one[i] for one in made if one[i]})) for i in range(2))
        day = "strftime({}(started_at), '%Y-%m-%d')".format
        first, last = trials.aggregate(f"{day('min')}, {day('max')}").fetchall()[0]
        name = self.sweep.get("name") or Path(self.path.rstrip("/")).name
        dirty = bool(self.sweep.get("provenance", {}).get("git_dirty"))
        return Source(self.path, name, where, shas, versions, dirty, first or "", last or "")


def seal(connection: duckdb.DuckDBPyConnection) -> None:
    """Leave SQL nothing but the views it has: no file, no network, no way back."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")


def _orders(sweep: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The values of every axis as the sweep file lists them, wherever it does."""
    blocks = [sweep.get("axes", {}), *sweep.get("zip", []), *(w["axes"] for w in sweep.get("when", []))]
    return {name: values for block in blocks for name, values in block.items()}


def _shaped(sweep: dict[str, Any], path: str) -> dict[str, Any]:
    """The same `sweep`. Raises AnalysisError where it is shaped as no run writes it."""
    kinds = {"axes": dict, "zip": list, "when": list, "analysis": list, "provenance": dict, "trials": int}
    wrong = [name for name, kind in kinds.items() if not isinstance(sweep.get(name, kind()), kind)]
    with suppress(AttributeError, KeyError, TypeError):
        if not wrong:
            _orders(sweep)
            return sweep
    what = " and ".join(map("`{}`".format, wrong)) or "its axes"
    raise AnalysisError(
        f"{path}/sweep.json is damaged: no run writes {what} in such a shape. The results beside it were not touched.\n"
        "Delete it if you know that they are this sweep's; the next run writes it."
    )


def _must_be_results(path: str) -> None:
    folder = Path(path)
    if "://" in path or (folder / "trials").is_dir():
        return
    if not folder.exists():
        near = nearest(folder.name, _sweeps(folder.parent))
        hint = f" Did you mean {folder.parent / near}?" if near else ""
        raise AnalysisError(f"{path} does not exist.{hint}\nThe results of a sweep are in results/<name of the sweep>.")
    inside = [f"{path.rstrip('/')}/{name}" for name in _sweeps(folder)]
    hint = f"It holds the sweeps {', '.join(inside)}: name one of them." if inside else "It has no folder `trials`."
    raise AnalysisError(f"{path} is not a results folder. {hint}")


def _sweeps(folder: Path) -> list[str]:
    """Names of the results folders in it."""
    return sorted(place.name for place in folder.glob("*") if (place / "trials").is_dir())
