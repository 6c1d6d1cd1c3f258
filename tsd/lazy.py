"""torch, imported on first use.

Reading a sweep file needs the fields of a study, never its arithmetic. Studies and methods take torch from here, so
that `plan`, `--help` and a wrong file answer before torch could even have been imported.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
else:

    class _Torch:
        """Stands for the module `torch` until an attribute is asked for."""

        def __getattr__(self, name: str) -> object:
            import torch

            value = getattr(torch, name)
            setattr(self, name, value)
            return value

    torch = _Torch()

__all__ = ["torch"]
