"""What an inspection looks at: images of good pieces to learn from, and a test set with masks of defects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

GOOD = "good"


@dataclass(frozen=True, eq=False)
class Inspection:
    """Images of one class of objects.

    Args:
        train: good pieces, float32 between 0 and 1, shape (sample, channel, height, width); 1 or 3 channels.
        test: the same of good and of defective pieces.
        mask: bool, shape (test sample, height, width): the pixels of a defect; none on a good piece.
        kinds: what each test image shows: `good`, or the name of its defect.
        fingerprint: changes with the training images where they are read; a set that is drawn has its own name.
    """

    train: Tensor
    test: Tensor
    mask: Tensor
    kinds: tuple[str, ...]
    fingerprint: str

    @property
    def defective(self) -> list[bool]:
        """Whether each test image shows a defect."""
        return [kind != GOOD for kind in self.kinds]
