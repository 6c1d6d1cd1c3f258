"""Many parts as one table: one row a trial.

A trial may have several rows: its pack ran twice, or it failed before it was done. The best state is read, of equal
ones the latest. Parts that a sound merged part replaces are passed over, where a compaction has not deleted them yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsd.store import manifests, parts, schema, seals
from tsd.store.errors import Damaged, StoreError
from tsd.store.files import Files
from tsd.store.manifests import Manifest
from tsd.store.parts import Opener, Part, Verifier

KEYS = ("trial_id", "state", "started_at")
_THREADS = 8
_ATTEMPTS = 5
T = TypeVar("T")


@dataclass(frozen=True)
class States:
    """The state of every stored trial.

    Args:
        table: `trial_id`, `state` and `started_at`, one row a trial.
        damaged: the part files that could not be read, under the name that they have now.
    """

    table: pa.Table
    damaged: list[str]


@dataclass(frozen=True)
class Scan(Generic[T]):
    """What was read of the parts.

    Args:
        pieces: the sound parts, each with what was taken of it.
        damaged: the others, each with what is wrong.
        replaced: parts that were passed over.
        manifests: the sound ones, by the stem of their part.
    """

    pieces: list[tuple[Part, T]]
    damaged: list[tuple[Part, Damaged]]
    replaced: list[Part]
    manifests: dict[str, Manifest]


def scan(
    files: Files,
    take: Callable[[pq.ParquetFile], T],
    opener: Opener = parts.open_sealed,
    curves: Verifier = parts.trust,
) -> Scan[T]:
    """`take` of the trials of every part that is sound, also in what `curves` looks at. Raises
    StoreError."""
    return steadily(lambda: _scan(files, take, opener, curves))


def steadily(read: Callable[[], T]) -> T:
    """`read()`, once more where a compaction deleted what it was reading: what stands for it is there by then."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(FileNotFoundError):
            return read()
    return read()


def wholly(files: Files, read: Callable[[], T]) -> T:
    """`steadily(read)`, which must not leave anything out. Raises StoreError where it meets something damaged."""
    try:
        return steadily(read)
    except Damaged as damage:
        raise StoreError(
            f"{files.where(damage.name)} is damaged: {damage.reason}. Nothing was touched. `python -m tsd.sweep check "
            "FILE --repair` moves what is damaged to damaged/, and `python -m tsd.sweep run FILE` then runs those "
            "trials again."
        ) from damage


def sound(found: Scan[T]) -> list[tuple[Part, T]]:
    """The pieces, where no part is damaged. Raises Damaged where one is."""
    for _, damage in found.damaged:
        raise damage
    return found.pieces


def taking(columns: Sequence[str] | None) -> Callable[[pq.ParquetFile], pa.Table]:
    """Reads those of `columns` that a file has, and what tells rows of one trial apart; all columns for None."""

    def take(file: pq.ParquetFile) -> pa.Table:
        names = file.schema_arrow.names
        return file.read([n for n in names if columns is None or n in KEYS or n in columns], use_threads=False)

    return take


def winners(tables: Sequence[pa.Table]) -> list[np.ndarray]:
    """For each table a mask over its rows: those that are read, one for each trial over all tables."""
    if not tables:
        return []
    rows = pa.concat_tables([table.select(KEYS) for table in tables])
    if pc.count_distinct(rows["trial_id"]).as_py() == rows.num_rows:
        return [np.ones(table.num_rows, bool) for table in tables]
    rank = pc.index_in(rows["state"], value_set=pa.array(schema.STATES))
    age = pc.negate(rows["started_at"].cast(pa.int64()))
    order = pc.sort_indices(pa.table({"rank": rank, "age": age}), [("rank", "ascending"), ("age", "ascending")])
    best_first = pa.table({"trial_id": rows["trial_id"].take(order), "row": order})
    kept = best_first.group_by("trial_id", use_threads=False).aggregate([("row", "first")])
    mask = np.zeros(rows.num_rows, bool)
    mask[kept["row_first"].to_numpy()] = True
    return np.split(mask, np.cumsum([table.num_rows for table in tables])[:-1])


def states(files: Files, *, move_damaged: bool) -> States:
    """What is stored, for planning; see `Store.states`."""
    found = scan(files, taking(()), curves=parts.verify_curves if move_damaged else parts.glance)
    damaged = [damage.name for _, damage in found.damaged]
    if move_damaged:
        moved = [name for part, _ in found.damaged for name in parts.set_aside(files, part)]
        damaged = [name for name in moved if name.removeprefix("damaged/") in damaged]
    return States(_merged(found.pieces, KEYS), damaged)


