"""What a figure or table was made of, as hashes: enough to say later whether the results still say the same.

A hash is an exclusive or over trials, so it depends neither on their order nor on the files that they lie in. Each of
its terms mixes a trial's id with its value as a whole: trials that exchange their values do not cancel out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from analysis.data.load import Results
from analysis.data.rows import Rows, quoted
from analysis.data.where import chosen

HASHES = 2
"""The kind of hashes; 1 did not see values that went from one trial to another."""
SEEDS = ("seed_teacher", "seed_data", "seed_init", "seed_noise")


def lock(results: Results, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Hashes of the trials that fulfil `where`, and of every column and curve that the options name.

    Args:
        asked: options of a verb, by name; those whose value is a column or a curve are what it looked at.
    Returns:
        JSON types: how many `trials`, the hash of their `ids`, of each of their `columns` and `curves`, of the `files`
        of published values, the `versions` of the studies, the kind of `hashes`, and the version of `duckdb`, which
        makes them.
    """
    trials, hashed = (results.connection.table(view) for view in ("trials", "hashed_trials"))
    if (where := asked.get("where")) is not None:
        trials, hashed = chosen(trials, where), hashed.filter(duckdb.SQLExpression(where))
    named = {n for value in asked.values() for n in (value if isinstance(value, list | tuple) else [value])}
    columns = [c for c in trials.columns if c in named or c in ("state", "kind", *SEEDS)]
    hashes = ", ".join(_mixed("tsd_hash", quoted(c)) for c in columns)
    [(count, ids, *found)] = hashed.aggregate(f"count(*), bit_xor(tsd_hash), {hashes}").fetchall()
    versions = Rows(trials).distinct(["study", "study_version"])
    return {
        "hashes": HASHES,
        "duckdb": duckdb.__version__,
        "trials": count,
        "ids": _hex(ids),
        "versions": [f"{study} {version}" for study, version in versions],
        "columns": {c: _hex(value) for c, value in zip(columns, found, strict=True)},
        "curves": {c: _curve(results, trials, c) for c in sorted(named & set(results.curves()))},
        "files": _file(asked.get("published")),
    }


@contextmanager
def locking(results: Results, asked: Mapping[str, Any]) -> Iterator[Callable[[], dict[str, Any]]]:
    """What `lock` returns, to be called for, made while the block imports what draws. The block asks `results` nothing.

    Packages are read by one core, and so are hashes beside rows: of a large figure this saves a tenth.
    """
    with ThreadPoolExecutor(1) as aside:
        yield aside.submit(lock, results, asked).result


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, in words; nothing where the results still say the same."""
    if then["trials"] != now["trials"]:
        return [f"there are {now['trials']} trials, not {then['trials']}"]
    if then["ids"] != now["ids"]:
        return [f"other trials fulfil the condition, {now['trials']} as before"]
    told = []
    if then["versions"] != now["versions"]:
        told.append(f"the study is {', '.join(now['versions'])}, not {', '.join(then['versions'])}")
    for kind in ("columns", "curves", "files"):
        before, after = then.get(kind, {}), now.get(kind, {})
        gone = [name for name in before if name not in after]
        moved = [n for n, value in before.items() if n not in gone and after[n] != value]
        told += [f"`{name}` is gone" for name in gone] + [f"`{name}` has other values" for name in moved]
    return told


def _mixed(key: str, value: str) -> str:
    """The expression for the hash of which key has which value; DuckDB's own of both falls apart in an exclusive or."""
    return f"bit_xor(hash(xor({key}, hash({value}))))"


def _curve(results: Results, trials: duckdb.DuckDBPyRelation, curve: str) -> str:
    points = results.connection.sql("SELECT trial_id, step, value FROM curves WHERE metric = ?", params=[curve])
    held = points.set_alias("c").join(trials.set_alias("t"), "c.trial_id = t.trial_id", how="semi")
    return _hex(held.aggregate(_mixed("hash(trial_id, step)", "value")).fetchall()[0][0])


def _file(path: str | Path | None) -> dict[str, str]:
    """The hash of a file by its path; nothing where it is not there."""
    if path is None or not Path(path).is_file():
        return {}
    return {str(path): hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()}


def _hex(value: int | None) -> str:
    return f"{value or 0:016x}"
