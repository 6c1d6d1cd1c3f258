"""Typed, documented fields: one declaration is the YAML schema, the help text, the packing rule and the Parquet column.

    class Trial(Fields):
        student_width: Static[int] = field(100, ge=1, unit="nodes", doc="Width of the student's hidden layer.")
        lr: Batched[float] = field(5e-3, gt=0, doc="Step size of the optimizer.")

`Static` fields change shapes or the code path and must agree in a pack. `Batched` fields may differ from trial to
trial in a pack; the engine hands them to formulas as tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict
from pydantic import Field as PydanticField

T = TypeVar("T")


class Role(Enum):
    """How a field behaves in a pack."""

    STATIC = "static"
    BATCHED = "batched"


Static = Annotated[T, Role.STATIC]
Batched = Annotated[T, Role.BATCHED]

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Field:
    """What is known of one field. `type` is one of bool, int, float, str."""

    name: str
    type: type
    default: Scalar
    role: Role
    doc: str
    unit: str = ""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    choices: tuple[str, ...] = ()

    def expected(self) -> str:
        """What a value must be, in words: "a number > 0", "one of relu, erf, tanh"."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[self.type]
        signs = ((self.ge, "≥"), (self.gt, ">"), (self.le, "≤"), (self.lt, "<"))
        bounds = [f"{sign} {bound:g}" for bound, sign in signs if bound is not None]
        return f"{words} {' and '.join(bounds)}".rstrip()

    def parse(self, value: object) -> Scalar:
        """`value` in the field's own type. Raises ValueError, with `expected()` as its text, where it does not fit."""
        parsed = _convert(value, self.type)
        if parsed is None or not self._in_range(parsed):
            raise ValueError(self.expected())
        return parsed

    def _in_range(self, value: Scalar) -> bool:
        if isinstance(value, str):
            return not self.choices or value in self.choices
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )


def _convert(value: object, wanted: type) -> Scalar | None:
    """A whole number fits a float field and 2.0 an int field; text never fits a number, nor a truth value an
    integer."""
    match value:
        case bool():
            return value if wanted is bool else None
        case int() if wanted is int:
            return value if abs(value) < 2**63 else None
        case int() | float() if wanted is float:
            return float(value) + 0.0 if math.isfinite(value) else None
        case float() if wanted is int:
            return int(value) if value.is_integer() and abs(value) < 2**63 else None
        case str() if wanted is str:
            return value
    return None


def field(
    default: Scalar,
    *,
    doc: str,
    unit: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Declare a field of a `Fields` class: its default, its meaning, its unit and what it may be."""
    extra: dict[str, Any] = {"unit": unit, "ge": ge, "gt": gt, "le": le, "lt": lt, "choices": list(choices)}
    return PydanticField(default=default, description=doc, json_schema_extra=extra)


class Fields(BaseModel):
    """A frozen set of declared fields. Subclasses only add fields; a trial's values are checked before they get
    here."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    @classmethod
    @cache  # a worker asks for every trial, and the hints cost more than a short trial's training
    def fields(cls) -> Mapping[str, Field]:
        """Every declared field by name, in the order of declaration."""
        hints = get_type_hints(cls, include_extras=True)
        return MappingProxyType({name: _describe(name, hints[name], info) for name, info in cls.model_fields.items()})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Any:
        """An instance from `values` that are known to be good, tensors among them; the rest takes its default."""
        return cls.model_construct(**{k: v for k, v in values.items() if k in cls.model_fields and v is not None})


def _describe(name: str, hint: Any, info: Any) -> Field:
    if get_origin(hint) is not Annotated or not isinstance(get_args(hint)[1], Role):
        raise TypeError(f"field `{name}` must be declared Static[...] or Batched[...]")
    kind, role = get_args(hint)[:2]
    if kind not in (bool, int, float, str):
        raise TypeError(f"field `{name}` must be a bool, an int, a float or a str, not {kind}")
    extra = dict(info.json_schema_extra or {})
    extra["choices"] = tuple(extra.get("choices", ()))
    return Field(name=name, type=kind, default=info.default, role=role, doc=info.description or "", **extra)
