"""From a sweep to the table of its trials: axes, zip, when, except and seeds, with the identity of every trial.

    trial_id = blake2b-128 of {"fields":{…},"seeds":{…},"study":…,"version":…}

in canonical JSON, with the fields that differ from their default, in the order of their names. So the order of keys,
comments, the file's name and a new field with a neutral default change no identity, and a new value of an axis changes
no other one's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import duckdb

from tsd.errors import UserError
from tsd.sweep import _checks, _kinds, conditions
from tsd.sweep._points import Points
from tsd.sweep.conditions import embedded
from tsd.sweep.problems import Place, Problem, SweepFileError, shorten
from tsd.sweep.scratch import scratch
from tsd.sweep.spec import Sweep
from tsd.sweep.sql import quoted


@dataclass(frozen=True)
class Grid:
    """How the trials came about: the product of `axes`, − `merged` + `added` − what was `excluded` = `total`.

    Args:
        total: rows of the table `trials`.
        axes: label and number of values, in the order of the file; seeds come last.
        merged: trials that are another one, because their method (or other part) lacks the fields by which they differ.
        added: trials that the axes of `when` add.
        when: each rule's condition and the number of trials in which it holds, before `except`.
        excluded: each condition of `except` and the trials it removed that were still there, and so `--where`.
        columns: the columns of the table.
    """

    total: int
    axes: tuple[tuple[str, int], ...]
    merged: int
    added: int
    when: tuple[tuple[str, int], ...]
    excluded: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Rules that do nothing."""
        idle = [f"`when` {shorten(text)} holds in no trial" for text, trials in self.when if not trials]
        return (*idle, *(f"`except` {shorten(text)} removes no trial" for text, trials in self.excluded if not trials))


