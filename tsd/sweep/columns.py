"""The parameter columns of a study: its own fields, then those of the members that its trials name; and back again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from tsd.fields import Field
from tsd.studies._base import Study


def parameters(trial: type[Study], parts: Mapping[str, Sequence[str]]) -> dict[str, Field]:
    """Every field that a trial may have, by name.

    Args:
        trial: the study's `Trial`.
        parts: for each field that names a member of a family, the members named in the sweep.
    """
    found = dict(trial.fields())
    for name, members in parts.items():
        family = trial.parts[name]
        for member in members:
            found |= getattr(family.load(member), family.singular.capitalize()).fields()
    return found


def trial(study: ModuleType, row: Mapping[str, Any]) -> Any:
    """The trial that a row describes. NULL is a field that it does not have."""
    return study.Trial.of({name: value for name, value in row.items() if value is not None})
