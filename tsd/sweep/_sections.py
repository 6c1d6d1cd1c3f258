"""The sections of a sweep file, each read on its own: what it says, and every problem in it.

Each function takes the section's node and a list to which it adds problems, and returns what could be read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tsd.engine.rng import STREAMS
from tsd.fields import Scalar
from tsd.sweep import _axes
from tsd.sweep._known import Known
from tsd.sweep._yaml import Node
from tsd.sweep.problems import Problem, listed, near, nearest, shorten

Problems = list[Problem]
Values = tuple[Scalar, ...]


@dataclass(frozen=True)
class When:
    """Further axes for the trials in which `condition` holds."""

    condition: str
    axes: Mapping[str, Values]


@dataclass(frozen=True)
class Resources:
    """What one pack occupies, and for how many seconds at most. `gpu` None means one where there is one; `deadline`
    None means what earlier packs lead one to expect."""

    cpu: float = 1
    gpu: float | None = None
    deadline: float | None = None


def mapping(node: Node, problems: Problems, keys: Collection[str] | None = None, noun: str = "key") -> dict[str, Node]:
    """The entries of a mapping; nothing is an empty one.

    With `keys`, another key is a problem, and its entry is read as that of the key that is nearest, so that what is
    wrong below it is told at once.
    """
    if node.value is None:
        return {}
    if not isinstance(node.value, dict):
        problems.append(node.problem(f"Found {node.found()}, expected a mapping (`key: value`)."))
        return {}
    if keys is None:
        return node.value
    for name, entry in node.value.items():
        if name not in keys:
            hint = nearest(name, keys) or f"\nThere are {listed([*keys])}."
            problems.append(entry.misnamed(f"Unknown {noun} `{shorten(name)}`.{hint}"))
    return meant(node.value, keys)


def meant(entries: Mapping[str, Node], keys: Collection[str]) -> dict[str, Node]:
    """The entries under `keys`; one under another key is that of the nearest key, where that is not given."""
    found = {name: entry for name, entry in entries.items() if name in keys}
    for name, entry in entries.items():
        key = name if name in keys else near(name, keys)
        if key:
            found.setdefault(key, entry)
    return found


def sequence(node: Node, problems: Problems, of: str) -> list[Node]:
    """The entries of a list; nothing is an empty one."""
    if node.value is None:
        return []
    if not isinstance(node.value, list):
        problems.append(node.problem(f"Found {node.found()}, expected a list of {of} (lines that begin with `- `)."))
        return []
    return node.value


def read_name(node: Node, problems: Problems) -> str:
    """The sweep's name, which is also the name of its results folder."""
    if not isinstance(node.value, str):
        hint = f'\nIn quotes it is text: "{node.found()}"' if isinstance(node.value, int | float) else ""
        problems.append(node.problem(f"Found {node.found()}, expected text.{hint}"))
    elif not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", node.value):
        expected = "expected letters, digits, `_`, `-` and `.`, at most 100, and neither `-` nor `.` first"
        problems.append(node.problem(f"Found {node.found()}, {expected}.\nThe results folder bears this name."))
    return str(node.value)


def read_fixed(node: Node, known: Known, problems: Problems) -> dict[str, Scalar]:
    """Fields with one value."""
    fixed = {}
    for name, entry in mapping(node, problems).items():
        if _is_field(entry, name, known, problems):
            value = known.parse(entry, name, problems)
            if value is not None:
                fixed[name] = value
    return fixed


def read_axes(node: Node, known: Known, problems: Problems) -> dict[str, Values]:
    """Fields with several values, crossed."""
    axes = {}
    for name, entry in mapping(node, problems).items():
        values = axes[name] = _axis(entry, name, known, problems)
        again = _repeat(values)
        if again is not None:
            place = entry.value[again] if isinstance(entry.value, list) else entry
            problems.append(place.problem(f"`{name}` has the value {values[again]} twice."))
    return axes


def read_zips(node: Node, known: Known, problems: Problems) -> tuple[dict[str, Values], ...]:
    """Groups of fields that move together."""
    return tuple(_zip(entry, known, problems) for entry in sequence(node, problems, "mappings"))


def _zip(node: Node, known: Known, problems: Problems) -> dict[str, Values]:
    entries = mapping(node, problems)
    if node.value is None or node.value == {}:
        problems.append(node.problem("This group is empty, expected fields that move together."))
    columns = {name: _axis(entry, name, known, problems) for name, entry in entries.items()}
    lengths = {name: len(values) for name, values in columns.items() if values}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"`{name}` has {length}" for name, length in lengths.items())
        problems.append(node.problem(f"Fields that move together need equally many values; {counts}."))
        return {}
    rows = list(zip(*columns.values(), strict=True)) if len(lengths) == len(columns) else []
    again = _repeat(rows)
    if again is not None:
        row = ", ".join(f"{name} = {value}" for name, value in zip(columns, rows[again], strict=True))
        problems.append(node.problem(f"{row} comes twice."))
    return columns


