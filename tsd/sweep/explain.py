"""Why a plan is as it is: for each shape, how its trials are stepped and why a pack holds as many as it does."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import duckdb

from tsd.store import Store
from tsd.studies._base import GradientStudy
from tsd.sweep.pack import MOST, PACKS_A_SLOT, TARGET_S, Shape
from tsd.sweep.plan import Plan, duration, trials

LISTED = 20
"""Shapes that are explained one by one."""
WAYS = {
    "dense": "gradients written by hand, all trials in batched products",
    "loop": "one network after another",
    "vmap": "the loss of one network mapped over the stack",
}
RULE = (
    "way auto: dense where the student is a chain of affine layers and its loss reads nothing but the output, "
    "else loop on a CPU and vmap on a GPU; no clock decides"
)


def explain(plan: Plan, connection: duckdb.DuckDBPyConnection, store: Store, number: Callable[[int], str]) -> str:
    """A line of rules and a line a shape, in the order in which the packs run.

    Args:
        connection: holds the table `todo`.
        store: its rows tell the ways that were taken before.
    """
    if not plan.todo:
        return "nothing to explain: nothing is to be run"
    gradient = issubclass(plan.sweep.module.Trial, GradientStudy)
    lines = (
        _ways(plan, connection, store) if gradient else [f"{plan.sweep.study} steps its packs itself: it has no ways"]
    )
    for shape in plan.shapes[:LISTED]:
        named = ", ".join(f"{name} {value}" for name, value in shape.values.items()) or "the only shape"
        lines.append(f"{named}: {_packs(shape, number)}, {reason(plan, shape)}")
    if len(plan.shapes) > LISTED:
        lines.append(f"and {number(len(plan.shapes) - LISTED)} more shapes, cut by the same rules")
    return "\n".join(lines)


def reason(plan: Plan, shape: Shape) -> str:
    """What bounds the size of this shape's packs."""
    limits, seconds = plan.limits, shape.seconds_a_trial
    share = ceil(plan.todo / (limits.slots * PACKS_A_SLOT))
    timed = limits.largest if seconds is None else min(max(int(TARGET_S / seconds), 1), MOST)
    if shape.packs == 1:
        return "all there are"
    if timed > max(share, limits.smallest):
        least = f", though not below {limits.smallest}" if share < limits.smallest else ""
        who = "the worker" if limits.slots == 1 else f"each of {limits.slots} workers"
        return f"so that {who} gets {PACKS_A_SLOT} packs{least}"
    if seconds is None:
        return f"at most {limits.largest} while no stored row tells how long a trial lasts"
    if timed == MOST:
        return f"at most {MOST}, however short they are"
    return f"some {TARGET_S:.0f} s of trials that last {seconds:.2g} s each"


def _packs(shape: Shape, number: Callable[[int], str]) -> str:
    size = ceil(shape.trials / shape.packs)
    length = f" ({duration(size * shape.seconds_a_trial)})" if shape.seconds_a_trial is not None else ""
    packs = "1 pack" if shape.packs == 1 else f"{number(shape.packs)} packs"
    return f"{packs} of {trials(size, number)}{length}"


def _ways(plan: Plan, connection: duckdb.DuckDBPyConnection, store: Store) -> list[str]:
    """The ways that are asked for, the rule where none is, and those that stored rows have taken."""
    asked = {"auto"}
    if "way" in plan.grid.columns:
        asked = {row[0] or "auto" for row in connection.execute("SELECT DISTINCT way FROM todo").fetchall()}
    lines = [RULE if way == "auto" else f"way {way}, as asked for: {WAYS[way]}" for way in sorted(asked)]
    if plan.bytes_a_trial is not None:
        told = store.trials(["way_taken"], skip_damaged=True)["way_taken"].drop_null().to_pylist()
        lines += [f"stored rows took {way}: {WAYS[way]}" for way in sorted(set(told))]
    return lines
