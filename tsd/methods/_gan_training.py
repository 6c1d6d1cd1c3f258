"""The GAN of a data set, trained once with its labels: critic and generator by one loss, each moved by its own part.

−log σ(D(x, y)) − log σ(−D(G(c), c)) + ½ γ |∂D/∂x|² moves the critic and −log σ(D(G(c), c)) the generator.
The critic has an answer for every class (a projection of its features: Miyato and Koyama 2018, arXiv:1802.05637), where
an auxiliary classifier, as the method's authors have it, rewards what is typical of a class. The slope at real inputs
lets the two come to rest (Mescheder, Geiger, Nowozin 2018, arXiv:1801.04406).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tsd.engine.rng import STREAMS, Streams
from tsd.errors import UserError
from tsd.lazy import torch
from tsd.methods import _teacher
from tsd.methods._gan_networks import classes_of, codes, critic, generator
from tsd.models._base import View, below
from tsd.studies._base import Artefact, GradientStudy, Kept, Start

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.data import Images
    from tsd.models._base import Draw, Model, Params
    from tsd.studies._base import Shelf

GENERATOR, CRITIC = "generator.", "critic."
STEEPNESS = 1.0
"""γ, the price of the critic's slope at real inputs."""


@dataclass(frozen=True)
class Bout(View):
    """What the critic says of real inputs, with both networks at hand.

    Args:
        make: codes → inputs.
        judge: inputs → the critic's answers; `fixed` takes its weights as constants.
    """

    make: Callable[[Tensor], Tensor]
    judge: Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class Pair:
    """Generator and critic as one model, whose parameters are called `generator.…` and `critic.…`."""

    generator: Model
    critic: Model

    def init(self, draw: Draw) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The fresh weights of both, and the generator's range."""
        params: dict[str, Tensor] = {}
        buffers: dict[str, Tensor] = {}
        for prefix, model in ((GENERATOR, self.generator), (CRITIC, self.critic)):
            own, state = model.init(lambda name, prefix=prefix: draw(prefix + name))  # type: ignore[misc]
            params |= {prefix + name: tensor for name, tensor in own.items()}
            buffers |= {prefix + name: tensor for name, tensor in state.items()}
        return params, buffers

    def forward(self, params: Params, buffers: Params, x: Tensor, *, train: bool = False) -> Bout:
        """The critic's answers to `x`."""
        maker, state, judge = below(GENERATOR, params), below(GENERATOR, buffers), below(CRITIC, params)

        def make(codes: Tensor) -> Tensor:
            return self.generator.forward(maker, state, codes).output

        def judged(inputs: Tensor, *, fixed: bool = False) -> Tensor:
            weights = {name: tensor.detach() for name, tensor in judge.items()} if fixed else judge
            return self.critic.forward(weights, {}, inputs).output

        return Bout(judged(x), {}, buffers, make, judged)


def bout_loss(bout: Bout, batch: Mapping[str, Tensor], trial: Any) -> Tensor:
    """The critic's and the generator's loss on one batch with real inputs "x", labels "y" and codes "code"."""
    code, logsigmoid = batch["code"], torch.nn.functional.logsigmoid
    asked = classes_of(code, bout.output.shape[1])
    made = bout.make(code)
    slopes = torch.func.grad(lambda x: odds(bout.judge(x), batch["y"]).sum())(batch["x"])
    told = logsigmoid(odds(bout.output, batch["y"])) + logsigmoid(-odds(bout.judge(made.detach()), asked))
    fooled = logsigmoid(odds(bout.judge(made, fixed=True), asked))
    return (STEEPNESS / 2 * slopes.square().flatten(1).sum(1) - told - fooled).mean()


def odds(judged: Tensor, label: Tensor) -> Tensor:
    """Of all classes' log-odds, shape (batch, class), those of the labels."""
    return judged.gather(1, label.unsqueeze(1)).squeeze(1)


def _train_gan(trial: Any, streams: Streams, shelf: Shelf) -> Kept:
    """A GAN of the data set on which the teacher was trained."""
    from tsd.engine import arithmetic
    from tsd.engine.fit import fit

    method = trial.part("method")
    at_hand, _, _ = _teacher.images(trial, streams)
    own = Streams(dict.fromkeys(STREAMS, streams.seeds.get("teacher", 0)))
    recipe = GradientStudy(lr=method.gan_lr, batch_size=method.gan_batch_size, epochs=method.gan_epochs, curve_points=0)
    start = _start(method, own, at_hand)
    device = arithmetic.device()
    [run] = fit([start], [recipe], [own], bout_loss, device=device, keep=shelf.keep)  # type: ignore[arg-type]
    if run.diverged:
        raise UserError(f"The GAN diverged with gan_lr {method.gan_lr:g}; give it a smaller one.")
    kept = {**run.fitted.params, **run.fitted.buffers}
    arrays = {name: tensor.cpu().numpy() for name, tensor in kept.items() if name.startswith(GENERATOR)}
    return arrays, {"data": at_hand.fingerprint, "device": device}


def _start(method: Any, own: Streams, at_hand: Images) -> Start:
    """Both networks untrained, the generator with the data's range, and codes beside every batch of the data."""
    size = (at_hand.input_shape, at_hand.classes)
    model = Pair(generator(*size, method.gan_latent, method.gan_width), critic(*size, method.gan_width))
    params, buffers = model.init(lambda name: own.generator("teacher", f"gan.{name}"))
    spread = [axis for axis in range(at_hand.x_train.ndim) if axis != 1]
    for name, limit in (("low", at_hand.x_train.amin), ("high", at_hand.x_train.amax)):
        buffers[f"{GENERATOR}range.{name}"] = limit(spread).view_as(buffers[f"{GENERATOR}range.{name}"])

    def alter(step: int, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        draws = own.generator("teacher", "gan.codes", step=step)
        return {**batch, "code": codes(len(batch["x"]), method.gan_latent, draws).to(batch["x"])}

    train = {"x": at_hand.x_train, "y": at_hand.y_train}
    return Start(model, params, buffers, train, {}, alter=alter)


GAN = Artefact(
    name="gan",
    fields=(*_teacher.DATA_FIELDS, "gan_latent", "gan_width", "gan_epochs", "gan_lr", "gan_batch_size"),
    streams=("teacher",),
    make=_train_gan,
)
"""Kept is the generator alone."""
