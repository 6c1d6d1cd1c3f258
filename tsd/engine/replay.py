"""Updates on a GPU without a word from Python: recorded once as a graph of kernels, and replayed from then on.

A graph reads and writes the addresses that it was recorded with. So the networks of a pack take their places in tensors
that stay where they are, the slots of one stack, and when they are done the next ones take the same places: their
weights, step sizes, coefficients and whole entries are copied in, and no graph is recorded anew. Batches are gathered
some ahead into memory of that kind, and so are the numbers that differ from one update to the next.

The first updates on batches of a size are made one by one, for what must not happen while a graph is recorded: losses
are traced, products compared, libraries loaded. The same work on the same tensors is then recorded; both have the same
bits. Recording 1, 2, 4 … updates makes a few graphs serve runs of every length.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from tsd.engine.batches import Batches, sent
from tsd.engine.learn import Learn
from tsd.engine.stack import Stack

MOST, AHEAD_BYTES = 32, 512_000_000
"""Updates of a graph at most, and bytes of the batches that are gathered for them."""

WARM = 3
"""Updates that are made one by one before a graph is recorded."""

Work = Callable[[], None]
Capture = Callable[[Work], Work]
"""Work on tensors that stay where they are → what does it, as often as it is called. Recording does not do it."""


def capturing(device: torch.device) -> Capture | None:
    """How work on this device is recorded. On a processor nothing is gained: None. A device that is no CUDA one does
    the work itself again."""
    if device.type == "cpu":
        return None
    return Graphs() if device.type == "cuda" else lambda work: work


@dataclass(frozen=True)
class Graphs:
    """Records CUDA graphs. All share one pool of memory: nothing in it outlives the replay that wrote it, and there is
    one replay at a time."""

    pool: Any = field(default_factory=torch.cuda.graph_pool_handle)

    def __call__(self, work: Work) -> Work:
        graph = torch.cuda.CUDAGraph()
        here = torch.cuda.current_stream()
        collects = gc.isenabled()
        gc.disable()  # what dies now may belong to a graph of before, and would be given back in the midst of this one
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=here, capture_error_mode="thread_local"):
                work()
        finally:
            if collects:
                gc.enable()
        return graph.replay


@contextmanager
def lane(device: torch.device) -> Iterator[None]:
    """All work of a pack on a CUDA device goes through one stream, which is not the default one, as recording asks.
    Convolutions are deterministic ones in full precision."""
    if device.type != "cuda":
        yield
        return
    side, outside = _side(), torch.cuda.current_stream()
    side.wait_stream(outside)
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    try:
        with torch.cuda.stream(side), exact:
            yield
    finally:
        outside.wait_stream(side)


@cache
def _side() -> torch.cuda.Stream:
    """One for the whole process: cuBLAS keeps a workspace for every stream it has seen."""
    return torch.cuda.Stream()


class Slots:
    """The places in which the stacks of a pack are trained, one stack after another.

    Args:
        capture: how updates are recorded.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._seats: tuple[Stack, Tensor] | None = None
        self._phases: dict[tuple[int, int], _Phase] = {}

    def seat(self, stack: Stack, health: Tensor) -> tuple[Stack, Tensor]:
        """The places, taken by the networks of `stack` and by its `health`. Who sat there is gone."""
        if self._seats is None:
            self._seats = stack, health
        else:
            held, spent = self._seats
            _put(held.params, stack.params)
            _put(held.buffers, stack.buffers)
            spent.copy_(health)
        return self._seats

    def learn(self, span: tuple[int, int], learn: Learn, batches: Batches) -> Learn:
        """What makes the updates of the phase `span` as `learn` does, replayed. One that makes many updates at once by
        itself stays as it is."""
        if learn.at_once or self._seats is None:
            return learn
        phase = self._phases.get(span)
        if phase and phase.layout == _layout(batches):
            phase.refill(learn, batches)
        else:
            phase = self._phases[span] = _Phase(
                learn, *self._seats, batches, self._capture, len(learn.numbers(span[0]))
            )
        return replace(phase.learn, at_once=phase.several)


