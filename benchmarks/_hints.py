"""A loss that looks inside: hints, with an adapter that is trained along, in the ways in which a stack can be stepped.

The student's last hidden layer goes through an affine map and is compared with targets as wide as a teacher's; its
output learns labels. Everybody makes whole updates of plain SGD, on batches at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap

from benchmarks._clock import interleaved, ratios, significant, spread
from benchmarks._networks import LR, Workload
from benchmarks._table import Table
from tsd.engine.learn import Objective, learner
from tsd.engine.rng import Streams
from tsd.engine.stack import Stack, side_by_side
from tsd.models._base import View
from tsd.models._module import from_module
from tsd.studies._base import GradientStudy, Phase, Start
from tsd.studies._distill_pupil import ChainPupil, PupilView

STACK, LONE = 16, 4
"""Networks of a stack, and how many the loop over modules goes through."""
HINT = 64
"""Width of what is compared."""
CASES = (
    Workload("H = 10", (100, 10, 1), 256, samples=256),
    Workload("H = 50", (100, 50, 1), 256, samples=256),
    Workload("MLP 784-64-64-10", (784, 64, 64, 10), 128, activation="relu", bias=True, samples=128),
)

Run = Callable[[], object]


def hints(rounds: int, work: float, *, compiled: bool = False) -> Table:
    """How many times faster than plain modules each way is, and, where asked for, `torch.compile` of a mapped loss."""
    rows = []
    for workload in CASES:
        variants = _variants(workload, max(1, round(10 * work)), compiled)
        times = interleaved({name: run for name, (run, _) in variants.items()}, rounds)
        for name, (_, steps) in variants.items():
            scale = steps / variants["plain modules"][1]
            microseconds = significant(1e6 * median(times[name]) / steps, 3)
            rows.append([workload.name, name, microseconds, spread(ratios(times, "plain modules", name, scale))])
    columns = ("networks", "variant", "µs a model-step", "faster than plain modules")
    return Table(f"Hints through an adapter to {HINT} features, stacks of {STACK}, own batches at hand", columns, rows)


def _variants(workload: Workload, repeats: int, compiled: bool) -> dict[str, tuple[Run, int]]:
    """What is run, and how many model-steps it makes."""
    starts = [_start(workload, i) for i in range(STACK)]
    batch = side_by_side([start.train for start in starts])
    found = {"plain modules": (_modules(workload, batch, repeats), LONE * repeats)}
    for way in ("loop", "vmap", "dense"):
        count = 1 if way == "loop" else STACK
        own = {name: tensor[:count] for name, tensor in batch.items()}
        found[f"engine, {way}"] = (_engine(starts[:count], own, way, repeats), count * repeats)
    if compiled:
        found["torch.compile of vmap"] = (_compiled(starts, batch, repeats), STACK * repeats)
    return found


def _start(workload: Workload, number: int) -> Start:
    width = workload.widths[-2]
    regressor = from_module(partial(nn.Linear, width, HINT))
    model = ChainPupil(workload.model(), {"regressor": regressor})
    params, buffers = model.init(partial(Streams({"init": number}).generator, "init"))
    source = torch.Generator().manual_seed(number)
    x = torch.randn(workload.batch, workload.widths[0], generator=source)
    label = x[:, 0].sin() if workload.regression else x[:, : workload.widths[-1]].argmax(1)
    train = {"x": x, "label": label, "hint": torch.randn(workload.batch, HINT, generator=source)}
    return Start(model, params, buffers, train, {})


def _loss(student: View, batch: Mapping[str, Tensor], trial: Any, *, workload: Workload) -> Tensor:
    assert isinstance(student, PupilView)
    inside = student.features[f"hidden{len(workload.widths) - 2}"]
    hint = (student.adapt("regressor", inside) - batch["hint"]).square().mean()
    return hint + _hard(student.output, batch["label"])


def _hard(output: Tensor, label: Tensor) -> Tensor:
    return (output - label).square().mean() if output.ndim == 1 else nn.functional.cross_entropy(output, label)


def _engine(starts: list[Start], batch: Mapping[str, Tensor], way: str, repeats: int) -> Run:
    phase = Phase(1.0, partial(_loss, workload=_of(starts[0])))
    trials = [GradientStudy.of({"optimizer": "sgd", "lr": LR})] * len(starts)
    learn = learner(Objective([phase]), phase, (0, 1), stack=Stack.of(starts), trials=trials, batch=batch, way=way)

    def run() -> None:
        with torch.no_grad():
            for step in range(repeats):
                learn(step, batch)

    return run


def _compiled(starts: list[Start], batch: Mapping[str, Tensor], repeats: int) -> Run:
    model, workload = starts[0].model, _of(starts[0])

    def one(params: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
        return _loss(model.forward(params, {}, batch["x"], train=True), batch, None, workload=workload)

    many, params = torch.compile(vmap(grad_and_value(one))), side_by_side([start.params for start in starts])

    def run() -> None:
        with torch.no_grad():
            for _ in range(repeats):
                grads, _ = many(params, batch)
                torch._foreach_add_(list(params.values()), [grads[name] for name in params], alpha=-LR)

    return run


def _modules(workload: Workload, batch: Mapping[str, Tensor], repeats: int) -> Run:
    networks = [workload.module() for _ in range(LONE)]
    regressors = [nn.Linear(workload.widths[-2], HINT) for _ in networks]
    cut = 2 * (len(workload.widths) - 2)

    def run() -> None:
        for number, (network, regressor) in enumerate(zip(networks, regressors, strict=True)):
            optimizer = torch.optim.SGD([*network.parameters(), *regressor.parameters()], lr=LR)
            for _ in range(repeats):
                inside = network[:cut](batch["x"][number])  # type: ignore[index]
                output = network[cut:](inside)  # type: ignore[index]
                optimizer.zero_grad()
                hint = nn.functional.mse_loss(regressor(inside), batch["hint"][number])
                (hint + _hard(output, batch["label"][number])).backward()
                optimizer.step()

    return run


def _of(start: Start) -> Workload:
    return next(each for each in CASES if each.model() == start.model.student)  # type: ignore[attr-defined]
