"""Which samples a step sees: a fresh permutation every epoch, keyed by the trial's data stream.

Trials with the same data seed walk through their data in the same order, so they see equal batches: paired comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor

from tsd.engine.rng import Streams
from tsd.engine.stack import side_by_side
from tsd.studies._base import Alter, Start

AHEAD_BYTES = 4_000_000
"""What is gathered at once: it has to leave room for the step in the cache."""


class Batches:
    """The batches of a stack of trials.

    Args:
        train: the training data of each trial, by name, sample axis first; all of one length. What is equal in all of
            them is kept once.
        seeds: the random streams of each trial.
        size: samples a batch; a longer one than the data is all of it. The last batch of an epoch may be shorter.
        whole: entries of each trial that go with every batch as they are.
        alters: for each trial, what makes the batch that is learned of the one that was taken.
    Attributes:
        size: samples a batch.
        samples: in each trial's data.
        per_epoch: updates that take the data once through.
        shared: entries that all trials have alike, (sample, …).
        own: the other ones, (trial · sample, …).
        altered: whether the batch that is learned is another one than that taken.
    """

    def __init__(
        self,
        train: Sequence[Mapping[str, Tensor]],
        seeds: Sequence[Streams],
        size: int,
        whole: Sequence[Mapping[str, Tensor]] = (),
        alters: Sequence[Alter] = (),
    ) -> None:
        self._trials = len(train)
        self.samples = len(train[0]["x"])
        self.size = min(size, self.samples)
        self.per_epoch = ceil(self.samples / self.size)
        same = {name for name, tensor in train[0].items() if all(_equal(tensor, each[name]) for each in train[1:])}
        self.shared = {name: train[0][name] for name in same}
        own = side_by_side([{name: tensor for name, tensor in each.items() if name not in same} for each in train])
        self.own = {name: tensor.flatten(0, 1) for name, tensor in own.items()}
        one_order = len({each.seeds.get("data", 0) for each in seeds}) == 1
        self._seeds = list(seeds[:1] if one_order else seeds)
        self.device = train[0]["x"].device
        self._first_rows = torch.arange(self._trials, device=self.device).unsqueeze(1) * self.samples
        row_bytes = sum(tensor[0].nbytes for each in (self.shared, self.own) for tensor in each.values())
        self._ahead = max(1, AHEAD_BYTES // (row_bytes * self.size * self._trials))
        self._place = (-1, -1)
        self._whole = _together(whole)
        self._alters, self.altered = alters, bool(alters)

    @classmethod
    def of(cls, starts: Sequence[Start], seeds: Sequence[Streams], size: int, data: str = "") -> Batches:
        """The batches of these starts, of what they are trained on or of another one of their data sets."""
        alters = [start.alter for start in starts if start.alter is not None]
        train = [start.others[data] if data else start.train for start in starts]
        return cls(train, seeds, size, [start.whole for start in starts], alters)

    def at(self, step: int) -> dict[str, Tensor]:
        """The batch of update `step` (from 0): every entry of shape (trial, sample, …)."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._place[0]:
            self._order = self.order(epoch)
        block, index = divmod(index, self._ahead)
        if (epoch, block) != self._place:
            self._place, self._block = (epoch, block), self._gather(block)
        low = index * self.size
        batch = {name: tensor[:, low : low + self.size] for name, tensor in self._block.items()}
        return self._altered(step, batch) | self._whole

    def _altered(self, step: int, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.altered:
            return batch
        each = [{name: tensor[i] for name, tensor in batch.items()} for i in range(self._trials)]
        return side_by_side([alter(step, own) for alter, own in zip(self._alters, each, strict=True)])

    def order(self, epoch: int) -> Tensor:
        """Sample numbers in the order of this epoch, on the device: (trial, sample), or (1, sample) where all agree."""
        orders = [each.generator("data", "order", step=epoch).permutation(self.samples) for each in self._seeds]
        return torch.from_numpy(np.stack(orders)).to(self.device)

    def _gather(self, block: int) -> dict[str, Tensor]:
        """The next few batches in one piece: one gathering for many steps where samples are small."""
        span = self._ahead * self.size
        rows = self._order[:, block * span : (block + 1) * span]
        own_rows = rows + self._first_rows if self.own else rows
        taken = {name: _take(tensor, rows) for name, tensor in self.shared.items()}
        taken |= {name: _take(tensor, own_rows) for name, tensor in self.own.items()}
        return {name: tensor.expand(self._trials, *tensor.shape[1:]) for name, tensor in taken.items()}


def _together(whole: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Entries of all trials as (trial, …); one that all hold as the same object is not copied."""
    if not whole or not whole[0]:
        return {}
    same = {name for name, tensor in whole[0].items() if all(tensor is each[name] for each in whole)}
    own = side_by_side([{name: tensor for name, tensor in each.items() if name not in same} for each in whole])
    return own | {name: whole[0][name].expand(len(whole), *whole[0][name].shape) for name in same}


def _equal(one: Tensor, other: Tensor) -> bool:
    return one is other or torch.equal(one, other)


def _take(source: Tensor, rows: Tensor) -> Tensor:
    return source.index_select(0, rows.flatten()).unflatten(0, rows.shape)
