"""What can only be checked when all sections of a sweep file are read: they must not contradict each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tsd.sweep import conditions
from tsd.sweep._known import KEYS, Known
from tsd.sweep._sections import Problems
from tsd.sweep._yaml import Node
from tsd.sweep.problems import Problem, listed, nearest, shorten

if TYPE_CHECKING:
    from tsd.sweep.spec import Sweep

MOST_TRIALS = 100_000_000


def keys(written: Mapping[str, Node], given: Mapping[str, Node], known: Known, root: Node, problems: Problems) -> None:
    """What is `written` has the keys of a sweep file, and a name is among those that are meant, `given`."""
    if "name" not in given:
        problems.append(Problem(root.place, "name", "The file has no `name`. It names the results folder."))
    for key, node in written.items():
        if key in KEYS:
            continue
        if known.owners(key):
            problems.append(node.misnamed(f"`{key}` is a field of `{known.study}`: put it under `fixed` or `axes`."))
        else:
            hint = nearest(key, [*KEYS, *known.names()]) or f"\nThere are {listed(KEYS)}."
            problems.append(node.misnamed(f"Unknown key `{shorten(key)}`.{hint}"))


def claims(given: Mapping[str, Node], problems: Problems) -> None:
    """A field is fixed, or an axis, or in one `zip`; an axis of a `when` may be fixed besides."""
    groups = [_entries(group) for group in _items(given.get("zip"))]
    fixed = _entries(given.get("fixed"))
    claimed: dict[str, Node] = {}
    for section in (fixed, _entries(given.get("axes")), *groups):
        for name, node in section.items():
            if name in claimed:
                problems.append(_claimed(node, name, claimed[name]))
            claimed.setdefault(name, node)
    for rule in _items(given.get("when")):
        for name, node in _entries(_entries(rule).get("axes")).items():
            if name in claimed and name not in fixed:
                problems.append(_claimed(node, name, claimed[name]))


def _claimed(node: Node, name: str, other: Node) -> Problem:
    where = f"in line {other.key.line}" if other.key.line else f"by {other.key}"
    return node.misnamed(f"`{shorten(name)}` is given under `{other.path}` {where} already; give it once.")


def _entries(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _items(node: Node | None) -> list[Node]:
    return node.value if node is not None and isinstance(node.value, list) else []


def size(sweep: Sweep, root: Node, problems: Problems) -> None:
    """What is crossed in any case must not be too much; what `when` adds is counted with the grid."""
    seeds = [sweep.seeds] if isinstance(sweep.seeds, int) else [*sweep.seeds.values()]
    groups = [max(map(len, group.values()), default=1) for group in sweep.zips]
    trials = math.prod(max(n, 1) for n in (*map(len, sweep.axes.values()), *groups, *seeds))
    if trials > MOST_TRIALS:
        problems.append(Problem(root.place, "axes", too_many(trials)))


def too_many(trials: int) -> str:
    """What to say of a grid of `trials` trials."""
    number = f"{trials:,}" if trials < 10**18 else f"10^{len(str(trials)) - 1}"
    most = (
        f"expected at most {MOST_TRIALS:,}.\nTake fewer values or seeds, or let some fields move together under `zip`."
    )
    return f"This crosses to {number} trials; {most}"


def written_conditions(sweep: Sweep, problems: Problems) -> None:
    """Every condition is one, over columns that the trials have."""
    written = {f"when[{i}].if": rule.condition for i, rule in enumerate(sweep.when)}
    written |= {f"except[{i}]": condition for i, condition in enumerate(sweep.excludes)}
    for path, condition in written.items():
        wrong = conditions.check(condition, sweep.columns) if condition else None
        if wrong:
            problems.append(Problem(sweep.places[path], path, wrong))