def read_when(node: Node, known: Known, problems: Problems) -> tuple[When, ...]:
    """Axes that exist only where a condition holds."""
    return tuple(_rule(entry, known, problems) for entry in sequence(node, problems, "rules"))


def _rule(node: Node, known: Known, problems: Problems) -> When:
    given = mapping(node, problems, ("if", "axes"))
    missing = [key for key in ("if", "axes") if key not in given]
    if missing and isinstance(node.value, dict | None):
        problems.append(node.problem(f"This rule has no {listed(missing)}; expected {{if: CONDITION, axes: {{…}}}}."))
    condition = read_condition(given["if"], problems) if "if" in given else ""
    if "axes" not in given:
        return When(condition, {})
    for name, entry in mapping(given["axes"], []).items():
        if name in known.families:
            text = f"`{name}` decides which fields a trial has; it may stand under `fixed`, `axes` and `zip` only."
            problems.append(entry.misnamed(text))
    if given["axes"].value in (None, {}):
        problems.append(given["axes"].problem("This rule has no axis."))
    return When(condition, read_axes(given["axes"], known, problems))


def read_excludes(node: Node, problems: Problems) -> tuple[str, ...]:
    """Conditions whose trials are dropped."""
    return tuple(read_condition(entry, problems) for entry in sequence(node, problems, "conditions"))


def read_condition(node: Node, problems: Problems) -> str:
    """The text of a condition; what it says is checked when all columns are known."""
    if isinstance(node.value, str) and node.value.strip():
        return node.value
    example = '"student_width < teacher_width"'
    problems.append(node.problem(f"Found {node.found()}, expected an SQL condition, such as {example}."))
    return ""


def read_seeds(node: Node, problems: Problems) -> int | dict[str, int]:
    """How many seeds: of all streams together, or of each named stream."""
    if not isinstance(node.value, dict):
        return _count(node, problems, " or a mapping of streams")
    if not node.value:
        problems.append(node.problem(f"No stream is named; there are {listed(STREAMS)}."))
    named = mapping(node, problems, STREAMS, "stream")
    return {stream: _count(named[stream], problems) for stream in STREAMS if stream in named}


def _count(node: Node, problems: Problems, also: str = "") -> int:
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0 and 1 <= value < 2**62:
        return int(value)
    problems.append(node.problem(f"Found {node.found()}, expected a whole number ≥ 1{also}."))
    return 1


def read_resources(node: Node, problems: Problems) -> Resources:
    """What one pack occupies, and how long at most."""
    given = mapping(node, problems, ("cpu", "gpu", "deadline"))
    cpu = _amount(given["cpu"], problems, least=0.01) if "cpu" in given else 1.0
    gpu = _amount(given["gpu"], problems, least=0) if "gpu" in given else None
    if gpu is not None and gpu > 1 and gpu != int(gpu):
        problems.append(given["gpu"].problem(f"Found {gpu:g}, expected a whole number where it is more than one GPU."))
    asked = given.get("deadline")
    deadline = None if asked is None or asked.value is None else _amount(asked, problems, least=1)
    return Resources(cpu, gpu, deadline)


def _amount(node: Node, problems: Problems, least: float) -> float:
    value = node.value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= least:
        return float(value)
    problems.append(node.problem(f"Found {node.found()}, expected a number ≥ {least:g}."))
    return 1.0


def _is_field(node: Node, name: str, known: Known, problems: Problems) -> bool:
    """Whether a value can be checked: the field exists. One that does not is a problem where all fields are known."""
    if known.owners(name):
        return True
    if known.complete:
        problems.append(known.unknown(node, name))
    return False


def _axis(node: Node, name: str, known: Known, problems: Problems) -> Values:
    """The values of one axis, () where one of them is wrong."""
    found = _axes.values(node)
    if isinstance(found, Problem):
        problems.append(found)
    if not _is_field(node, name, known, problems) or isinstance(found, Problem):
        return ()
    if isinstance(node.value, dict) and (text := _between(found, name, known)):
        problems.append(found[0].problem(text))
        return ()
    values = [known.parse(entry, name, problems) for entry in found]
    return tuple(value for value in values if value is not None) if None not in values else ()


def _between(found: list[Node], name: str, known: Known) -> str:
    """What to say where a rule counts out values between the whole numbers that a field takes."""
    numbers = [n.value for n in found if isinstance(n.value, int | float)]
    if any(field.type is int for field in known.owners(name).values()):
        for value in numbers:
            if value % 1:
                near = ", ".join(str(n) for n in dict.fromkeys(map(round, numbers[:20])))
                more = ", …" if len(numbers) > 20 else ""
                return f"This holds {value:g}, expected whole numbers only.\nWrite the values: [{near}{more}]"
    return ""


def _repeat(values: Sequence[object]) -> int | None:
    """Index of the first value that has come before."""
    seen = set()
    for index, value in enumerate(values):
        if value in seen:
            return index
        seen.add(value)
    return None
