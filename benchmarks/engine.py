"""The packed engine beside a loop over plain modules in the same process: `python -m benchmarks engine`.

One thread, CPU time, every variant once a round. The share of peak is that of a 1024³ float32 product of the same
rounds; the operations counted are those of the products alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from math import ceil
from statistics import median

import torch
from torch import nn

from benchmarks._clock import interleaved, ratios, significant, spread
from benchmarks._hints import hints
from benchmarks._networks import Steps, Workload, cross_entropy, looping, modules, packed, small_cnn, start, stepping
from benchmarks._table import Table, arguments, report
from tsd.engine.arithmetic import no_denormals, one_thread
from tsd.engine.batches import Batches
from tsd.engine.fit import even_parts
from tsd.engine.rng import Streams
from tsd.engine.sizes import stack_size

PEAK = 1024
SMALL, LARGE = Workload("H = 10", (100, 10, 1), 256), Workload("H = 50", (100, 50, 1), 256)
MLP = Workload("MLP 784-256-256-10", (784, 256, 256, 10), 128, activation="relu", bias=True, samples=1_024, networks=16)
WIDTHS, EACH = 50, (4, 16, 64)
IMAGES, IMAGE_BATCH = 512, 64
Run = Callable[[], object]


def main(words: Sequence[str]) -> int:
    """Print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each variant is measured")
    parser.add_argument("--work", type=float, default=1.0, help="length of a measurement; 1 is some 0.1 s")
    parser.add_argument("--compile", action="store_true", help="beside hints torch.compile, which needs a compiler")
    asked = parser.parse_args(words)
    with one_thread(), no_denormals():
        tables = [
            dense(asked.rounds, asked.work),
            hints(asked.rounds, asked.work, compiled=asked.compile),
            images(asked.rounds, asked.work),
            mixed_widths(asked.rounds, asked.work),
            precision(asked.rounds, asked.work),
        ]
    report("engine", tables, asked.json)
    return 0


def dense(rounds: int, work: float) -> Table:
    """Chains of affine layers: time of a model-step, and how many times faster than the loop."""
    rows = []
    for workload in (SMALL, LARGE, MLP):
        for shared in (False, True):
            each = replace(workload, shared=shared)
            rows += [_dense_row(each, rounds, work, gathered) for gathered in (False, True)]
    columns = ("networks", "data", "batches", "loop µs", "packed µs", "faster", "% of peak")
    return Table(f"Model-steps, {SMALL.networks} networks ({MLP.networks} MLPs), plain SGD", columns, rows)


def _dense_row(workload: Workload, rounds: int, work: float, gathered: bool) -> list[str]:
    steps = max(1, round(work * (20 if workload.bias else 25)))
    times = interleaved(
        {
            "loop": _run(modules(workload, workload.networks, gathered=gathered), steps),
            "packed": _runs(_stacks(workload, gathered), steps),
            "peak": _peak(),
        },
        rounds,
    )
    reached = [
        100 * workload.flop * steps * workload.networks / t / (2 * PEAK**3 / p)
        for t, p in zip(times["packed"], times["peak"], strict=True)
    ]
    return [
        workload.name,
        "shared" if workload.shared else "own",
        "gathered too" if gathered else "at hand",
        *(significant(1e6 * median(times[name]) / steps / workload.networks, 3) for name in ("loop", "packed")),
        spread(ratios(times, "loop", "packed")),
        spread(reached),
    ]


def _stacks(workload: Workload, gathered: bool) -> list[Steps]:
    """All networks, in the stacks in which the engine trains them: one after another, each for all its steps."""
    one = start(workload.model(), {}, Streams({}), torch.float32)
    parts = even_parts(workload.networks, stack_size("dense", one, workload.batch, torch.device("cpu")))
    return [packed(workload, len(part), gathered=gathered) for part in parts]


def images(rounds: int, work: float) -> Table:
    """Small convolutional networks: the ways of the engine, and plain modules in both memory formats."""
    rows = []
    for width in (4, 16):
        steps = max(1, round(16 * work / width))
        times = interleaved(_image_variants(width, steps), rounds)
        for name in times:
            milliseconds = significant(1e3 * median(times[name]) / steps, 3)
            rows.append([width, name, milliseconds, spread(ratios(times, "plain modules", name))])
    columns = ("width", "variant", "ms a model-step", "faster than plain modules")
    return Table(f"CNN on 28×28 images, batch {IMAGE_BATCH}, batches gathered too", columns, rows)


def _image_variants(width: int, steps: int) -> dict[str, Run]:
    model = small_cnn(width)
    x = torch.randn(IMAGES, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    data = {"x": x, "label": x.flatten(1)[:, :10].argmax(1)}
    nhwc = {"x": x.to(memory_format=torch.channels_last), "label": data["label"]}
    plain, last = deepcopy(model.module), deepcopy(model.module)
    last.to(memory_format=torch.channels_last)
    loss = nn.CrossEntropyLoss()
    variants = {
        "plain modules": _run(looping([plain], [data], IMAGE_BATCH, loss, gathered=True), steps),
        "plain modules, channels last": _run(looping([last], [nhwc], IMAGE_BATCH, loss, gathered=True), steps),
    }
    for way, count in (("loop", 1), ("vmap", 4)):
        seeds = [Streams({"init": i}) for i in range(count)]
        starts = [start(model, data, seed, torch.float32) for seed in seeds]
        batches = Batches.of(starts, seeds, IMAGE_BATCH)
        stack = stepping(starts, batches, cross_entropy, way, gathered=True)
        variants[f"engine, {way}"] = _run(stack, max(1, steps // count))
    return variants


def mixed_widths(rounds: int, work: float) -> Table:
    """Widths 1 … 50 side by side: a stack for every width, and all padded to the widest."""
    rows = []
    for each in EACH:
        exact = [packed(Workload("", (100, width, 1), 256), each, gathered=False) for width in range(1, WIDTHS + 1)]
        padded = [packed(LARGE, LARGE.networks, gathered=False) for _ in range(ceil(WIDTHS * each / LARGE.networks))]
        steps = max(1, round(work * max(8, 400 / each)))
        times = interleaved({"exact": _runs(exact, steps), "padded": _runs(padded, steps)}, rounds)
        share = ratios(times, "exact", "padded", len(padded) * LARGE.networks / (WIDTHS * each))
        rows.append([each, spread(share)])
    columns = ("networks of each width", "of pad-to-max time")
    return Table(f"Widths 1 … {WIDTHS}, a stack for every width, own batches at hand", columns, rows)


def precision(rounds: int, work: float) -> Table:
    """What float64 costs, both the dense way."""
    rows = []
    for workload in (SMALL, LARGE):
        steps = max(1, round(15 * work))
        kinds = {dtype: replace(workload, dtype=dtype) for dtype in ("float32", "float64")}
        variants = {
            dtype: _runs([packed(each, each.networks, gathered=False, way="dense")], steps)
            for dtype, each in kinds.items()
        }
        rows.append([workload.name, spread(ratios(interleaved(variants, rounds), "float64", "float32"))])
    return Table("float64, own batches at hand", ("networks", "of float32 time"), rows)


def _run(stack: Steps, steps: int) -> Run:
    return lambda: stack(steps)


def _runs(stacks: Sequence[Steps], steps: int) -> Run:
    return lambda: [stack(steps) for stack in stacks]


def _peak() -> Run:
    a = torch.randn(PEAK, PEAK)
    return lambda: a @ a


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
