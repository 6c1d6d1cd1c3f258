"""What a sweep may say of a study or a method, and what its rows then hold: fields and metrics as they are declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsd.errors import UserError
from tsd.families import Family
from tsd.fields import Field
from tsd.methods import METHODS
from tsd.studies import STUDIES
from tsd.studies._base import Metric
from tsd.sweep.problems import listed, nearest


def questions() -> dict[str, str]:
    """What each study is about: the first line of its file."""
    return {name: STUDIES.load(name).__doc__.splitlines()[0] for name in STUDIES.names()}


def study(name: str) -> dict[str, Any]:
    """The fields and metrics of a study. Raises UserError where there is none of this name."""
    module = _member(STUDIES, name)
    return _about(module, module.Trial.fields()) | {"metrics": [_metric(metric) for metric in module.METRICS]}


def method(name: str) -> dict[str, Any]:
    """The fields of a method. Raises UserError where there is none of this name."""
    module = _member(METHODS, name)
    return _about(module, module.Method.fields())


def render(told: Mapping[str, Any]) -> str:
    """What `study` or `method` returns, as text."""
    blocks = [[told["about"]], ["Fields, with their defaults:", *map(_field_line, told["fields"])]]
    if "metrics" in told:
        blocks.append(["Metrics, and curves with their step:", *map(_metric_line, told["metrics"])])
    return "\n\n".join("\n".join(block) for block in blocks)


def _member(family: Family, name: str) -> Any:
    names = family.names()
    if name not in names:
        raise UserError(f"There is no {family.singular} `{name}`; there are {listed(names)}.{nearest(name, names)}")
    return family.load(name)


def _about(module: Any, fields: Mapping[str, Field]) -> dict[str, Any]:
    return {"about": module.__doc__.strip(), "fields": [_field(each) for each in fields.values()]}


def _field(field: Field) -> dict[str, Any]:
    facts = {"name": field.name, "default": field.default, "expected": field.expected(), "unit": field.unit}
    return facts | {"role": field.role.value, "doc": field.doc}


def _metric(metric: Metric) -> dict[str, Any]:
    return {"name": metric.name, "unit": metric.unit, "step": metric.step if metric.curve else None, "doc": metric.doc}


def _field_line(field: Mapping[str, Any]) -> str:
    default = str(field["default"]).lower() if isinstance(field["default"], bool) else field["default"]
    return _entry(f"{field['name']}: {default}", [field["expected"], field["unit"]], field["doc"])


def _metric_line(metric: Mapping[str, Any]) -> str:
    along = f"along {metric['step']}" if metric["step"] else ""
    return _entry(metric["name"], [metric["unit"], along], metric["doc"])


def _entry(head: str, facts: Sequence[str], doc: str) -> str:
    said = ", ".join(fact for fact in facts if fact)
    return f"  {head}" + (f"   ({said})" if said else "") + f"\n      {doc}"