class _Phase:
    """The recorded updates of one phase, and all tensors that they read or write."""

    def __init__(  # noqa: PLR0917
        self, learn: Learn, stack: Stack, health: Tensor, batches: Batches, capture: Capture, numbers: int
    ) -> None:
        self.learn, self._stack, self._health, self._capture = learn, stack, health, capture
        self.layout = _layout(batches)
        self._whole = {name: _settled(tensor) for name, tensor in batches.whole.items()}
        first = next(iter(stack.params.values()))
        self._numbers = first.new_zeros(MOST, numbers)
        self._blocks: dict[int, _Block] = {}

    def refill(self, learn: Learn, batches: Batches) -> None:
        """Takes on what differs between the trials of `learn` and those before, and begins with a fresh optimizer."""
        for held, new in zip((*self.learn.values, *self.learn.memory), (*learn.values, *learn.memory), strict=True):
            held.copy_(new)
        for name, tensor in self._whole.items():
            _unrepeated(tensor).copy_(_unrepeated(batches.whole[name]))

    def several(self, low: int, high: int, batches: Batches, health: Tensor) -> None:
        """As `Learn.several`; `health` is that of the places."""
        step = low
        while step < high:
            size, count = batches.alike(step, high - step)
            block = self._blocks.get(size)
            if block is None:
                block = self._blocks[size] = _Block.of(batches, step, self._whole)
            count = 1 if block.warmed < WARM else 1 << (min(count, len(block.batches)).bit_length() - 1)
            self._fill(block, batches, step, count)
            self._make(block, count)
            step += count

    def _fill(self, block: _Block, batches: Batches, step: int, count: int) -> None:
        batches.fill(block.memory, step, count)
        if self._numbers.shape[1]:
            rows = torch.tensor([self.learn.numbers(k) for k in range(step, step + count)], dtype=self._numbers.dtype)
            self._numbers[:count].copy_(sent(rows, self._numbers.device))

    def _make(self, block: _Block, count: int) -> None:
        """Makes the updates on the first `count` batches of the block."""
        if block.warmed < WARM:
            block.warmed += count
            self._work(block, count)
            return
        if count not in block.replays:
            block.replays[count] = self._recorded(lambda: self._work(block, count))
        block.replays[count]()

    def _recorded(self, work: Work) -> Work:
        """The work recorded; one that no graph can hold is done operation by operation, to the same bits."""
        buffers = self._stack.buffers
        try:
            return self._capture(work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            logging.getLogger(__name__).warning("These updates are made one by one, for no graph holds them: %s", error)
            self._capture = lambda again: again
            return work
        finally:
            self._stack.buffers = buffers

    def _work(self, block: _Block, count: int) -> None:
        buffers = self._stack.buffers
        for k in range(count):
            losses = self.learn.move(block.batches[k], self._numbers[k].unbind())
            _put(buffers, self._stack.buffers)
            self._stack.buffers = buffers
            self._health.add_(losses, alpha=0)  # as in `Learn.several`


@dataclass
class _Block:
    """Batches of one size in memory that stays where it is.

    Args:
        memory: as of `Batches.memory`.
        batches: the same, one after another, with the entries that go with every batch.
        warmed: updates made before a graph was recorded.
        replays: what makes so many updates, on the first so many batches.
    """

    memory: dict[str, Tensor]
    batches: list[dict[str, Tensor]]
    warmed: int = 0
    replays: dict[int, Work] = field(default_factory=dict)

    @classmethod
    def of(cls, batches: Batches, step: int, whole: dict[str, Tensor]) -> _Block:
        """Room for as many batches like that of update `step` as a graph has updates, or fewer where they are large."""
        one = sum(tensor.nbytes for tensor in batches.memory(1, step).values())
        room = min(MOST, AHEAD_BYTES // one, batches.longest(batches.alike(step, 1)[0]))
        memory = batches.memory(max(1, int(room)), step)
        each = [dict(zip(memory, views, strict=True)) for views in zip(*memory.values(), strict=True)]
        trials = len(batches.first_rows)
        return cls(
            memory,
            [{n: view.expand(trials, *view.shape[1:]) for n, view in batch.items()} | whole for batch in each],
        )


def _layout(batches: Batches) -> object:
    """Equal for batches that one piece of memory can hold."""
    own = {name: (tensor.shape, tensor.dtype) for name, tensor in batches.memory(1, 0).items()}
    whole = {name: (tensor.shape, tensor.stride(), tensor.dtype) for name, tensor in batches.whole.items()}
    return own, whole, batches.samples


def _put(held: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> None:
    """Copies what is new into the tensors that are held."""
    for name, tensor in held.items():
        if new[name] is not tensor:
            tensor.copy_(new[name])


def _unrepeated(tensor: Tensor) -> Tensor:
    """What all trials share, once; or what each has."""
    return tensor[:1] if tensor.stride(0) == 0 else tensor


def _settled(tensor: Tensor) -> Tensor:
    """A copy that nobody else holds; what all trials share stays shared."""
    return _unrepeated(tensor).clone().expand(tensor.shape)
