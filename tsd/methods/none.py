"""Plain training: the student learns from the labels alone, the baseline of every method.

L = CE(z_s, y).   The baseline in Hinton, Vinyals, Dean 2015, arXiv:1503.02531, §3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsd.lazy import torch
from tsd.methods._base import Distillation, Needs, Taxonomy

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import View


class Method(Distillation):
    """Cross-entropy of the labels."""

    needs = Needs(teacher=False)
    taxonomy = Taxonomy(teacher="none", passes="nothing", where="nowhere", data="training set", schedule="offline")

    def loss(self, student: View, teacher: View, label: Tensor) -> dict[str, Tensor]:
        """The term `hard`."""
        return {"hard": torch.nn.functional.cross_entropy(student.output, label)}
