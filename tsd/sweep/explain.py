"""Why a plan is as it is: for each shape, how its trials are stepped and why a pack holds as many as it does."""

from __future__ import annotations

from math import ceil

import duckdb

from tsd.studies._base import GradientStudy
from tsd.sweep.pack import MOST, PACKS_A_SLOT, TARGET_S
from tsd.sweep.plan import Plan
from tsd.sweep.shapes import Shape
from tsd.words import counted, duration, number

LISTED = 20
"""Shapes that are explained one by one."""
WAYS = {
    "fused": "many updates in one kernel, one network after another, its weights in the cache",
    "dense": "gradients written by hand, all trials in batched products",
    "loop": "one network after another",
    "vmap": "the loss of one network mapped over the stack",
}
RULE = (
    "way auto: fused, on a CPU, for small students of two layers under plain sgd and a mean square; else dense where "
    "the student is a chain of affine layers in full precision, loop on a CPU and vmap on a GPU; no clock decides"
)


def explain(plan: Plan, connection: duckdb.DuckDBPyConnection) -> str:
    """A line of rules and a line a shape, in the order in which the packs run.

    Args:
        connection: holds the table `todo`.
    """
    if not plan.todo:
        return "nothing to explain: nothing is to be run"
    gradient = issubclass(plan.sweep.module.Trial, GradientStudy)
    lines = _ways(plan, connection) if gradient else [f"{plan.sweep.study} steps its packs itself: it has no ways"]
    for shape in plan.shapes[:LISTED]:
        named = ", ".join(f"{name} {value}" for name, value in shape.values.items()) or "the only shape"
        lines.append(f"{named}: {_cut(shape)}, {reason(plan, shape)}{_taken(shape)}")
    if len(plan.shapes) > LISTED:
        lines.append(f"and {number(len(plan.shapes) - LISTED)} more shapes, cut by the same rules")
    return "\n".join(lines)


def reason(plan: Plan, shape: Shape) -> str:
    """What bounds the size of this shape's packs."""
    limits, seconds = plan.limits, shape.quickest
    share = max(ceil(plan.todo / (limits.slots * PACKS_A_SLOT)), limits.smallest)
    timed = limits.largest if seconds is None else min(max(int(TARGET_S / seconds), 1), MOST)
    if shape.resumes:
        return "left unfinished by an earlier run, whose steps it keeps"
    if shape.packs == 1:
        return "all there are"
    if shape.fits is not None and shape.fits <= min(share, timed):
        return f"as many as memory holds at once{_memory(shape)}"
    if timed > share:
        least = f", though not below {limits.smallest}" if share == limits.smallest else ""
        who = "the worker" if limits.slots == 1 else f"each of {limits.slots} workers"
        bound = f"so that {who} gets {PACKS_A_SLOT} packs{least}"
    elif seconds is None:
        bound = f"at most {limits.largest} while no stored row tells how long a trial lasts"
    elif timed == MOST:
        bound = f"at most {MOST}, however short they are"
    else:
        bound = f"some {TARGET_S:.0f} s of trials that last {seconds:.2g} s each in the quickest pack"
    return f"{bound}; first {shape.probes} of {limits.smallest}, to measure it" if shape.probes else bound


def _cut(shape: Shape) -> str:
    length = f" ({duration(shape.size * shape.seconds_a_trial)})" if shape.seconds_a_trial is not None else ""
    return f"{counted(shape.packs, 'pack')} of {counted(shape.size, 'trial')}{length}"


def _memory(shape: Shape) -> str:
    if not (shape.bytes_a_trial and shape.room_bytes):
        return ", which once ran out"
    return f": {shape.bytes_a_trial / 1e6:,.0f} MB a trial of {shape.room_bytes / 1e9:.2g} GB"


def _taken(shape: Shape) -> str:
    return f"; stepped by {shape.way}" if shape.way else ""


def _ways(plan: Plan, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The ways that are asked for, the rule where none is, and those that stored rows have taken."""
    asked = {"auto"}
    if "way" in plan.sweep.fields:
        asked = {row[0] or "auto" for row in connection.execute("SELECT DISTINCT way FROM todo").fetchall()}
    lines = [RULE if way == "auto" else f"way {way}, as asked for: {WAYS[way]}" for way in sorted(asked)]
    taken = sorted({shape.way for shape in plan.shapes if shape.way})
    return lines + [f"stored rows took {way}: {WAYS[way]}" for way in taken]
