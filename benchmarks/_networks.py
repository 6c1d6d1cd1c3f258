"""The networks that are compared, each as a stack of this project and as plain modules with an optimizer each.

Both do the same updates of plain SGD on the same batches: the mean squared error of one output, or cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise

import torch
from torch import Tensor, nn

from tsd.engine.batches import Batches
from tsd.engine.learn import Learn, Objective, learner, ways
from tsd.engine.rng import Streams
from tsd.engine.stack import Stack
from tsd.models import cnn
from tsd.models._base import Model, View
from tsd.models._module import ModuleModel
from tsd.models.mlp import MLP
from tsd.studies._base import GradientStudy, MeanSquare, Phase, Start

LR = 1e-3
AHEAD = 8
"""Batches that are gathered before the clock runs."""

Steps = Callable[[int], None]
"""Makes so many updates of every network."""


@dataclass(frozen=True)
class Workload:
    """Networks of one shape and their data.

    Args:
        widths: nodes of every layer; a last one of 1 is a regression.
        shared: whether all networks see the same batches.
        samples: in each network's training set.
        networks: how many there are.
    """

    name: str
    widths: tuple[int, ...]
    batch: int
    shared: bool = False
    activation: str = "tanh"
    bias: bool = False
    samples: int = 2_560
    networks: int = 64
    dtype: str = "float32"
    device: str = "cpu"

    @property
    def flop(self) -> int:
        """Floating-point operations of one update of one network: three products a layer, two in the first."""
        sizes = [a * b for a, b in pairwise(self.widths)]
        return 2 * self.batch * (3 * sum(sizes) - sizes[0])

    @property
    def regression(self) -> bool:
        """Whether the loss is the squared error."""
        return self.widths[-1] == 1

    def model(self) -> MLP:
        """As this project writes it."""
        return MLP(self.widths, self.activation, self.bias)

    def module(self) -> nn.Module:
        """As a user of torch writes it."""
        between = {"tanh": nn.Tanh, "relu": nn.ReLU}[self.activation]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(self.widths):
            layers += [nn.Linear(fan_in, fan_out, bias=self.bias), between()]
        last = [nn.Flatten(0)] if self.regression else []
        return nn.Sequential(*layers[:-1], *last).to(self.device, getattr(torch, self.dtype))

    def data(self, count: int) -> list[dict[str, Tensor]]:
        """Inputs and labels of so many networks."""
        source, dtype = torch.Generator().manual_seed(0), getattr(torch, self.dtype)

        def drawn() -> dict[str, Tensor]:
            x = torch.randn(self.samples, self.widths[0], generator=source, dtype=dtype)
            label = x[:, 0].sin() if self.regression else x[:, : self.widths[-1]].argmax(1)
            return {"x": x.to(self.device), "label": label.to(self.device)}

        return [drawn()] * count if self.shared else [drawn() for _ in range(count)]


squared_error = MeanSquare("label")
"""Of a regression."""


def cross_entropy(student: View, batch: dict[str, Tensor], trial: GradientStudy) -> Tensor:
    """Of a classifier."""
    return nn.functional.cross_entropy(student.output, batch["label"])


def packed(workload: Workload, number: int, *, gathered: bool, way: str = "auto") -> Steps:
    """A stack of `number` networks of this project, stepped the way that `auto` takes, or the dense one."""
    seeds = [Streams({"init": i, "data": 0 if workload.shared else i}) for i in range(number)]
    data, model = workload.data(number), workload.model()
    dtype, device = getattr(torch, workload.dtype), torch.device(workload.device)
    starts = [start(model, train, seed, dtype, device) for train, seed in zip(data, seeds, strict=True)]
    batches = Batches.of(starts, seeds, workload.batch)
    loss = squared_error if workload.regression else cross_entropy
    return stepping(starts, batches, loss, "dense", workload.dtype, gathered=gathered, asked=way)


def start(
    model: Model, train: dict[str, Tensor], seed: Streams, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> Start:
    """An untrained network of this project."""
    params, buffers = model.init(partial(seed.generator, "init"))
    moved = {name: tensor.to(device, dtype) for name, tensor in params.items()}
    return Start(model, moved, {name: tensor.to(device) for name, tensor in buffers.items()}, train, {})


def stepping(
    starts: Sequence[Start],
    batches: Batches,
    loss: Callable[..., Tensor],
    way: str,
    dtype: str = "float32",
    *,
    gathered: bool,
    asked: str = "auto",
) -> Steps:
    """The updates of one stack, as `tsd.engine.fit` makes them. A kernel gathers its batches itself: those at hand lie
    one behind another."""
    trials = [GradientStudy.of({"optimizer": "sgd", "lr": LR, "dtype": dtype, "way": asked})] * len(starts)
    stack, phase = Stack.of(starts), Phase(1.0, loss)
    few = [{k: v.clone() if v.stride(0) else v for k, v in batches.at(i).items()} for i in range(AHEAD)]
    objective = Objective([phase])
    way = ways(objective, starts[0], trials, way, batches.device)[0]
    learn: Learn = learner(objective, phase, (0, 1), stack=stack, trials=trials, batch=few[0], way=way)
    health, place = torch.zeros(len(starts), device=batches.device), count()
    if not gathered:
        in_order = torch.arange(batches.samples, device=batches.device).unsqueeze(0)
        batches.order = lambda epoch: in_order  # type: ignore[method-assign]

    def at_once(number: int) -> None:
        low = next(place) * number
        with torch.no_grad():
            learn.several(low, low + number, batches, health)

    def steps(number: int) -> None:
        with torch.no_grad():
            for step in range(number):
                learn(step, few[step % AHEAD] if not gathered else batches.at(step))

    return at_once if way == "fused" else steps


def modules(workload: Workload, count: int, *, gathered: bool) -> Steps:
    """As many modules, one after another, each with `torch.optim.SGD`."""
    networks = [workload.module() for _ in range(count)]
    loss = nn.MSELoss() if workload.regression else nn.CrossEntropyLoss()
    return looping(networks, workload.data(count), workload.batch, loss, gathered=gathered)


def looping(
    networks: Sequence[nn.Module],
    data: Sequence[dict[str, Tensor]],
    size: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    gathered: bool,
) -> Steps:
    """The usual training loop, shuffled every epoch, for one network after another."""
    optimizers = [torch.optim.SGD(network.parameters(), lr=LR) for network in networks]
    samples, device = len(data[0]["x"]), data[0]["x"].device
    orders, per_epoch = [torch.arange(samples, device=device)] * len(data), samples // size

    def batch(i: int, step: int) -> tuple[Tensor, Tensor]:
        if step % per_epoch == 0:
            orders[i] = torch.randperm(samples, device=device)
        rows = orders[i][step % per_epoch * size :][:size]
        return data[i]["x"].index_select(0, rows), data[i]["label"].index_select(0, rows)

    few = [[batch(i, step) for step in range(AHEAD)] for i in range(1 if data[0] is data[-1] else len(data))]

    def steps(number: int) -> None:
        for i, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
            for step in range(number):
                x, label = batch(i, step) if gathered else few[i % len(few)][step % AHEAD]
                optimizer.zero_grad()
                loss(network(x), label).backward()
                optimizer.step()

    return steps


def small_cnn(width: int) -> ModuleModel:
    """Two blocks on grey 28×28 images, ten classes."""
    return cnn.build(width, 2, "relu", (1, 28, 28), 10)
