"""One file = one kind of figure or table. Its name is a verb of `python -m analysis` and the name of its function.

A file holds two functions and imports nothing heavy before they run:
    <name>(data, *, …, ax=None) -> Axes     draws on one matplotlib axes; for notebooks. A table's takes no `ax`.
    command(results, *, …, output) -> None  the verb: reads results, draws the page, writes the files
"""

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
    """Every kind of figure and table, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def find(name: str) -> ModuleType:
    """The file of one kind of figure."""
    return importlib.import_module(f"{__name__}.{name}")
