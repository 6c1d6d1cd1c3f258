"""Variance: which part of the spread of a value comes from teachers, from data, from starts, as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from analysis.options import MaybeOutput, Where

if TYPE_CHECKING:
    import pandas as pd

    from analysis.data.cells import Cells
    from analysis.data.rows import Rows
    from analysis.statistics.variance import Components
    from analysis.writing.provenance import Told
    from analysis.writing.tables import Said, Table

HOW = (
    "Variance of the value by random stream and its 95 % interval, in brackets the share of the whole; "
    "rest: what streams make together. A negative estimate says that there is none to be seen."
)
NOT_CROSSED = "seeds do not cross"


def command(
    results: str, *, value: str, by: str | None = None, where: Where = None, output: MaybeOutput = None
) -> None:
    """Variance: which part of the spread of a value comes from which random stream, where their seeds are crossed.

    Args:
        results: Folder or URI of a sweep's results.
        value: Metric whose spread is divided.
        by: Column with a row for each of its values.
    """
    asked = dict(locals())
    from analysis.data.load import Results
    from analysis.data.lock import locking
    from analysis.writing import files

    outputs = files.checked(output or [], files.TABLES)
    opened = Results.open(results)
    with locking(opened, asked) as lock:
        from analysis.statistics.variance import components
        from analysis.statistics.variance import table as numbers
        from analysis.writing import tables
        from analysis.writing.provenance import Told
    rows = opened.rows_for(value, [by], where)
    cells, found = components(rows, value, by)
    written = numbers(found, by).to_csv(index=False, float_format="%.12g")
    told = Told("variance", asked, HOW, "generalised", _dropped(found), lock=lock())
    tables.publish(_in_words(cells, found, by, told, rows), written, outputs)


def variance(data: Rows | pd.DataFrame, *, value: str, by: str | None = None) -> Table:
    """The table of `data`; a notebook shows it, and `analysis.statistics.variance` has the numbers.

    Args:
        data: what `analysis.load` gives: a row for each trial.
        value, by: as in the verb `variance`.
    Raises:
        AnalysisError: a column is unknown, or seeds of two streams do not cross.
    """
    from analysis.data.rows import Rows
    from analysis.statistics.variance import components
    from analysis.writing.provenance import Told

    rows = Rows.of(data)
    cells, found = components(rows, value, by)
    told = Told("variance", {"value": value, "by": by}, HOW, "generalised", _dropped(found))
    return _in_words(cells, found, by, told, rows)


def _dropped(found: list[Components]) -> list[str]:
    dropped = sum(one.dropped for one in found)
    plural = "s are" if dropped > 1 else " is"
    return [f"{dropped} repetition{plural} left out, so that seeds cross completely."] if dropped else []


def _in_words(cells: Cells, found: list[Components], by: str | None, told: Told, rows: Rows) -> Table:
    from analysis.naming import label
    from analysis.statistics.intervals import Interval
    from analysis.writing.provenance import provenance
    from analysis.writing.rounding import Rounding, named
    from analysis.writing.tables import Table

    origin = provenance(told, cells, rows.source)
    unit = rows.unit(cells.value)
    streams = next(list(one.variance) for one in found if one.variance)
    means = [Interval(one.mean, math.nan, math.nan) for one in found]
    written = [Rounding.of(means).text(mean) for mean in means]
    return Table(
        title=f"Variance of {label(cells.value, f'{unit}, squared' if unit else '')} by random stream",
        corner=label(by, rows.unit(by)) if by else "",
        above="",
        header=["mean", *streams],
        lines=[
            (named(one.group) if by else "all", _line(one, mean, streams))
            for one, mean in zip(found, written, strict=True)
        ],
        notes=origin.text(),
        facts=origin.json(),
    )


def _line(one: Components, mean: str, streams: list[str]) -> list[Said]:
    from analysis.writing.rounding import NOTHING, bounded
    from analysis.writing.tables import Said

    if not one.variance:
        without = Said(NOTHING, note=NOT_CROSSED if math.isfinite(one.mean) else "no value")
        return [Said(mean if math.isfinite(one.mean) else NOTHING), without, *(Said(NOTHING) for _ in streams[1:])]
    shares = [f"{100 * share:.0f} %" if math.isfinite(share := one.share(stream)) else "" for stream in streams]
    said = [Said(bounded(one.variance[stream]), note=note) for stream, note in zip(streams, shares, strict=True)]
    return [Said(mean), *said]
