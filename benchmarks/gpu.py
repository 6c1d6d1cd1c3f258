"""Packs on a GPU beside one network at a time on the same card: `python -m benchmarks gpu`. Needs no ray.

Strict float32, wall clock with the device waited for, batches gathered too. Where there is no CUDA device it says so
and exits with 0.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from statistics import median

import torch
from torch import nn

from benchmarks._clock import interleaved, ratios, significant, spread
from benchmarks._networks import Steps, Workload, cross_entropy, looping, modules, packed, small_cnn, start, stepping
from benchmarks._table import Table, arguments, report
from tsd.engine.batches import Batches
from tsd.engine.rng import Streams

STUDENT = Workload("student, H = 50, batch 256", (100, 50, 1), 256)
MLP = Workload("MLP 784-256-256-10, batch 128", (784, 256, 256, 10), 128, activation="relu", bias=True, samples=1_024)
PACKS = {STUDENT: (64, 512, 1024), MLP: (16, 64, 128)}
CNN_WIDTH, CNN_PACKS, IMAGES, IMAGE_BATCH = 8, (16, 64), 512, 64
STEPS = 50


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
    columns = ("networks", "data", "pack", "model-steps/s", "one at a time/s", "faster")
    report("gpu", [Table(torch.cuda.get_device_name(), columns, rows)], asked.json)
    return 0


def dense(device: str, workload: Workload, packs: Sequence[int], rounds: int, steps: int) -> list[list[object]]:
    """Packs of chains of affine layers, with own and with shared batches."""
    rows = []
    for shared in (False, True):
        here = replace(workload, device=device, shared=shared)
        alone = modules(here, 1, gathered=True)
        stacks = {count: packed(here, count, gathered=True) for count in packs}
        rows += _rows(device, here, alone, stacks, rounds=rounds, steps=steps)
    return rows


def images(device: str, packs: Sequence[int], rounds: int, steps: int) -> list[list[object]]:
    """Packs of small convolutional networks, mapped by vmap."""
    model = small_cnn(CNN_WIDTH)
    x = torch.randn(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(device)
    data = {"x": x, "label": x.flatten(1)[:, :10].argmax(1)}
    alone = looping([deepcopy(model.module).to(device)], [data], IMAGE_BATCH, nn.CrossEntropyLoss(), gathered=True)
    stacks = {}
    for count in packs:
        seeds = [Streams({"init": number, "data": number}) for number in range(count)]
        starts = [start(model, data, each, torch.float32, device) for each in seeds]
        batches = Batches.of(starts, seeds, IMAGE_BATCH)
        stacks[count] = stepping(starts, batches, cross_entropy, "vmap", gathered=True)
    named = Workload(f"CNN, width {CNN_WIDTH}, batch {IMAGE_BATCH}", (), IMAGE_BATCH)
    return _rows(device, named, alone, stacks, rounds=rounds, steps=steps)


def _rows(
    device: str, workload: Workload, alone: Steps, stacks: dict[int, Steps], *, rounds: int, steps: int
) -> list[list[object]]:
    def waited(stack: Steps) -> None:
        stack(steps)
        if device == "cuda":
            torch.cuda.synchronize()

    variants = {"alone": partial(waited, alone)}
    variants |= {str(count): partial(waited, stack) for count, stack in stacks.items()}
    times = interleaved(variants, rounds, time.perf_counter)
    one = steps / median(times["alone"])
    return [
        [
            workload.name,
            "shared" if workload.shared else "own",
            count,
            significant(count * steps / median(times[str(count)]), 3),
            significant(one, 3),
            spread(ratios(times, "alone", str(count), count)),
        ]
        for count in stacks
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