def trials(files: Files, columns: Sequence[str] | None, *, skip_damaged: bool) -> pa.Table:
    """One row a trial; see `Store.trials`."""

    def read() -> list[tuple[Part, pa.Table]]:
        found = _scan(files, taking(columns), parts.open_sealed)
        return found.pieces if skip_damaged else sound(found)

    return _merged(wholly(files, read), columns)


def curves(files: Files) -> pa.Table:
    """The curves of the rows that `trials` reads; see `Store.curves`."""

    def read() -> list[pa.Table]:
        pieces = sound(_scan(files, taking(()), parts.open_sealed))
        masks = winners([keys for _, keys in pieces])
        return [curves_of(files, part, keys, mask) for (part, keys), mask in zip(pieces, masks, strict=True)]

    return pa.concat_tables([schema.CURVES.empty_table(), *wholly(files, read)])


def curves_of(files: Files, part: Part, keys: pa.Table | None = None, mask: np.ndarray | None = None) -> pa.Table:
    """The curves of a part, or of those rows of its `keys` that `mask` has. Raises Damaged and FileNotFoundError."""
    if part.curves is None:
        return schema.CURVES.empty_table()
    table = parts.open_sealed(files, part.curves.name).read()
    if keys is not None and mask is not None and not mask.all():
        kept = keys["trial_id"].filter(pa.array(mask)).combine_chunks()
        table = table.filter(pc.is_in(table["trial_id"], value_set=kept))
    return schema.conform(table, schema.CURVES)


def unified(pieces: Sequence[tuple[Part, pa.Schema]]) -> pa.Schema:
    """One schema for all parts, the later ones believed. Raises StoreError where they disagree in a column's type."""
    by_age = sorted(pieces, key=lambda piece: -piece[0].trials.age_s)
    try:
        return schema.unified([columns for _, columns in by_age])
    except pa.ArrowException as error:
        raise StoreError(
            f"The parts of this sweep cannot be one table: {error}. A column changed its type between versions of the "
            "study. Nothing was touched. Give the sweep another `name:`, so that its new rows are kept apart."
        ) from error


def _scan(files: Files, take: Callable[[pq.ParquetFile], T], opener: Opener, curves: Verifier = parts.trust) -> Scan[T]:
    def look(part: Part, prove: Callable[[], object]) -> T | Damaged:
        try:
            trials = opener(files, part.trials.name)
            parts.see_curves(part, trials)
            taken = take(trials)
            prove()
            return taken
        except Damaged as damage:
            return damage

    listed, seen = parts.listed(files), dict[str, T | Damaged]()
    with ThreadPoolExecutor(_THREADS) as pool:

        def prover(part: Part) -> Callable[[], object]:
            """Looks at curves: at large ones apart, so that a few parts occupy all processors."""
            return pool.submit(curves, files, part).result if part.size > seals.PIECE else partial(curves, files, part)

        merged = [part.stem for part in listed if part.manifest]
        told = pool.map(lambda stem: manifests.sound(files, stem), merged)
        known = {stem: manifest for stem, manifest in zip(merged, told, strict=True) if manifest}
        valid = known
        while wanted := [part for part in manifests.shown(listed, valid.values()) if part.stem not in seen]:
            looks = pool.map(look, wanted, [prover(part) for part in wanted])
            seen |= zip((part.stem for part in wanted), looks, strict=True)
            valid = {stem: manifest for stem, manifest in valid.items() if not isinstance(seen.get(stem), Damaged)}
    found = [(part, seen[part.stem]) for part in listed if part.stem in seen]
    return Scan(
        pieces=[(part, value) for part, value in found if not isinstance(value, Damaged)],
        damaged=[(part, value) for part, value in found if isinstance(value, Damaged)],
        replaced=[part for part in listed if part.stem not in seen],
        manifests=known,
    )


def _merged(pieces: Sequence[tuple[Part, pa.Table]], columns: Sequence[str] | None) -> pa.Table:
    """The rows of all pieces that are read, in one schema; a column of `columns` that no piece has is NULL."""
    whole = unified([(part, table.schema) for part, table in pieces])
    names = [n for n in whole.names if columns is None or n in columns]
    tables = [whole.empty_table().select(names)]
    for (_, table), mask in zip(pieces, winners([table for _, table in pieces]), strict=True):
        kept = table if mask.all() else table.filter(pa.array(mask))
        tables.append(schema.conform(kept, whole).select(names))
    found = pa.concat_tables(tables)
    for name in set(columns or ()) - set(names):
        found = found.append_column(name, pa.nulls(found.num_rows))
    return found if columns is None else found.select(list(columns))
