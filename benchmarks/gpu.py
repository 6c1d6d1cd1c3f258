"""Packs on a GPU beside one network at a time on the same card: `python -m benchmarks gpu`. Needs no ray.

Strict float32, wall clock with the device waited for, batches gathered too. A pack is stepped operation by operation,
by recorded graphs as the engine does it, and, where its kernel can train such networks, by the fused one; each once
with a fresh order of the samples every epoch, as in a run, and once with the order of the first epoch throughout, for
orders are drawn on the processor. Where there is no CUDA device it says so and exits with 0.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks._clock import interleaved, ratios, significant, spread
from benchmarks._networks import LR, Steps, Workload, cross_entropy, looping, modules, small_cnn, start
from benchmarks._table import Table, arguments, report
from tsd.engine.batches import Batches
from tsd.engine.learn import Learn, Objective, learner
from tsd.engine.replay import Slots, capturing, lane
from tsd.engine.rng import Streams
from tsd.engine.stack import Stack
from tsd.studies._base import GradientStudy, MeanSquare, Phase, Start

STUDENT = Workload("student, H = 50, batch 256", (100, 50, 1), 256)
MLP = Workload("MLP 784-256-256-10, batch 128", (784, 256, 256, 10), 128, activation="relu", bias=True, samples=1_024)
PACKS = {STUDENT: (64, 512, 1024), MLP: (16, 64, 128)}
CNN_WIDTH, CNN_PACKS, IMAGES, IMAGE_BATCH = 8, (16, 64), 512, 64
STEPS, FOREVER = 100, 10**9
AIMS = (
    "Aims on one H100, model-steps/s: students 3 M by graphs, 10 M by the fused kernel, and 500 times one at a time; "
    "MLP 0.2 M and 50 times; CNN 10 times.",
)
Loss = Callable[..., Tensor]


def main(words: Sequence[str]) -> int:
    """Print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each variant is measured")
    asked = parser.parse_args(words)
    if not torch.cuda.is_available():
        print("gpu: no CUDA device here, nothing was measured")
        return 0
    rows = [row for workload, packs in PACKS.items() for row in dense("cuda", workload, packs, asked.rounds, STEPS)]
    rows += images("cuda", CNN_PACKS, asked.rounds, STEPS)
    columns = ("networks", "data", "pack", "stepped", "model-steps/s", "one at a time/s", "faster")
    report("gpu", [Table(torch.cuda.get_device_name(), columns, rows, AIMS)], asked.json)
    return 0


def dense(device: str, workload: Workload, packs: Sequence[int], rounds: int, steps: int) -> list[list[object]]:
    """Packs of chains of affine layers, with own and with shared batches."""
    rows = []
    for shared in (False, True):
        here = replace(workload, device=device, shared=shared)
        loss = MeanSquare("label") if workload.regression else cross_entropy
        ways = ("dense", "fused") if workload.regression and len(workload.widths) == 3 else ("dense",)
        for count in packs:
            stacks = _stacks(partial(_networks, here, count), loss, ways, workload.batch)
            rows += _rows(device, here, modules(here, 1, gathered=True), count, stacks, rounds=rounds, steps=steps)
    return rows


def images(device: str, packs: Sequence[int], rounds: int, steps: int) -> list[list[object]]:
    """Packs of small convolutional networks, mapped by vmap."""
    model = small_cnn(CNN_WIDTH)
    x = torch.randn(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(device)
    data = {"x": x, "label": x.flatten(1)[:, :10].argmax(1)}
    alone = looping([deepcopy(model.module).to(device)], [data], IMAGE_BATCH, nn.CrossEntropyLoss(), gathered=True)
    named, rows = Workload(f"CNN, width {CNN_WIDTH}, batch {IMAGE_BATCH}", (), IMAGE_BATCH), []

    def networks(count: int) -> tuple[list[Start], list[Streams]]:
        seeds = [Streams({"init": number, "data": number}) for number in range(count)]
        return [start(model, data, each, torch.float32, device) for each in seeds], seeds

    for count in packs:
        stacks = _stacks(partial(networks, count), cross_entropy, ("vmap",), IMAGE_BATCH)
        rows += _rows(device, named, alone, count, stacks, rounds=rounds, steps=steps)
    return rows


def _networks(workload: Workload, count: int) -> tuple[list[Start], list[Streams]]:
    seeds = [Streams({"init": i, "data": 0 if workload.shared else i}) for i in range(count)]
    data, model = workload.data(count), workload.model()
    place = torch.device(workload.device)
    return [start(model, train, each, torch.float32, place) for train, each in zip(data, seeds, strict=True)], seeds


def _stacks(
    networks: Callable[[], tuple[list[Start], list[Streams]]], loss: Loss, ways: Sequence[str], size: int
) -> dict[str, Steps]:
    """The same networks in every manner of stepping, with fresh orders and with that of the first epoch."""
    starts, seeds = networks()
    found = {}
    for way in ways:
        for graphs in (False, True) if way != "fused" else (False,):
            manner = "fused kernel" if way == "fused" else f"{way}, {'graphs' if graphs else 'one by one'}"
            for fresh in (True, False):
                batches = Batches.of(starts, seeds, size)
                found[manner if fresh else f"{manner}, one order"] = _steps(starts, batches, loss, way, graphs, fresh)
    return found


def _steps(  # noqa: PLR0917
    starts: Sequence[Start], batches: Batches, loss: Loss, way: str, graphs: bool, fresh: bool
) -> Steps:
    """The updates of one stack on a device, as `tsd.engine.fit` makes them."""
    trials = [GradientStudy.of({"optimizer": "sgd", "lr": LR})] * len(starts)
    slots = Slots((graphs and capturing(batches.device)) or (lambda work: work))
    stack, health = slots.seat(Stack.of(starts), torch.zeros(len(starts), device=batches.device))
    phase, span, first = Phase(1.0, loss), (0, FOREVER), batches.at(0)
    learn: Learn = learner(Objective([phase]), phase, span, stack=stack, trials=trials, batch=first, way=way)
    if graphs:
        learn = slots.learn(span, learn, batches)
    made = 0

    def steps(number: int) -> None:
        nonlocal made
        end = made + number
        with torch.no_grad(), lane(batches.device):
            while made < end:
                low = made if fresh else made % batches.per_epoch
                more = end - made if fresh else min(end - made, batches.per_epoch - low)
                learn.several(low, low + more, batches, health)
                made += more

    return steps


def _rows(
    device: str, workload: Workload, alone: Steps, count: int, stacks: Mapping[str, Steps], *, rounds: int, steps: int
) -> list[list[object]]:
    def waited(stack: Steps) -> None:
        stack(steps)
        if device == "cuda":
            torch.cuda.synchronize()

    variants = {"alone": partial(waited, alone)}
    variants |= {manner: partial(waited, stack) for manner, stack in stacks.items()}
    times = interleaved(variants, rounds, time.perf_counter)
    one = steps / median(times["alone"])
    return [
        [
            workload.name,
            "shared" if workload.shared else "own",
            count,
            manner,
            significant(count * steps / median(times[manner]), 3),
            significant(one, 3),
            spread(ratios(times, "alone", manner, count)),
        ]
        for manner in stacks
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
