"""Which part of the spread comes from which random stream: components of variance of crossed seeds.

Trials of a cell are one for each combination of a teacher seed, a data seed, an init seed …, so
    value = mean + teacher effect + data effect + init effect + rest,
the rest being their interactions. Each effect has a variance of its own, estimated by equating mean squares to what
they are on average (ANOVA estimators); the interval of one is Williams' (1962, Biometrika 49, 278).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data.cells import Cells, gather, seed_means
from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL, Interval

REST = "rest"


@dataclass(frozen=True)
class Components:
    """The variance of one cell's value, by where it comes from.

    Args:
        group: the value of `by`; None where there is one group.
        mean: over all trials that were used.
        variance: of each stream and of the rest; an estimate may be negative, which says that there is none to be seen.
        levels: seeds of each stream that were used.
        dropped: repetitions left out so that the seeds cross completely.
    """

    group: Any
    mean: float
    variance: dict[str, Interval]
    levels: dict[str, int]
    dropped: int

    def share(self, stream: str) -> float:
        """Part of the total, negative estimates counted as none; NaN where nothing varies."""
        parts = {name: max(0.0, interval.mean) for name, interval in self.variance.items()}
        total = sum(parts.values())
        return parts[stream] / total if total > 0 else float("nan")


def components(rows: Rows, value: str, by: str | None = None) -> tuple[Cells, list[Components]]:
    """Components of the variance of `value`, for every value of `by`.

    Raises AnalysisError where fewer than two streams have several seeds, or seeds do not cross.
    """
    cells = gather(rows, [by] if by else [], value)
    cells.require_mean()
    streams = list(cells.streams)
    if len(streams) < 2:
        raise AnalysisError(
            f"Only {streams[0] if streams else 'no stream'} has several seeds here, so there is no spread to divide.\n"
            "Cross at least two in the sweep file, such as seeds: {teacher: 3, init: 4}."
        )
    frame = seed_means(cells)
    groups = frame.groupby(by) if by else [(None, frame)]
    return cells, [_components(group, part, streams) for group, part in groups]


def divided(values: NDArray[np.float64], names: Sequence[str]) -> dict[str, Interval]:
    """Components of complete crossed `values`, one axis for each of `names`; the rest comes last."""
    from scipy.special import chdtri, fdtri

    total, mean = values.size, values.mean()
    sums, freedoms = {}, {}
    for axis, name in enumerate(names):
        others = tuple(i for i in range(values.ndim) if i != axis)
        sums[name] = total / values.shape[axis] * float(((values.mean(axis=others) - mean) ** 2).sum())
        freedoms[name] = values.shape[axis] - 1
    freedom = total - 1 - sum(freedoms.values())
    rest = max(0.0, float(((values - mean) ** 2).sum()) - sum(sums.values())) / freedom
    tail = (1 - LEVEL) / 2
    found = {}
    for axis, name in enumerate(names):
        each, df, square = total / values.shape[axis], freedoms[name], sums[name] / freedoms[name]
        bounds = [
            (sums[name] - rest * df * fdtri(df, freedom, p)) / (each * chdtri(df, 1 - p)) for p in (1 - tail, tail)
        ]
        found[name] = Interval((square - rest) / each, max(0.0, float(bounds[0])), max(0.0, float(bounds[1])))
    low, high = (rest * freedom / chdtri(freedom, p) for p in (tail, 1 - tail))
    return found | {REST: Interval(rest, float(low), float(high))}


def table(found: Sequence[Components], by: str | None) -> pd.DataFrame:
    """Every component as a row."""
    return pd.DataFrame(
        [
            ({by: one.group} if by else {})
            | {"stream": name, "variance": i.mean, "low": i.low, "high": i.high, "share": one.share(name)}
            | {"seeds": one.levels.get(name, ""), "mean": one.mean, "dropped": one.dropped}
            for one in found
            for name, i in one.variance.items()
        ]
    )


def _components(group: Any, frame: pd.DataFrame, streams: Sequence[str]) -> Components:
    seeds = [f"seed_{stream}" for stream in streams]
    cube = frame.set_index(seeds)["_v"]
    whole = pd.MultiIndex.from_product([sorted(set(frame[seed])) for seed in seeds], names=seeds)
    spread = cube.reindex(whole)
    while spread.isna().any():
        spread = _without_the_worst(spread)
    levels = {
        stream: spread.index.get_level_values(seed).nunique() for stream, seed in zip(streams, seeds, strict=True)
    }
    if min(levels.values(), default=0) < 2:
        where = f" where it is {group}" if group is not None else ""
        raise AnalysisError(
            f"The seeds of {', '.join(streams)} do not cross{where}: they move together, or too many trials are lost.\n"
            "Only crossed seeds, such as seeds: {teacher: 3, init: 4}, tell their parts in the spread apart."
        )
    values = spread.to_numpy(dtype=float).reshape([levels[stream] for stream in streams])
    dropped = len(cube) - values.size
    return Components(group, float(values.mean()), divided(values, streams), levels, dropped)


def _without_the_worst(spread: pd.Series[float]) -> pd.Series[float]:
    """Without the seed that lacks the largest share of its combinations."""
    lacks = {
        (str(level), seed): float(part.isna().mean())
        for level in spread.index.names
        for seed, part in spread.groupby(level=level)
    }
    level, seed = max(lacks, key=lambda place: lacks[place])
    return spread.drop(index=seed, level=level)
