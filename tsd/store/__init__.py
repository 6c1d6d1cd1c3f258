"""The store: what a sweep leaves behind, and all that is known of it. The contract between `tsd` and `analysis`.

A results folder, on a disk or at a URI, holds

    sweep.json                    the sweep, and where its numbers come from
    trials/<part>.parquet         one row a trial
    curves/<part>.parquet         trial_id, step, metric, value
    manifests/<part>.json         of a part that was merged from others: what it holds, and which ones it replaces
    artefacts/<key>.safetensors   what was trained once for many trials
    checkpoints/                  long packs that are not finished, see `tsd.store.checkpoints`
    events/<run>.jsonl            what happened when
    damaged/                      what was found damaged and moved aside

Nothing in it is a pickle, and reading it runs no code. pyarrow is imported when something is read or written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tsd.errors import UserError, lacking
from tsd.store import names
from tsd.store.errors import ArtefactError, StoreError
from tsd.store.events import EventLog
from tsd.store.files import Files, open_root

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from tsd.store.artefacts import Artefacts
    from tsd.store.check import Report
    from tsd.store.checkpoints import Checkpoints
    from tsd.store.compact import CompactReport
    from tsd.store.reading import States

__all__ = ["ArtefactError", "EventLog", "Store", "StoreError", "UserError", "lacking"]


@dataclass(frozen=True)
class Store:
    """The results folder of one sweep. Making one touches nothing.

    Args:
        root: a local path, which becomes absolute, or a URI that pyarrow can open (`s3://bucket/results/my_sweep`).
    """

    root: str | Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", names.absolute(str(self.root)))

    @classmethod
    def of(cls, results: str | Path, name: str) -> Store:
        """The folder of the sweep `name` below `results`. Raises StoreError where `name` would lead elsewhere."""
        return cls(names.join(str(results), name))

    def __str__(self) -> str:
        """The root without passwords and options, for people."""
        return names.shown(str(self.root))

    @cached_property
    def files(self) -> Files:
        """The place as whole files."""
        return open_root(str(self.root))

    @cached_property
    def artefacts(self) -> Artefacts:
        """What was trained once and is shared by many trials."""
        from tsd.store.artefacts import Artefacts

        return Artefacts(self.files)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Long packs that are not finished."""
        from tsd.store.checkpoints import Checkpoints

        return Checkpoints(self.files)

    def prepare(self, sweep: Mapping[str, Any], provenance: Mapping[str, Any] | None = None) -> None:
        """Make the folder for `sweep` and note in `sweep.json` what was asked for, by which code.

        The same study and name may come again, with other axes: the new text replaces the old one.

        Args:
            sweep: the resolved sweep; its entries `study` and `name` say whose folder this is.
            provenance: where the numbers will come from; `tsd.store.provenance.collect()` if left out.

        Raises:
            StoreError: the folder holds another sweep, or cannot be written to.
        """
        from tsd.store import provenance as origin
        from tsd.store import sweepfile

        sweepfile.prepare(self.files, sweep, origin.collect() if provenance is None else provenance)

    def refuse_another(self, sweep: Mapping[str, Any]) -> None:
        """Touches nothing. Raises StoreError where the folder holds a sweep of another study or name."""
        from tsd.store import sweepfile

        sweepfile.refuse_another(self.files, sweep)

    def sweep(self) -> dict[str, Any] | None:
        """What `sweep.json` holds: the resolved sweep's own entries and `schema_version, created_at, updated_at,
        provenance`. None where the folder is new."""
        from tsd.store import sweepfile

        return sweepfile.read(self.files)

    def write_part(self, pack_id: str, rows: pa.Table, curves: pa.Table | None) -> None:
        """Keep the rows of a pack, at once or not at all. Writing the same rows again changes nothing.

        Args:
            pack_id: names the pack: letters, digits and `_.-`.
            rows: one row a trial, in a schema of `tsd.store.schema.trial_schema`.
            curves: in the schema `tsd.store.schema.CURVES`; None or empty where there are none.

        Raises:
            StoreError: it could not be written; nothing stored before is touched.
            ValueError: the rows are not in such a schema.
        """
        from tsd.store import parts, schema
        from tsd.store.encoding import encode

        if schema.version_in(rows.schema.metadata) is None:
            raise ValueError("rows must be in a schema that tsd.store.schema.trial_schema made")
        drawn = None
        if curves is not None and curves.num_rows:
            drawn = encode([schema.conform(curves, schema.CURVES)], schema.CURVES)
        trials = encode([rows], rows.schema, drawn=drawn is not None)
        parts.write(self.files, parts.stem_of(pack_id, trials, drawn or b""), trials, drawn)

    def states(self, move_damaged: bool = False) -> States:
        """`trial_id, state, started_at` of every stored trial, once each, and the names of damaged files.

        Only to look is fast: the trials of every part are verified, of its curves that they are not cut to nothing.

        Args:
            move_damaged: verify every byte of the curves too, and move parts of which either file is damaged to
                `damaged/`, whole, so that their trials count as never run.
        """
        from tsd.store import reading

        return reading.states(self.files, move_damaged=move_damaged)

    def trials(self, columns: list[str] | None = None, *, skip_damaged: bool = False) -> pa.Table:
        """The stored trials, one row each: of several rows the best state is read, of equal ones the latest.

        Parts of different ages are one table: a column that a part does not have is NULL in its rows, and so is one of
        `columns` that none has. `fields_of(table.schema)` of `tsd.store.schema` says what the columns mean.

        Args:
            columns: what to read, in this order; everything for None.
            skip_damaged: leave out parts that cannot be read.

        Raises:
            StoreError: a part is damaged.
        """
        from tsd.store import reading

        return reading.trials(self.files, columns, skip_damaged=skip_damaged)

    def curves(self) -> pa.Table:
        """The curves of the rows that `trials` reads: `trial_id, step, metric, value`. Raises StoreError."""
        from tsd.store import reading

        return reading.curves(self.files)

    def connect(self, connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
        """Make `trials` and `curves` views of a DuckDB database, for questions about more rows than fit into memory.

        They show what is stored now, as `trials()` and `curves()` do, and work with DuckDB's own file access switched
        off.

        Returns:
            What columns and curves mean, as `fields()` does.

        Raises:
            StoreError: a part is damaged.
        """
        from tsd.store import schema, views

        return schema.fields_of(views.connect(self.files, connection))

    def fields(self) -> dict[str, dict[str, str]]:
        """What columns and curves mean: name → {role: parameter | metric | record | curve, unit, doc}, and `step` for a
        curve. Damaged parts are passed over."""
        from tsd.store import parts, reading, schema

        found = reading.scan(self.files, lambda file: file.schema_arrow, parts.open_footer)
        return schema.fields_of(reading.unified(found.pieces))

    def bytes_a_trial(self) -> float | None:
        """What a stored row takes with its curves, over all parts; None where there are none."""
        from tsd.store import parts, reading

        pieces = reading.scan(self.files, lambda file: file.metadata.num_rows, parts.open_footer).pieces
        rows = sum(count for _, count in pieces)
        return sum(part.size for part, _ in pieces) / rows if rows else None

    def events(self) -> list[dict[str, Any]]:
        """What happened in all runs, in order of time."""
        from tsd.store import events

        return sorted(events.read(self.files), key=lambda event: str(event.get("at")))

    def compact(self) -> CompactReport:
        """Merge small parts into files of at most 256 MB, each with a manifest, also while a sweep runs. Damaged parts
        are left alone.

        Raises StoreError where nothing is stored.
        """
        from tsd.store import compact

        return compact.compact(self.files)

    def check(self, repair: bool = False) -> Report:
        """Read every part, manifest and artefact whole and compare it with its hash.

        Args:
            repair: move what is damaged to `damaged/`, so that the next run makes it again, and finish what writes and
                compactions that were cut off left to do. What is deleted nobody reads.

        Raises:
            StoreError: nothing is stored.
        """
        from tsd.store import check

        return check.check(self.files, repair=repair)
