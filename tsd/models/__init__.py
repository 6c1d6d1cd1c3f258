"""Teacher and student families. ONE FILE = ONE FAMILY; the file name is the name in YAML.

model = load("resnet").build(0, 20, "relu", (3, 32, 32), 10)
model = load("torchvision/resnet18").build(0, 0, "relu", (3, 32, 32), 10)
"""

from __future__ import annotations

import difflib
from types import ModuleType
from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.families import Family

if TYPE_CHECKING:
    from tsd.models._torchvision import Named

MODELS = Family("tsd.models", "model")
REGRESSION = ("spectral_mlp",)
"""Families with a single output."""
TORCHVISION = "torchvision/"


def classifiers() -> list[str]:
    """Families that have a `build` for classes; `torchvision/` with a name of torchvision's is one too."""
    return [name for name in MODELS.names() if name not in REGRESSION]


def check(name: str) -> None:
    """Say early that a classifier cannot be meant. Needs torch for a name of torchvision's alone.

    Raises:
        UserError: no classifier has this name.
    """
    if name in classifiers():
        return
    known = classifiers()
    if name.startswith(TORCHVISION):
        from tsd.models import _torchvision

        known = [TORCHVISION + each for each in _torchvision.names()]
        if name in known:
            return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    raise UserError(
        f"There is no classifier `{name}`; there are {', '.join(f'`{each}`' for each in classifiers())}, and those of "
        f"torchvision, such as `{TORCHVISION}resnet18`.{hint}"
    )


def load(name: str) -> ModuleType | Named:
    """The family called `name`, to `build` classifiers with.

    Raises:
        UserError: no classifier has this name.
    """
    check(name)
    if name.startswith(TORCHVISION):
        from tsd.models._torchvision import Named

        return Named(name.removeprefix(TORCHVISION))
    return MODELS.load(name)
