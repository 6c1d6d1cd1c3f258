"""Folders in which one file is one thing: studies, methods, models, data sets. The file's name is its name
everywhere."""

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

SUM = "+"


@dataclass(frozen=True)
class Family:
    """A folder of members. Adding a member is adding a file; nothing is registered.

    Args:
        package: dotted name of the folder, such as `tsd.methods`.
        singular: what one member is called in messages, such as "method".
        summed: whether members can be added to one another, as in "kd+at". The folder's `_sum.py` says how.
    """

    package: str
    singular: str
    summed: bool = False

    def names(self) -> list[str]:
        """Every member, sorted; files that begin with an underscore are not members."""
        path = importlib.import_module(self.package).__path__
        return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))

    def has(self, name: object) -> bool:
        """Whether `name` is a member, or a sum of different ones."""
        if not isinstance(name, str):
            return False
        terms = name.split(SUM) if self.summed else [name]
        return len(set(terms)) == len(terms) and set(terms) <= set(self.names())

    def load(self, name: str) -> Any:
        """The member called `name`; of a sum, what the sum has in the place of a member. Raises KeyError where there is
        none."""
        if not self.has(name):
            raise KeyError(name)
        if SUM in name:
            return _sum(self.package, name)
        return importlib.import_module(f"{self.package}.{name}")


@functools.cache
def _sum(package: str, name: str) -> Any:
    terms = {term: importlib.import_module(f"{package}.{term}") for term in name.split(SUM)}
    return importlib.import_module(f"{package}._sum").added(terms)
