"""`sweep.json`: which sweep this results folder belongs to, as it was asked for last, and who asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tsd.store.errors import StoreError
from tsd.store.files import Files

NAME = "sweep.json"
FOLDERS = ("trials", "curves", "artefacts", "events")


def read(files: Files) -> dict[str, Any] | None:
    """The sweep that this folder belongs to; None where there is none yet. Raises StoreError where it is damaged."""
    try:
        found = json.loads(files.read(NAME))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise StoreError(
            f"{files.where(NAME)} is damaged: it is not JSON. The results beside it were not touched. It only says "
            "which sweep they belong to: if you know that they are this one's, delete it; the next run writes it."
        )
    return found


def require(files: Files) -> None:
    """Raises StoreError where nothing is stored, not even which sweep this is."""
    if not any(files.listed(folder) for folder in ("", *FOLDERS)):
        raise StoreError(
            f"Nothing is stored in {files.where()}. `python -m tsd.sweep run FILE` runs the sweep. If it ran already, "
            "give the --results that it was given, and see that `name:` in the file is still the same."
        )


def prepare(files: Files, sweep: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
    """Take the folder for `sweep`; see `Store.prepare`."""
    from tsd.store.schema import SCHEMA_VERSION

    refuse_another(files, sweep)
    files.prepare(FOLDERS)
    before = read(files) or {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {
        **sweep,
        "schema_version": SCHEMA_VERSION,
        "created_at": before.get("created_at", now),
        "updated_at": now,
        "provenance": dict(provenance),
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    files.write(NAME, text.encode())


def refuse_another(files: Files, sweep: Mapping[str, Any]) -> None:
    """Raises StoreError where the folder belongs to another sweep."""
    before = read(files)
    for key in ("study", "name"):
        if before and before.get(key) != sweep[key]:
            raise StoreError(
                f"{files.where()} was written by another sweep of the same name: it holds the {key} "
                f"`{before.get(key)}`, and this sweep has the {key} `{sweep[key]}`. Nothing was touched. Give this "
                "sweep another `name:`, or keep its results elsewhere with --results."
            )