@contextmanager
def workspace() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database for grids of any size: in a temporary folder, at most 1 GB of it in memory."""
    with scratch() as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": "1GB",
            "temp_directory": str(folder / "spill"),
        }
        with duckdb.connect(folder / "grid.duckdb", config=config) as connection:
            yield connection


def expand(sweep: Sweep, connection: duckdb.DuckDBPyConnection, where: str | None = None) -> Grid:
    """Make the table `trials` in `connection`: `trial_id`, `origin`, the fields, the seeds.

    Args:
        sweep: what is asked for.
        connection: where the table goes; one of that name is replaced.
        where: keep only the trials for which this condition on the table holds.

    Raises:
        SweepFileError: no trial is left, there are too many, or a condition fails on the values of a trial.
        UserError: `where` is no condition or holds for no trial, or there is no room for the table.
    """
    with connection.cursor() as cursor:
        points = Points(sweep, cursor)
        _refuse_too_many(points, cursor)
        survey = _survey(points, cursor)
        _create(points, cursor, survey.left)
        excluded = list(zip(sweep.excludes, survey.removed, strict=True))
        if where is not None:
            excluded.append(("not in --where", _keep(where, cursor, survey.left)))
    crossed = [(axis.label, len(axis.rows)) for axis in _kinds.axes(sweep)]
    seeds = [(f"{stream} seeds".strip(), number) for stream, number in _kinds.seeds(sweep).items() if number > 1]
    each_seed = math.prod(number for _, number in seeds)
    distinct = sum(kind.points for kind in points.kinds)
    before = survey.left + sum(survey.removed)
    return Grid(
        total=before - sum(trials for _, trials in excluded),
        axes=(*crossed, *seeds),
        merged=(math.prod(number for _, number in crossed) - distinct) * each_seed,
        added=before - distinct * each_seed,
        when=tuple((rule.condition, hits) for rule, hits in zip(sweep.when, survey.hits, strict=True)),
        excluded=tuple(excluded),
        columns=("trial_id", "origin", *sweep.columns),
    )


@dataclass(frozen=True)
class _Survey:
    """Counted before anything is made: what each `except` removes, what is left, where each `when` holds."""

    removed: list[int]
    left: int
    hits: list[int]


def _refuse_too_many(points: Points, cursor: duckdb.DuckDBPyConnection) -> None:
    """Raise where `when` multiplies the grid beyond all measure; counted rule by rule, so before it does."""
    if points.bound() <= _checks.MOST_TRIALS:
        return
    for rule in range(len(points.sweep.when)):
        path = f"when[{rule}].if"
        trials = _guarded(cursor, f"SELECT sum(size) FROM ({points.sizes(rule)})", points.sweep, path)[0][0]
        if trials > _checks.MOST_TRIALS:
            raise _problem(points.sweep, path, _checks.too_many(int(trials)))


def _survey(points: Points, cursor: duckdb.DuckDBPyConnection) -> _Survey:
    """Count. Raises SweepFileError where a condition fails, two rules of `when` meet, or nothing is left."""
    sweep = points.sweep
    rules = range(len(sweep.when))
    sums = "".join(f', sum("hit {i}"::BIGINT), sum("clash {i}"::BIGINT)' for i in rules)
    try:
        rows = cursor.execute(f'SELECT "rule", count(*){sums} FROM ({_ruled(points)}) GROUP BY "rule"').fetchall()
    except duckdb.Error:
        _blame(points, cursor)
        raise
    trials = {row[0]: row[1] for row in rows}
    for i in rules:
        _refuse_clash(sweep, i, sum(row[3 + 2 * i] for row in rows))
    survey = _Survey(
        removed=[trials.get(i, 0) for i in range(len(sweep.excludes))],
        left=trials.get(None, 0),
        hits=[sum(row[2 + 2 * i] for row in rows) for i in rules],
    )
    if not survey.left:
        counts = "; ".join(f"{shorten(c)} removes {n:,}" for c, n in zip(sweep.excludes, survey.removed, strict=True))
        raise _problem(sweep, "except[0]", f"No trial is left: {counts}.")
    return survey


def _refuse_clash(sweep: Sweep, rule: int, trials: int) -> None:
    """Raise where two rules of `when` give one trial the same axis: which of them would it be?"""
    if trials:
        names = ", ".join(f"`{name}`" for name in sweep.when[rule].axes)
        text = f"In {trials:,} trials an earlier rule has set {names} already. Let the conditions exclude one another."
        raise _problem(sweep, f"when[{rule}].if", text)


def _ruled(points: Points) -> str:
    """The points, each with the number of the first `except` that removes it ("rule")."""
    cases = " ".join(f"WHEN {embedded(c)} THEN {i}" for i, c in enumerate(points.sweep.excludes))
    rule = f"CASE {cases} END" if cases else "NULL"
    return f'SELECT *, CAST({rule} AS BIGINT) AS "rule" FROM ({points.query()})'


def _create(points: Points, cursor: duckdb.DuckDBPyConnection, trials: int) -> None:
    """The table `trials`. DuckDB streams the canonical JSON through `_identity`; no trial outlives its row."""
    columns = ", ".join(quoted(name) for name in points.sweep.columns)
    cursor.create_function("tsd_identity", _identity, ["VARCHAR"], "VARCHAR")
    try:
        cursor.execute(
            "CREATE OR REPLACE TABLE trials AS "
            f"SELECT tsd_identity(canonical) AS trial_id, 'grid' AS origin, {columns} "
            f'FROM ({_ruled(points)}) WHERE "rule" IS NULL'
        )
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        text = f"There is no room for a table of {trials:,} trials: {conditions.said(error)}."
        raise UserError(f"{text}\nSet TMPDIR to a folder on a larger disk, or ask for fewer trials.") from None
    finally:
        cursor.remove_function("tsd_identity")


def _identity(canonical: str) -> str:
    return blake2b(canonical.encode(), digest_size=16).hexdigest()


def _keep(where: str, cursor: duckdb.DuckDBPyConnection, trials: int) -> int:
    """Delete the trials for which `where` does not hold, and say how many."""
    condition = conditions.checked(where, cursor, "trials")
    try:
        deleted = cursor.execute(f"DELETE FROM trials WHERE {condition} IS NOT TRUE").fetchall()[0][0]
    except duckdb.Error as error:
        raise UserError(f"--where: `{shorten(where)}` fails on a trial: {conditions.said(error)}.") from None
    if deleted == trials:
        raise UserError(f"--where: `{shorten(where)}` holds for none of the {trials:,} trials.")
    return int(deleted)


def _blame(points: Points, cursor: duckdb.DuckDBPyConnection) -> None:
    """Raise the problem of the first condition that fails on the values of a trial; evaluated one by one."""
    for i in range(len(points.sweep.when)):
        _guarded(cursor, f"SELECT count_if(hit) FROM ({points.sizes(i)})", points.sweep, f"when[{i}].if")
    for i, condition in enumerate(points.sweep.excludes):
        query = f"SELECT count_if({embedded(condition)}) FROM ({points.query()})"
        _guarded(cursor, query, points.sweep, f"except[{i}]")


def _guarded(cursor: duckdb.DuckDBPyConnection, query: str, sweep: Sweep, path: str) -> list[tuple[Any, ...]]:
    try:
        return cursor.execute(query).fetchall()
    except duckdb.Error as error:
        raise _problem(sweep, path, f"This fails on the values of a trial: {conditions.said(error)}.") from None


def _problem(sweep: Sweep, path: str, text: str) -> SweepFileError:
    return SweepFileError([Problem(sweep.places.get(path, Place(0, 0, 0, str(sweep.path))), path, text)])
