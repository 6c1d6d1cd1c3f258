"""Which training the kernels take, and that it is the training that was asked for."""

from functools import partial

import pytest
import torch

from tsd.engine.fit import fit
from tsd.engine.rng import Streams
from tsd.errors import UserError
from tsd.models.mlp import MLP
from tsd.models.spectral_mlp import SpectralMLP
from tsd.studies._base import GradientStudy, MeanSquare, Start

INPUTS, SAMPLES, TRIALS = 6, 45, 3
PLAIN = {"optimizer": "sgd", "lr": 0.1, "batch_size": 20, "epochs": 5}
LOSS = MeanSquare("y")
STUDENTS = {
    "biases": MLP((INPUTS, 5, 1), "tanh"),
    "no biases": MLP((INPUTS, 17, 1), "relu", bias=False),
    "negative weights and a sum behind": SpectralMLP(INPUTS, 5, 1, "erf", "direct"),
}


def drawn(model, number, **how):
    """A student with data of its own, or with those of student 0."""
    source = torch.Generator().manual_seed(0 if how.get("shared") else number)
    train = {"x": torch.randn(SAMPLES, INPUTS, generator=source), "y": torch.randn(SAMPLES, generator=source)}
    params, buffers = model.init(partial(Streams({"init": number}).generator, "init"))
    return Start(model, params, buffers, train, {}, alter=how.get("alter"))


def trained(model, settings, numbers=range(TRIALS), loss=LOSS, **how):
    starts = [drawn(model, number, **how) for number in numbers]
    trials = [GradientStudy.of(PLAIN | (settings[n] if isinstance(settings, list) else settings)) for n in numbers]
    return fit(starts, trials, [Streams({"data": number % 2}) for number in numbers], loss)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("settings", [{}, {"schedule": "cosine"}, {"batch_size": SAMPLES}], ids=str)
@pytest.mark.parametrize("name", STUDENTS)
def test_fused_and_dense_end_alike(name, settings, shared):
    fused = trained(STUDENTS[name], settings, shared=shared)
    dense = trained(STUDENTS[name], settings | {"way": "dense"}, shared=shared)
    assert [run.way for run in (*fused, *dense)] == ["fused"] * TRIALS + ["dense"] * TRIALS
    for one, other in zip(fused, dense, strict=True):
        torch.testing.assert_close(one.fitted.params, other.fitted.params, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", STUDENTS)
def test_a_trial_has_the_same_bits_in_any_company(name):
    settings = [{}, {"momentum": 0.5}, {"lr": 0.3}]
    together = trained(STUDENTS[name], settings)
    assert [run.way for run in together] == ["fused", "dense", "fused"]
    for numbers in ([0], [2, 0], [1, 2]):
        for number, run in zip(numbers, trained(STUDENTS[name], settings, numbers), strict=True):
            torch.testing.assert_close(run.fitted.params, together[number].fitted.params, rtol=0, atol=0)
            assert run.way == together[number].way


def test_a_loss_that_is_not_finite_is_a_divergence():
    assert [run.diverged for run in trained(STUDENTS["biases"], [{}, {"lr": 1e30}, {}])] == [False, True, False]


@pytest.mark.parametrize(
    ("reason", "model", "settings", "how"),
    [
        ("plain sgd", STUDENTS["biases"], {"optimizer": "adam"}, {}),
        ("plain sgd", STUDENTS["biases"], {"weight_decay": 0.1}, {}),
        ("mean square", STUDENTS["biases"], {}, {"loss": lambda s, b, t: (s.output - b["y"]).square().mean()}),
        ("one hidden layer", MLP((INPUTS, 5, 5, 1)), {}, {}),
        ("one hidden layer", MLP((INPUTS, 5, 2)), {}, {"loss": MeanSquare("x")}),
        ("one hidden layer", SpectralMLP(INPUTS, 5, 1), {}, {}),
        ("one label", STUDENTS["biases"], {}, {"loss": MeanSquare("x")}),
        ("precision is bf16", STUDENTS["biases"], {"precision": "bf16"}, {}),
        ("altered", STUDENTS["biases"], {}, {"alter": lambda step, batch: dict(batch)}),
        ("float32", STUDENTS["biases"], {"dtype": "float64"}, {}),
        ("too large", MLP((INPUTS, 8_192 // INPUTS + 1, 1)), {"steps": 1}, {}),
    ],
)
def test_what_is_not_for_a_kernel_goes_another_way_or_says_why_it_cannot(reason, model, settings, how):
    with pytest.raises(UserError, match=reason):
        trained(model, settings | {"way": "fused"}, **how)
    if "x" not in str(how.get("loss")):
        assert {run.way for run in trained(model, settings, **how)} <= {"dense", "loop"}
