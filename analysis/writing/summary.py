"""A sweep in words: what it set, by which code it ran, and why trials of it failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.data.rows import Rows, literal, quoted
from analysis.drawing.overview import varying
from analysis.writing.markup import Failure

MOST_CAUSES = 20
FRAME = r'File "[^"]+", line \d+, in \S+'


def settings(sweep: Mapping[str, Any], first: str, last: str) -> Iterator[tuple[str, str]]:
    """What a sweep set and what ran it, as pairs of a name and words; `first` and `last` are the days of its trials."""
    origin = sweep.get("provenance", {})
    if sweep.get("study"):
        version = f", version {sweep['version']}" if "version" in sweep else ""
        yield "study", f"{sweep['study']}{version}"
    for name, values in sweep.get("axes", {}).items():
        yield name, _plain(values)
    for i, moved in enumerate(sweep.get("zip", []), 1):
        yield f"together, {i}", "; ".join(f"{name}: {_plain(values)}" for name, values in moved.items())
    for when in sweep.get("when", []):
        said = "; ".join(f"{name}: {_plain(values)}" for name, values in when["axes"].items())
        yield f"when {_plain(when.get('if'))}", said
    for name in ("fixed", "seeds", "except"):
        if sweep.get(name):
            yield name, _plain(sweep[name])
    dirty = " with changes" if origin.get("git_dirty") else ""
    sha, version = str(origin.get("git_sha") or "")[:12], origin.get("tsd_version")
    yield "code", ", ".join([*([f"git {sha}{dirty}"] if sha else []), *([f"tsd {version}"] if version else [])])
    yield "versions", _plain(origin.get("versions", {}))
    yield "run", first if first == last else f"{first} to {last}"


def _plain(value: Any) -> str:
    """A setting as a sweep file has it, without the outermost brackets and the quotes."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_inner(v)}" for name, v in value.items())
    return ", ".join(map(_inner, value)) if isinstance(value, list) else str(value)


def _inner(value: Any) -> str:
    text = _plain(value)
    return f"{{{text}}}" if isinstance(value, dict) else f"[{text}]" if isinstance(value, list) else text


def failures(rows: Rows) -> Iterator[Failure]:
    """Failed trials by what was raised where, with the settings that all of a cause share and others have not."""
    frame = f"coalesce(list_last(regexp_extract_all(error, {literal(FRAME)}, 0)), '')"
    known = f"SELECT *, coalesce(error_type, '') AS _error, {frame} AS _frame FROM rows WHERE state = 'failed'"
    telling = list(enumerate(varying(rows)))
    same = [f"count(DISTINCT {quoted(n)}) = 1 AND count({quoted(n)}) = count(*) AS same_{i}" for i, n in telling]
    first = [f"any_value({quoted(n)}) AS first_{i}" for i, n in telling]
    told = [
        "count(*) AS trials",
        "min(trial_id) AS example",
        "arg_min(coalesce(error, ''), trial_id) AS trace",
    ]
    causes = rows.sql(
        f"SELECT _error, {', '.join([*told, *same, *first])} FROM ({known}) "
        f"GROUP BY _error, _frame ORDER BY trials DESC, _error LIMIT {MOST_CAUSES}"
    )
    for cause in causes.to_dict("records"):
        shared = [f"{n} {cause[f'first_{i}']}" for i, n in telling if cause[f"same_{i}"]]
        trace = cause["trace"].strip()
        says = trace.splitlines()[-1] if trace else ""
        yield Failure(cause["_error"], says, int(cause["trials"]), ", ".join(shared), cause["example"], trace)
