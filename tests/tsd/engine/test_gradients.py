"""The three ways to a gradient are three implementations of one formula."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from tsd.engine.rng import Streams
from tsd.engine.stack import Stack, batched_values, placed
from tsd.engine.step import choose, descent, gradients_by, in_place
from tsd.errors import UserError
from tsd.fields import Batched, Fields, field
from tsd.models import cnn
from tsd.models._base import DenseModel, View
from tsd.models._module import from_module
from tsd.models.mlp import MLP
from tsd.models.spectral import SpectralClassifier
from tsd.models.spectral_mlp import SpectralMLP
from tsd.studies._base import GradientStudy, Start
from tsd.studies._distill_pupil import Pupil

TRIALS, BATCH, INPUTS = 3, 7, 5


class Part(Fields):
    temperature: Batched[float] = field(4.0, gt=0, doc="A field of a part.")


@dataclass(frozen=True)
class Parts:
    """A family with one member."""

    singular: ClassVar[str] = "part"
    Part: ClassVar[type[Fields]] = Part

    def load(self, name):
        return self


class Trial(GradientStudy):
    parts: ClassVar = {"dtype": Parts()}


def squared_error(student, batch, trial):
    return (student.output - batch["y"]).square().mean()


def cross_entropy(student, batch, trial):
    return nn.functional.cross_entropy(student.output, batch["label"])


def distillation(student, batch, trial):
    """Reads a Batched field of a part."""
    temperature = trial.part("dtype").temperature
    soft, target = ((z / temperature).log_softmax(1) for z in (student.output, batch["logits"]))
    return temperature**2 * (target.exp() * (target - soft)).sum(1).mean()


def stack_of(model, shape=(INPUTS,)):
    """A stack of trials in float64 with a random batch, and their trials."""
    generator = torch.Generator().manual_seed(0)
    trials = [Trial.of({"dtype": "float64", "temperature": 1.0 + i}) for i in range(TRIALS)]
    drawn = [model.init(lambda purpose: Streams({"init": 1}).generator("init", purpose)) for _ in trials]
    starts = [Start(model, params, buffers, {}, {}) for params, buffers in drawn]
    stack = Stack.of(placed(starts, torch.device("cpu"), torch.float64))
    for param in stack.params.values():
        param.add_(torch.randn(param.shape, generator=generator, dtype=torch.float64), alpha=0.3)
    draw = {"x": shape, "y": (), "logits": (4,)}
    batch = {k: torch.randn(TRIALS, BATCH, *s, generator=generator, dtype=torch.float64) for k, s in draw.items()}
    return stack, batch | {"label": torch.randint(0, 4, (TRIALS, BATCH), generator=generator)}, trials


def gradients(way, model, loss, shape=(INPUTS,)):
    stack, batch, trials = stack_of(model, shape)
    if way != "loop":
        values = batched_values(trials, torch.device("cpu"))
        with torch.no_grad():
            step = gradients_by(way, model, trials[0], values, loss, list(stack.params))
            return step(stack.params, stack.buffers, batch)
    each = []
    for i, trial in enumerate(trials):
        alone = ({name: tensor[i : i + 1] for name, tensor in d.items()} for d in (stack.params, stack.buffers, batch))
        values = batched_values([trial], torch.device("cpu"))
        each.append(gradients_by("loop", model, trial, values, loss, list(stack.params))(*alone))
    losses, grads, buffers = zip(*each, strict=True)
    return torch.cat(losses), *({k: torch.cat([d[k] for d in dicts]) for k in dicts[0]} for dicts in (grads, buffers))


DENSE = [
    *(MLP((INPUTS, 6, 1), name) for name in ("relu", "tanh", "erf", "identity")),
    MLP((INPUTS, 6, 3, 1), "tanh", bias=False),
    MLP((INPUTS, 1)),
    *(SpectralMLP(INPUTS, 6, 3, name, layer) for name in ("relu", "tanh", "erf") for layer in ("spectral", "direct")),
]


@pytest.mark.parametrize("way", ["vmap", "dense"])
@pytest.mark.parametrize("model", DENSE, ids=str)
def test_gradients_of_a_regression_agree_with_autograd(model, way):
    assert isinstance(model, DenseModel)
    torch.testing.assert_close(
        gradients(way, model, squared_error), gradients("loop", model, squared_error), rtol=1e-10, atol=1e-12
    )


CLASSIFIERS = [MLP((INPUTS, 6, 4), "erf"), MLP((INPUTS, 6, 5, 4)), SpectralClassifier((INPUTS, 6, 5, 4), "tanh")]


@pytest.mark.parametrize("way", ["vmap", "dense"])
@pytest.mark.parametrize("loss", [cross_entropy, distillation])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=str)
def test_gradients_of_a_classification_agree_with_autograd(model, loss, way):
    torch.testing.assert_close(gradients(way, model, loss), gradients("loop", model, loss), rtol=1e-10, atol=1e-12)


@dataclass(frozen=True)
class Beside:
    """A chain with a map of its first hidden layer that is trained along, and a buffer that counts the passes."""

    chain: DenseModel
    remembers: bool = True

    def init(self, draw):
        params, _ = self.chain.init(draw)
        width = self.chain.layers(params)[1].weight.shape[0]
        drawn = torch.from_numpy(draw("beside").standard_normal((2, width))).float()
        return params | {"beside.map": drawn, "beside.idle": torch.ones(2)}, {"passes": torch.zeros(())}

    def forward(self, params, buffers, x, *, train=False):
        return self.around(self.chain.forward(params, {}, x, train=train), params, buffers)

    @property
    def activation(self):
        return self.chain.activation

    def layers(self, params):
        return self.chain.layers(params)

    def pullback(self, params, gradients):
        return self.chain.pullback(params, gradients)

    def around(self, view, params, buffers):
        features = view.features | {"told": view.features["hidden1"] @ params["beside.map"].mT}
        return View(view.output, features, {"passes": buffers["passes"] + 1} if self.remembers else {})


def read(*shown):
    """A loss of some points of a chain and of what is beside it, with a slope everywhere."""

    def loss(student, batch, trial):
        values = [student.output if name == "output" else student.features[name] for name in shown]
        return sum((value.tanh() * value).mean() * (1 + number) for number, value in enumerate(values))

    return loss


INSIDE = [("affine1",), ("hidden1",), ("hidden1", "output"), ("affine2", "hidden1"), ("affine1", "hidden2", "output")]


@pytest.mark.parametrize("shown", INSIDE, ids="+".join)
@pytest.mark.parametrize("way", ["vmap", "dense"])
@pytest.mark.parametrize(
    "model",
    [
        *(MLP((INPUTS, 6, 3, 4), name) for name in ("relu", "tanh", "erf", "identity")),
        SpectralMLP(INPUTS, 6, 3),
        SpectralClassifier((INPUTS, 6, 5, 4), "tanh"),
    ],
    ids=str,
)
def test_gradients_of_a_loss_that_looks_inside_agree_with_autograd(model, shown, way):
    """Layers behind all that it reads have a gradient of 0."""
    loss = read(*shown)
    torch.testing.assert_close(gradients(way, model, loss), gradients("loop", model, loss), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shown", [("told",), ("told", "output"), ("told", "affine2"), ("affine1",)], ids="+".join)
@pytest.mark.parametrize("way", ["vmap", "dense"])
def test_what_is_trained_beside_a_chain_gets_its_gradient(shown, way):
    model, loss = Beside(MLP((INPUTS, 6, 3, 4), "tanh")), read(*shown)
    found, expected = gradients(way, model, loss), gradients("loop", model, loss)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert found[2]["passes"].tolist() == [1.0] * TRIALS
    assert ("told" in shown) == bool(found[1]["beside.map"].abs().max() > 0)


def test_a_feature_that_a_chain_does_not_have_is_named():
    with pytest.raises(UserError, match="no feature point `hidden3`; it has `affine1`, `hidden1`"):
        gradients("dense", MLP((INPUTS, 6, 4)), read("hidden3"))


def test_a_loss_may_look_at_what_it_has_no_slope_of():
    def loss(student, batch, trial):
        return (student.features["affine1"].detach().square().mean() * student.output).mean()

    model = MLP((INPUTS, 6, 3, 4))
    torch.testing.assert_close(gradients("dense", model, loss), gradients("loop", model, loss), rtol=1e-10, atol=1e-12)


def test_images_are_read_as_one_long_vector():
    model, shape = MLP((12, 6, 4)), (3, 2, 2)
    torch.testing.assert_close(
        gradients("dense", model, cross_entropy, shape), gradients("loop", model, cross_entropy, shape)
    )


def test_batch_norm_moves_its_statistics_alike_in_loop_and_vmap():
    model = from_module(lambda: nn.Sequential(nn.Linear(INPUTS, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 4)))
    by_loop, by_vmap = (gradients(way, model, cross_entropy) for way in ("loop", "vmap"))
    torch.testing.assert_close(by_vmap, by_loop, rtol=1e-10, atol=1e-12)
    assert by_loop[2]["1.running_mean"].abs().max() > 0


def test_the_rule_that_picks_a_way_reads_model_precision_and_kind_of_device_only():
    chain, other = MLP((2, 2)), from_module(lambda: nn.Linear(2, 2))
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [choose("auto", chain, cpu), choose("auto", chain, gpu)] == ["dense", "dense"]
    assert [choose("auto", Beside(chain), cpu), choose("auto", Beside(chain), gpu)] == ["dense", "dense"]
    assert [choose("auto", other, cpu), choose("auto", other, gpu)] == ["loop", "vmap"]
    assert [choose("auto", chain, cpu, "bf16"), choose("auto", chain, gpu, "bf16")] == ["loop", "vmap"]
    assert choose("vmap", chain, cpu) == "vmap"
    small, large, convolutions = (
        Pupil(student, {}) for student in (MLP((5, 6, 4)), MLP((784, 256, 4)), cnn.build(2, 1, "relu", (1, 8, 8), 4))
    )
    assert [choose("auto", each, cpu) for each in (small, large, convolutions)] == ["vmap", "loop", "loop"]
    assert [choose("auto", each, gpu) for each in (small, large, convolutions)] == ["vmap"] * 3
    assert choose("auto", small, cpu, "bf16") == "loop"


def test_dense_is_refused_where_gradients_cannot_be_written_by_hand():
    with pytest.raises(UserError, match=r"is none.*way: vmap"):
        choose("dense", from_module(lambda: nn.Linear(2, 2)), torch.device("cpu"))
    with pytest.raises(UserError, match=r"bf16.*way: vmap"):
        choose("dense", MLP((2, 2)), torch.device("cpu"), "bf16")


def test_a_chain_with_something_beside_it_descends_along_its_gradient():
    """Layers in place, what is beside them too; with a memory it is not asked for."""
    model, loss = Beside(MLP((INPUTS, 6, 3, 4), "tanh"), remembers=False), read("told", "affine2", "output")
    stack, batch, trials = stack_of(model)
    expected = gradients("loop", model, loss)
    values = batched_values(trials, torch.device("cpu")) | {"lr": torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)}
    before = {name: tensor.clone() for name, tensor in stack.params.items()}
    assert in_place(model, stack.params) and not in_place(Beside(model.chain), stack.params)
    with torch.no_grad():
        step = descent(model, trials[0], values, loss, stack.params)
        losses = step(batch, 0.5)
    torch.testing.assert_close(losses, expected[0])
    for name, tensor in stack.params.items():
        rates = (values["lr"] / 2).view(-1, *[1] * (tensor.ndim - 1))
        torch.testing.assert_close(tensor, before[name] - rates * expected[1][name], rtol=1e-10, atol=1e-12)
