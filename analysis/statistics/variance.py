"""Which part of the spread comes from which random stream: components of variance of crossed seeds.

Trials of a cell are one for each combination of a teacher seed, a data seed, an init seed …, so
    value = mean + teacher effect + data effect + init effect + rest,
the rest being what two streams or more make together. Each effect, also that of several streams together, has a
variance σ² of its own; with N values and n_s seeds of stream s a mean square is on average
    E[MS_S] = Σ_{T ⊇ S} σ²_T N / Π_{t ∈ T} n_t,
which is solved for σ²: the ANOVA estimators, which have no bias. Intervals hold all that chi² variables in place of the
sums of squares may say (generalised intervals: Hamada and Weerahandi 2000, J. Quality Technology 32, 241).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.data.cells import Cells, gather, seed_means
from analysis.data.rows import Rows
from analysis.errors import AnalysisError
from analysis.statistics.intervals import LEVEL, Interval

REST = "rest"
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))
DRAWS = 10_000
Together = tuple[bool, ...]
"""For each stream whether it takes part in an effect."""


@dataclass(frozen=True)
class Components:
    """The variance of one cell's value, by where it comes from.

    Args:
        group: the value of `by`; None where there is one group.
        mean: over all trials that were used.
        variance: of each stream and of the rest; an estimate may be negative, which says that there is none to be seen.
            Empty where seeds do not cross.
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

    Raises AnalysisError where fewer than two streams have several seeds, or nowhere seeds cross.
    """
    cells = gather(rows, [by] if by else [], value)
    cells.require_mean()
    streams = [stream for stream in cells.streams if f"seed_{stream}" != by]
    if len(streams) < 2:
        known = f"Only {streams[0]}" if streams else "No stream"
        raise AnalysisError(
            f"{known} has several seeds here, so there is no spread to divide.\n"
            "Cross at least two in the sweep file, such as seeds: {teacher: 3, init: 4}."
        )
    frame = seed_means(cells)
    groups = [(group, frame[frame[by] == group]) for group in cells.values(by)] if by else [(None, frame)]
    found = [_components(group, part, streams) for group, part in groups]
    if not any(one.variance for one in found):
        where = f" at any `{by}`" if by else ""
        raise AnalysisError(
            f"The seeds of {', '.join(streams)} do not cross{where}: they move together, or too many trials are lost.\n"
            "Only crossed seeds, such as seeds: {teacher: 3, init: 4}, tell their parts in the spread apart."
        )
    return cells, found


def divided(values: NDArray[np.float64], names: Sequence[str]) -> dict[str, Interval]:
    """Components of complete crossed `values`, one axis for each of `names`; the rest comes last."""
    effects = [effect for effect in product((False, True), repeat=values.ndim) if any(effect)]
    sums = np.array([_sum_of_squares(values, effect) for effect in effects])
    freedoms = tuple(_product(values, effect, less=1) for effect in effects)
    solved = np.array([[_weight(values, effect, other) for other in effects] for effect in effects])
    alone = {names[effect.index(True)]: solved[i] for i, effect in enumerate(effects) if sum(effect) == 1}
    rest = solved[[sum(effect) > 1 for effect in effects]].sum(axis=0)
    drawn = sums[:, None] / _chi2(freedoms)
    ends = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    found = {}
    for name, weights in [*((name, alone[name]) for name in names), (REST, rest)]:
        low, high = np.maximum(0.0, np.quantile(weights @ drawn, ends))
        found[name] = Interval(float(weights @ (sums / np.array(freedoms))), float(low), float(high))
    return found


def table(found: Sequence[Components], by: str | None) -> pd.DataFrame:
    """Every component as a row; what does not exist is NaN."""
    streams = next((list(one.variance) for one in found if one.variance), [])
    rows = []
    for one, stream in product(found, streams):
        i = one.variance.get(stream, UNKNOWN)
        group = {by: one.group} if by else {}
        part = {"stream": stream, "variance": i.mean, "low": i.low, "high": i.high, "share": one.share(stream)}
        rows.append(group | part | {"seeds": one.levels.get(stream, ""), "mean": one.mean, "dropped": one.dropped})
    return pd.DataFrame(rows)


@lru_cache(maxsize=8)
def _chi2(freedoms: tuple[int, ...]) -> NDArray[np.float64]:
    """Draws of chi2 variables, a row for each: all quantiles of each once, in an order of chance."""
    from scipy.special import chdtri

    rng = np.random.default_rng(0)
    tails = (np.arange(DRAWS) + 0.5) / DRAWS
    return np.array([rng.permutation(chdtri(freedom, tails)) for freedom in freedoms])


def _sum_of_squares(values: NDArray[np.float64], effect: Together) -> float:
    """What is left of the values when the other streams, and effects of fewer streams, are averaged away."""
    part = values
    for axis, takes_part in enumerate(effect):
        mean = part.mean(axis=axis, keepdims=True)
        part = part - mean if takes_part else mean
    return float((part**2).sum()) * values.size / part.size


def _weight(values: NDArray[np.float64], effect: Together, other: Together) -> float:
    """How often the mean square of `other` counts in the variance of `effect`."""
    if any(mine and not theirs for mine, theirs in zip(effect, other, strict=True)):
        return 0.0
    return float((-1) ** (sum(other) - sum(effect)) * _product(values, effect) / values.size)


def _product(values: NDArray[np.float64], effect: Together, less: int = 0) -> int:
    """The product of the numbers of seeds of the streams that take part, each less one for degrees of freedom."""
    return int(np.prod([n - less for n, takes_part in zip(values.shape, effect, strict=True) if takes_part]))


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
    if min(levels.values()) < 2:
        return Components(group, float(cube.mean()), {}, {}, 0)
    values = spread.to_numpy(dtype=float).reshape([levels[stream] for stream in streams])
    return Components(group, float(values.mean()), divided(values, streams), levels, len(cube) - values.size)


def _without_the_worst(spread: pd.Series[float]) -> pd.Series[float]:
    """Without the seed that lacks the largest share of its combinations."""
    lacks = {
        (str(level), seed): float(part.isna().mean())
        for level in spread.index.names
        for seed, part in spread.groupby(level=level)
    }
    level, seed = max(lacks, key=lambda place: lacks[place])
    return spread.drop(index=seed, level=level)
