"""The values of an axis: a list, or `{linspace: [first, last, count]}`, `{logspace: [first, last, count]}`,
`{range: [first, stop, step]}`.

They count as NumPy's linspace, geomspace and arange do. The values are worked out in decimal and rounded once, so that
`{linspace: [0, 1, 11]}` holds 0.3, as a list written by hand does, and not 0.30000000000000004; and so that every
machine gets the same ones, on which the identity of a trial rests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal, localcontext

from tsd.sweep._yaml import Node
from tsd.sweep.problems import Problem, nearest

MOST_VALUES = 100_000

Numbers = Sequence[Decimal]


def values(node: Node) -> list[Node] | Problem:
    """The values of one axis, none of them checked yet. Those that are counted out stand where the rule stands."""
    match node.value:
        case []:
            return node.problem("This axis is empty. Give it values, or take it out.")
        case list() if len(node.value) > MOST_VALUES:
            return node.problem(f"This axis has {len(node.value):,} values; expected at most {MOST_VALUES:,}.")
        case list():
            return node.value
        case dict() if len(node.value) == 1:
            ((rule, ends),) = node.value.items()
            return _counted(rule, ends)
        case dict():
            return node.problem(f"Found a mapping of {len(node.value)} keys, expected one of {_RULES}.")
    hint = "" if node.value is None else "\nA field with one value belongs under `fixed`."
    return node.problem(f"Found {node.found()}, expected a list of values or one of {_RULES}.{hint}")


_RULES = "{linspace: [a, b, n]}, {logspace: [a, b, n]}, {range: [a, stop, step]}"


def _counted(rule: str, ends: Node) -> list[Node] | Problem:
    if rule not in _COUNTS:
        return ends.misnamed(f"Found `{rule}`, expected one of {_RULES}.{nearest(rule, _COUNTS)}")
    order, check, count = _COUNTS[rule]
    numbers = _three(ends)
    if numbers is None:
        return ends.problem(f"`{rule}` takes three finite numbers, {order}; found {_shown(ends)}.")
    with localcontext(prec=50):
        wrong = check(numbers)
        if wrong:
            return ends.problem(f"`{rule}: {_shown(ends)}`: {wrong}")
        counted = count(numbers)
    return [replace(ends, value=_rounded(value)) for value in counted]


def _three(ends: Node) -> Numbers | None:
    if not isinstance(ends.value, list) or len(ends.value) != 3:
        return None
    found = [n.value for n in ends.value if isinstance(n.value, int | float) and not isinstance(n.value, bool)]
    return [Decimal(repr(value)) for value in found] if len(found) == 3 and all(map(math.isfinite, found)) else None


def _shown(ends: Node) -> str:
    if isinstance(ends.value, list) and len(ends.value) <= 5:
        return "[" + ", ".join(n.found() for n in ends.value) + "]"
    return f"{len(ends.value)} values" if isinstance(ends.value, list) else ends.found()


def _rounded(value: Decimal) -> int | float:
    """To 30 digits first, which takes away what the logarithm left over: 10 and not 10.00…01."""
    with localcontext(prec=30):
        value = +value
    return int(value) if value == value.to_integral_value() else float(value)


def _check_count(n: Decimal) -> str:
    if n != n.to_integral_value() or n < 1:
        return f"the count must be a whole number ≥ 1, found {n}."
    return f"the count must be at most {MOST_VALUES:,}." if n > MOST_VALUES else ""


def _check_linspace(numbers: Numbers) -> str:
    return _check_count(numbers[2])


def _check_logspace(numbers: Numbers) -> str:
    first, last, n = numbers
    if first <= 0 or last <= 0:
        wrong = f"{'first' if first <= 0 else 'last'} must be > 0, found {first if first <= 0 else last}."
        return f"{wrong}\nThese are values, not exponents. For an axis through zero use linspace or a list."
    return _check_count(n)


def _check_range(numbers: Numbers) -> str:
    first, _, step = numbers
    if step == 0:
        return "the step must not be 0."
    n = _steps(numbers)
    if n < 1:
        return f"this holds no value: with a step of {step}, {first} is already at or past the end."
    return f"this holds more than {MOST_VALUES:,} values." if n > MOST_VALUES else ""


def _steps(numbers: Numbers) -> int:
    first, stop, step = numbers
    return int(((stop - first) / step).to_integral_value(ROUND_CEILING))


def _linspace(numbers: Numbers) -> list[Decimal]:
    first, last, n = numbers
    return [first + (last - first) * i / max(n - 1, Decimal(1)) for i in range(int(n))]


def _logspace(numbers: Numbers) -> list[Decimal]:
    first, last, n = numbers
    ratio = (last / first).ln() / max(n - 1, Decimal(1))
    return [first * (ratio * i).exp() for i in range(int(n))]


def _range(numbers: Numbers) -> list[Decimal]:
    first, _, step = numbers
    return [first + step * i for i in range(_steps(numbers))]


_COUNTS: dict[str, tuple[str, Callable[[Numbers], str], Callable[[Numbers], list[Decimal]]]] = {
    "linspace": ("[first, last, count]", _check_linspace, _linspace),
    "logspace": ("[first, last, count], where first and last are values and not exponents", _check_logspace, _logspace),
    "range": ("[first, stop, step], stop not included", _check_range, _range),
}
