"""The parameter columns of a study: its own fields, then those of the members that its trials name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tsd.fields import Field, Role
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


def static(fields: Mapping[str, Field]) -> list[str]:
    """Names of the fields that must agree in a pack."""
    return [field.name for field in fields.values() if field.role is Role.STATIC]
