"""A CUDA graph for machines that have none: the operations of some work on tensors of the processor, one after another.

As on a GPU, recording leaves all numbers as they were, Python is not asked again, what was there before is read and
written where it was, and what a capture forbids is refused: asking for a number, comparing, sending new ones over.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
FORBIDDEN = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.lift_fresh.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
}


class Taping(TorchDispatchMode):
    """While it is entered, every operation is noted, and what it overwrites is kept."""

    def __init__(self):
        super().__init__()
        self.calls, self.before = [], {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in FORBIDDEN:
            raise RuntimeError(f"{function}: operation not permitted when stream is capturing")
        if function._schema.is_mutable:
            for tensor in (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)):
                storage = tensor.untyped_storage()
                self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        found = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, found))
        return found

    def again(self):
        """Does what was noted on what there is now."""
        held = {}

        def now(leaf):
            return held.get(id(leaf), leaf)

        for function, args, kwargs, found in self.calls:
            again = function(*tree_map(now, args), **tree_map(now, kwargs))
            held |= {id(old): new for old, new in zip(tree_leaves(found), tree_leaves(again), strict=True)}


class Tape:
    """Records work; `recorded` counts how often, `replayed` how often any of it was done."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, work):
        self.recorded += 1
        taping = Taping()
        try:
            with taping:
                work()
        finally:
            for storage, numbers in taping.before.values():
                storage.copy_(numbers)

        def replay():
            self.replayed += 1
            taping.again()

        return replay
