"""What a distillation method declares: its fields, its loss for one student and one teacher, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tsd.fields import Fields

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import View


@dataclass(frozen=True)
class Needs:
    """What the engine must provide. A method that reads logits only can be stepped with hand-written gradients."""

    labels: bool = True
    teacher: bool = True
    features: bool = False


@dataclass(frozen=True)
class Taxonomy:
    """Where a method stands among its kin; axes after Abbasi et al. 2020, arXiv:1912.13179."""

    teacher: str
    passes: str
    where: str
    data: str
    schedule: str


class Distillation(Fields):
    """Base of every method file's `Method`. `neutral` names values at which the method is plain training, `none`."""

    needs: ClassVar[Needs]
    taxonomy: ClassVar[Taxonomy]
    neutral: ClassVar[Mapping[str, float]] = {}

    def loss(self, student: View, teacher: View, label: Tensor) -> Mapping[str, Tensor]:
        """Named terms of the loss of one student on one batch; their sum is minimised. Each is a mean over the
        batch."""
        raise NotImplementedError
