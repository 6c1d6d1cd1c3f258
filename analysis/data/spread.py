"""How far the mean of a cell is known: the spread of its repetitions, also where seeds cross.

Students of one teacher share that teacher, so twelve students of three teachers are no twelve repetitions. Where the
seeds of several streams s repeat within a cell, the variance of its mean is therefore the sum over them of
    V_s = (variance of the means of the seeds of s) / (number of seeds of s),
with (Σ V_s)² / Σ (V_s² / (seeds of s − 1)) degrees of freedom (Satterthwaite 1946, Biometrics Bull. 2, 110). What
streams make together counts once for each of them: an interval is rather too wide than too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.data.rows import Rows
from analysis.data.tally import grouped, listed


def moments(rows: Rows, axes: Sequence[str], streams: Sequence[str]) -> pd.DataFrame:
    """The repetitions `_v` of every cell: `_n` of them, their `_mean`, and how far that is known.

    `_free` independent repetitions of standard deviation `_sd` would tell as much of the mean; they are the `_n` ones
    where no seeds cross. With fewer than two repetitions `_sd` is NaN.

    Args:
        streams: columns of the seeds that cross; see `crossing`.
    """
    found = _aggregated(rows, axes, "count(*) AS _n, favg(_v) AS _mean, stddev_samp(_v) AS _sd", "rows")
    found["_free"] = found["_n"].astype(float)
    parts = [_between(rows, axes, stream, found) for stream in streams]
    error = sum((part["error"] for part in parts), start=pd.Series(0.0, found.index))
    scale = sum((part["error"] ** 2 / (part["seeds"] - 1) for part in parts), start=pd.Series(0.0, found.index))
    free = 1 + error**2 / scale.where(scale > 0)
    return found.assign(_free=free.fillna(found["_free"]), _sd=((error * free) ** 0.5).fillna(found["_sd"]))


def crossing(rows: Rows) -> list[str]:
    """Columns of streams whose seeds meet several seeds of another stream; of streams that move together the first."""
    names = [n for n in rows.seeds() if n.startswith("seed_")]
    seen = pd.DataFrame(rows.distinct(names) if len(names) > 1 else [], columns=names)
    found: list[str] = []
    for name in names:
        many = seen[name].nunique()
        together = any(len(seen[[name, other]].drop_duplicates()) == many == seen[other].nunique() for other in found)
        if 1 < many < len(seen) and not together:
            found.append(name)
    return found


def _between(rows: Rows, axes: Sequence[str], stream: str, cells: pd.DataFrame) -> pd.DataFrame:
    """For each of `cells` how many seeds of a stream repeat in it, and what they add to the variance of its mean."""
    means = f"(SELECT {listed([*axes, stream])}, favg(_v) AS _v FROM rows {grouped([*axes, stream])})"
    each = _aggregated(rows, axes, "count(*) AS seeds, var_samp(_v) / count(*) AS error", means)
    each = cells[list(axes)].merge(each, on=list(axes), how="left") if axes else each
    repeat = (each["seeds"] > 1) & (each["seeds"] < cells["_n"])
    return each.assign(seeds=each["seeds"].where(repeat, 2), error=each["error"].where(repeat, 0.0))


def _aggregated(rows: Rows, axes: Sequence[str], facts: str, source: str) -> pd.DataFrame:
    return rows.sql(f"SELECT {', '.join([*([listed(axes)] if axes else []), facts])} FROM {source} {grouped(axes)}")
