"""A plan as the few lines that a person reads before a run."""

from __future__ import annotations

from collections.abc import Sequence

from tsd.sweep.plan import Plan
from tsd.words import counted, duration, number


def render(plan: Plan, command: str = "", reasons: Sequence[str] = ()) -> str:
    """What was asked for, how it stands against what is stored, into how many packs it goes, and how long it takes.

    Args:
        plan: of the run.
        command: what runs it; where it is given, the plan ends with how to send it to a cluster.
        reasons: further lines, before that.
    """
    lines = [_asked(plan), _against(plan)]
    lines += [f"warning: {warning}" for warning in plan.grid.warnings]
    lines += [f"damaged part {name}: its trials are planned again" for name in plan.damaged]
    if plan.todo:
        lines += [_packed(plan), *_trained(plan), _estimate(plan)]
    else:
        lines.append("nothing to run")
    last = [_submit(plan, command)] if plan.todo and command else []
    return "\n".join([*lines, *reasons, *last])


def _submit(plan: Plan, command: str) -> str:
    """The line that runs `command` on a cluster whose dashboard is at hand; its fixed id refuses a second driver."""
    return (
        "on a cluster: ray job submit --address http://127.0.0.1:8265 --working-dir . "
        f"--submission-id tsd-{plan.sweep.name} -- {command} --address auto --results s3://BUCKET/results"
    )


def _asked(plan: Plan) -> str:
    product = " × ".join(f"{number(n)} {label}" for label, n in plan.grid.axes)
    removed = "".join(f"  − {number(n)} excluded ({rule})" for rule, n in plan.grid.excluded if n)
    merged = f"  − {number(plan.grid.merged)} equal" if plan.grid.merged else ""
    added = f"  + {number(plan.grid.added)} by when" if plan.grid.added else ""
    steps = f"{product or 'one point'}{merged}{added}{removed}"
    return f"{plan.sweep.name}   {steps}  = {counted(plan.grid.total, 'trial')} of {plan.sweep.study}"


def _against(plan: Plan) -> str:
    parts = [f"{number(plan.done)} done", f"{number(plan.new)} new"]
    parts += [f"{number(plan.diverged)} diverged"] if plan.diverged else []
    parts += [f"{number(plan.failed)} failed before"] if plan.failed else []
    parts += [f"{number(plan.orphans)} stored but no longer in this file"] if plan.orphans else []
    return f"vs {plan.results}: " + " · ".join(parts)


def _packed(plan: Plan) -> str:
    largest = max(shape.size for shape in plan.shapes)
    text = f"packs into {number(plan.packs)} of at most {counted(largest, 'trial')}{_longest(plan)}"
    kinds = len({tuple(shape.values.values()) for shape in plan.shapes})
    if kinds > 1:
        text += f"; {number(kinds)} shapes, because {' × '.join(plan.shapes[0].values)} must agree in a pack"
    if plan.probes:
        unknown = sum(shape.probes > 0 for shape in plan.shapes)
        whose = "their shape" if unknown == 1 else f"{number(unknown)} shapes"
        first = counted(plan.probes, "pack")
        text += f"\nfirst {first} of {plan.limits.smallest}: what they take cuts the rest of {whose}"
    return text


def _longest(plan: Plan) -> str:
    """How long the longest pack lasts and how much memory the largest takes, as far as earlier packs tell."""
    lengths = [shape.size * shape.seconds_a_trial for shape in plan.shapes if shape.seconds_a_trial is not None]
    held = [(s.size * s.bytes_a_trial, s.room_bytes) for s in plan.shapes if s.bytes_a_trial and s.room_bytes]
    parts = [f"≈ {duration(max(lengths))}"] if lengths else []
    parts += [f"≈ {_gigabytes(max(held)[0])} of {_gigabytes(max(held)[1])} GB of memory"] if held else []
    return f" ({', '.join(parts)})" if parts else ""


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2g}"


def _trained(plan: Plan) -> list[str]:
    names = dict.fromkeys(need.name for need in plan.needs)
    grouped = {name: [n for n in plan.needs if n.name == name] for name in names}
    return [
        f"{name}: {len(found)} needed, {sum(n.stored for n in found)} stored, "
        f"{sum(not n.stored for n in found)} trained first, each once"
        for name, found in grouped.items()
    ]


def _estimate(plan: Plan) -> str:
    if plan.seconds is None:
        return "estimate: none yet, no trial of this sweep has been measured"
    slots = plan.limits.slots
    size = f", writes ≈ {plan.bytes_a_trial * plan.todo / 1e6:.2g} MB" if plan.bytes_a_trial else ""
    work, wall = duration(plan.seconds), duration(plan.seconds / slots)
    return f"estimate {work} of work, ≈ {wall} on {counted(slots, 'worker')}{size} (from stored rows)"
