"""The paraphraser of factor transfer: the encoder of an autoencoder of what a teacher shows, trained once.

The teacher is run on every batch, so its features are never stored. Kim, Park, Kwak 2018, arXiv:1802.04977, §3.1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tsd.engine.rng import STREAMS, Streams
from tsd.errors import UserError
from tsd.lazy import torch
from tsd.methods._teacher import PLAIN, TEACHER, TEACHER_FIELDS, augmented, images, taught
from tsd.models._base import View, below
from tsd.studies._base import Artefact, Fitted, GradientStudy, Kept, Start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tsd import data
    from tsd.models._base import Draw, Model, Params
    from tsd.studies._base import Shelf

SLOPE = 0.1
"""Of the leaky ReLUs on their negative side."""

PARAM, STATE, CODE, CHUNK = "param.", "state.", "code.", 1_000


def encoder(channels: int, teacher_channels: int, rate: float) -> Model:
    """Three convolutions 3×3 with leaky ReLUs: the paraphraser, and the translator that imitates it.

    Args:
        channels: of the map that is read.
        teacher_channels, rate: their product is the number of channels of a factor.
    """
    from tsd.models._module import from_module

    return from_module(lambda: _encoder(channels, _factor(teacher_channels, rate)))


def _factor(channels: int, rate: float) -> int:
    return max(1, round(channels * rate))


def _encoder(channels: int, factor: int) -> nn.Sequential:
    conv = torch.nn.Conv2d
    return _leaky([conv(a, b, 3, padding=1) for a, b in _widths(channels, factor)])


def _decoder(channels: int, factor: int) -> nn.Sequential:
    conv = torch.nn.ConvTranspose2d
    return _leaky([conv(b, a, 3, padding=1) for a, b in reversed(_widths(channels, factor))])


def _widths(channels: int, factor: int) -> list[tuple[int, int]]:
    return [(channels, channels), (channels, factor), (factor, factor)]


def _leaky(layers: list[nn.Module]) -> nn.Sequential:
    """The layers, each followed by a leaky ReLU."""
    named: OrderedDict[str, nn.Module] = OrderedDict()
    for i, layer in enumerate(layers, 1):
        named |= {f"conv{i}": layer, f"leaky{i}": torch.nn.LeakyReLU(SLOPE)}
    return torch.nn.Sequential(named)


@dataclass(frozen=True, eq=False)
class _Retelling:
    """An autoencoder of the activations of `network`, which is frozen in the buffers, at `point`."""

    network: Model
    point: str
    coder: Model

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Fresh weights of the autoencoder, and no buffers."""
        return self.coder.init(draw)

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> View:
        """`x` are the network's inputs; the feature `told` is what it shows of them, the output is that told again."""
        told = self.network.forward(below(PARAM, buffers), below(STATE, buffers), x).features[self.point]
        return View(self.coder.forward(params, {}, told, train=train).output, {"told": told}, buffers)


def _train_paraphraser(trial: Any, streams: Streams, shelf: Shelf) -> Kept:
    """An encoder of the teacher's features on its whole training set."""
    from tsd.engine import arithmetic
    from tsd.engine.fit import fit

    settings = trial.values()
    teacher = taught(PLAIN, trial, streams, shelf).network
    at_hand, _, _ = images(trial, streams)
    own = Streams(dict.fromkeys(STREAMS, streams.seeds.get("teacher", 0)))
    start = _start(teacher, settings, at_hand, own)
    recipe = GradientStudy(
        optimizer="adam",
        lr=settings["factor_lr"],
        schedule="linear",
        batch_size=128,
        epochs=settings["factor_epochs"],
        curve_points=0,
    )
    device = arithmetic.device()
    loss = partial(_error, absolute=settings["factor_recon"] == "l1")
    [run] = fit([start], [recipe], [own], loss, device=device, keep=shelf.keep)
    if run.diverged:
        raise UserError(f"The paraphraser diverged with factor_lr {recipe.lr:g}; give it a smaller one.")
    kept = {name: tensor for name, tensor in run.fitted.params.items() if name.startswith(CODE)}
    arrays = {"paraphraser." + name.removeprefix(CODE): tensor.cpu().numpy() for name, tensor in kept.items()}
    return arrays, {"unexplained": unexplained(run.fitted, at_hand.x_test), "device": device}


def _start(teacher: Fitted, settings: Mapping[str, Any], at_hand: data.Images, own: Streams) -> Start:
    """The untrained autoencoder of what the teacher shows where the trial's method reads it."""
    from tsd.models._module import from_module

    network: Any = teacher.model
    point = settings["teacher_point"] or network.stages[-1].end
    with torch.no_grad():
        shown = network.forward(teacher.params, teacher.buffers, at_hand.x_train[:1]).features[point]
    sizes = shown.shape[1], _factor(shown.shape[1], settings["factor_rate"])
    both = from_module(lambda: torch.nn.Sequential(OrderedDict(code=_encoder(*sizes), decode=_decoder(*sizes))))
    model = _Retelling(network, point, both)
    params, _ = model.init(lambda name: own.generator("teacher", f"paraphraser.{name}"))
    frozen = {PARAM + k: v for k, v in teacher.params.items()} | {STATE + k: v for k, v in teacher.buffers.items()}
    alter = augmented(settings["teacher_augment"], own)
    return Start(model, params, frozen, {"x": at_hand.x_train, "y": at_hand.y_train}, {}, alter=alter)


def _error(view: View, batch: Mapping[str, Tensor], trial: Any, *, absolute: bool) -> Tensor:
    apart = view.output - view.features["told"]
    return apart.abs().mean() if absolute else apart.square().mean()


def unexplained(retelling: Fitted, x: Tensor) -> float:
    """Mean squared error of what is told again, as a share of the variance of what was told, on the inputs `x`."""
    error = total = squares = torch.zeros((), dtype=torch.float64)
    kind = next(iter(retelling.params.values()))
    with torch.no_grad():
        for part in x.split(CHUNK):
            view = retelling.model.forward(retelling.params, retelling.buffers, part.to(kind))
            told = view.features["told"].double()
            error = error + (view.output - told).square().sum(0)
            total, squares = total + told.sum(0), squares + told.square().sum(0)
    return float(error.sum() / (squares - total.square() / len(x)).sum())


PARAPHRASER = Artefact(
    name="paraphraser",
    fields=(*TEACHER_FIELDS, "teacher_point", "factor_rate", "factor_recon", "factor_epochs", "factor_lr"),
    streams=("teacher",),
    make=_train_paraphraser,
    needs=(TEACHER,),
)
