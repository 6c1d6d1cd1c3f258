"""Folders in which one file is one thing: studies, methods, models, data sets. The file's name is its name
everywhere."""

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Family:
    """A folder of members. Adding a member is adding a file; nothing is registered.

    Args:
        package: dotted name of the folder, such as `tsd.methods`.
        singular: what one member is called in messages, such as "method".
    """

    package: str
    singular: str

    def names(self) -> list[str]:
        """Every member, sorted; files that begin with an underscore are not members."""
        path = importlib.import_module(self.package).__path__
        return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))

    def load(self, name: str) -> ModuleType:
        """The member called `name`. Raises KeyError where there is none."""
        if name not in self.names():
            raise KeyError(name)
        return importlib.import_module(f"{self.package}.{name}")
