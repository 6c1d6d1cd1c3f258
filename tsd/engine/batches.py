"""Which samples a step sees: a fresh permutation every epoch, keyed by the trial's data stream.

Trials with the same data seed walk through their data in the same order, so they see equal batches: paired comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, inf

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
        own: the other ones, (trial · sample, …); what several trials hold as one object is there once.
        first_rows: where in `own` the samples of each trial begin, (trial, 1).
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
        places = {_key(each): each for each in train}
        kept = list(places.values())
        own = side_by_side([{name: tensor for name, tensor in each.items() if name not in same} for each in kept])
        self.own = {name: tensor.flatten(0, 1) for name, tensor in own.items()}
        self._streams = {each.seeds.get("data", 0): each for each in seeds}
        numbers = {seed: number for number, seed in enumerate(self._streams)}
        self._which = [numbers[each.seeds.get("data", 0)] for each in seeds]
        self.device = train[0]["x"].device
        held = {key: number for number, key in enumerate(places)}
        firsts = [self.samples * held[_key(each)] for each in train]
        self.first_rows = torch.tensor(firsts, device=self.device).unsqueeze(1)
        row_bytes = sum(tensor[0].nbytes for each in (self.shared, self.own) for tensor in each.values())
        self._ahead = max(1, AHEAD_BYTES // (row_bytes * self.size * self._trials))
        self._orders: dict[int, Tensor] = {}
        self._place = (-1, -1)
        self.whole = _together(whole)
        self._alters, self.altered = alters, bool(alters)

    @classmethod
    def of(cls, starts: Sequence[Start], seeds: Sequence[Streams], size: int, data: str = "") -> Batches:
        """The batches of these starts, of what they are trained on or of another one of their data sets."""
        alters = [start.alter for start in starts if start.alter is not None]
        train = [start.others[data] if data else start.train for start in starts]
        return cls(train, seeds, size, [start.whole for start in starts], alters)

    def at(self, step: int) -> dict[str, Tensor]:
        """The batch of update `step` (from 0): every entry of shape (trial, sample, …)."""
        return self._seen(step) | self.whole

    def _seen(self, step: int) -> dict[str, Tensor]:
        epoch, index = divmod(step, self.per_epoch)
        block, index = divmod(index, self._ahead)
        if (epoch, block) != self._place:
            self._place, self._block = (epoch, block), self._gather(epoch, block)
        low = index * self.size
        batch = {name: tensor[:, low : low + self.size] for name, tensor in self._block.items()}
        return self._altered(step, batch)

    def _altered(self, step: int, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if not self.altered:
            return batch
        each = [{name: tensor[i] for name, tensor in batch.items()} for i in range(self._trials)]
        return side_by_side([alter(step, own) for alter, own in zip(self._alters, each, strict=True)])

    def order(self, epoch: int) -> Tensor:
        """Sample numbers in the order of this epoch, on the device: (trial, sample), or (1, sample) where all agree."""
        if epoch not in self._orders:
            drawn = [e.generator("data", "order", step=epoch).permutation(self.samples) for e in self._streams.values()]
            every = np.stack([drawn[which] for which in self._which] if len(drawn) > 1 else drawn)
            self._orders = {epoch: sent(torch.from_numpy(every), self.device)}
        return self._orders[epoch]

    def alike(self, step: int, most: int) -> tuple[int, int]:
        """Samples in the batch of update `step`, and how many batches from it on have as many, up to `most`."""
        left = self.per_epoch - 1 - step % self.per_epoch
        if self.samples % self.size == 0:
            return self.size, most
        return (self.size, min(most, left)) if left else (self.samples % self.size, 1)

    def longest(self, size: int) -> float:
        """How many batches of so many samples follow one another at most."""
        if self.samples % self.size == 0:
            return inf
        return self.per_epoch - 1 if size == self.size else 1

    def memory(self, count: int, step: int) -> dict[str, Tensor]:
        """Room for `count` batches of the size of that of update `step`: (update, trial, sample, …), or (update, 1,
        sample, …) of what all trials see alike."""
        if self.altered:
            return {name: tensor.new_empty((count, *tensor.shape)) for name, tensor in self._seen(step).items()}
        (size, _), alike = self.alike(step, 1), self._trials if len(self._streams) > 1 else 1
        entries = [(name, tensor, self._trials) for name, tensor in self.own.items()]
        entries += [(name, tensor, alike) for name, tensor in self.shared.items()]
        return {name: tensor.new_empty((count, seen, size, *tensor.shape[1:])) for name, tensor, seen in entries}

    def fill(self, memory: Mapping[str, Tensor], step: int, count: int) -> None:
        """Puts the batches of `count` updates from `step` on, which are `alike`, into the first places of `memory`: one
        operation for every entry, where they are not altered."""
        if self.altered:
            for k in range(count):
                seen = self._seen(step + k)
                for name, places in memory.items():
                    places[k].copy_(seen[name])
            return
        rows = self.rows(step, count)
        own_rows = rows + self.first_rows if self.own else rows
        for name, places in memory.items():
            source, taken = (self.own[name], own_rows) if name in self.own else (self.shared[name], rows)
            torch.index_select(source, 0, taken.flatten(), out=places[:count].flatten(0, 2))

    def rows(self, step: int, count: int) -> Tensor:
        """Sample numbers of the batches of `count` updates from `step` on, which are `alike`: (update, trial, sample),
        or (update, 1, sample) where all trials agree."""
        found, end = [], step + count
        while step < end:
            epoch, index = divmod(step, self.per_epoch)
            here = min(end - step, self.per_epoch - index)
            low, high = index * self.size, min((index + here) * self.size, self.samples)
            found.append(self.order(epoch)[:, low:high].unflatten(1, (here, -1)).transpose(0, 1))
            step += here
        return torch.cat(found)

    def _gather(self, epoch: int, block: int) -> dict[str, Tensor]:
        """The next few batches in one piece: one gathering for many steps where samples are small."""
        span = self._ahead * self.size
        rows = self.order(epoch)[:, block * span : (block + 1) * span]
        own_rows = rows + self.first_rows if self.own else rows
        taken = {name: _take(tensor, rows) for name, tensor in self.shared.items()}
        taken |= {name: _take(tensor, own_rows) for name, tensor in self.own.items()}
        return {name: tensor.expand(self._trials, *tensor.shape[1:]) for name, tensor in taken.items()}


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Numbers of the processor on the device, without waiting for it."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def _key(train: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Equal for data that are the same objects."""
    return tuple(map(id, train.values()))


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
