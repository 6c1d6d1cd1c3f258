"""Mixed precision: off unless asked for, in the layers alone, and of the same bits in any company."""

import pytest
import torch
from torch import nn

from tsd.engine.fit import fit
from tsd.engine.rng import Streams
from tsd.engine.step import passed
from tsd.errors import UserError
from tsd.models._module import from_module
from tsd.models.mlp import MLP
from tsd.studies._base import GradientStudy, Start

CHAIN = MLP((64, 32, 3))
NORMED = from_module(
    lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    ),
    ("3",),
)


def drawn(model, seed=0):
    return model.init(lambda name: Streams({"init": seed}).generator("init", name))


def inputs():
    return torch.randn(10, 64, generator=torch.Generator().manual_seed(0))


def run(model, count, **values):
    """Parameters of students after six steps, which see that their loss is given full numbers."""

    def loss(student, batch, trial):
        assert student.output.dtype == batch["x"].dtype
        assert all(value.dtype == batch["x"].dtype for value in student.features.values())
        return nn.functional.cross_entropy(student.output, batch["y"])

    train = {"x": inputs(), "y": torch.arange(10) % 3}
    trials = [
        GradientStudy.of({"batch_size": 5, "steps": 6, "curve_points": 0, "lr": 0.01 * (i + 1)} | values)
        for i in range(count)
    ]
    seeds = [Streams({"init": i}) for i in range(count)]
    return fit([Start(model, *drawn(model, i), train, {}) for i in range(count)], trials, seeds, loss)


@pytest.mark.parametrize("model", [CHAIN, NORMED], ids=["chain", "convolution"])
def test_layers_round_to_bfloat16_and_what_the_loss_sees_is_full_again(model):
    params, buffers = drawn(model)
    full, mixed = (passed(model, params, buffers, inputs(), kind) for kind in ("full", "bf16"))
    apart = (mixed.output - full.output).norm() / full.output.norm()
    assert 1e-4 < apart < 2e-2, "bfloat16 keeps eight bits"
    assert mixed.output.dtype == torch.float32
    assert {value.dtype for value in mixed.buffers.values()} <= {torch.float32}


def test_statistics_of_batch_norm_are_kept_in_full_precision():
    params, buffers = drawn(NORMED)
    after = passed(NORMED, params, buffers, inputs() * 1e-3, "bf16").buffers
    assert torch.allclose(
        after["2.running_mean"],
        passed(NORMED, params, buffers, inputs() * 1e-3, "full").buffers["2.running_mean"],
        atol=1e-4,
    )
    assert any((value != value.bfloat16()).any() for value in after.values())


@pytest.mark.parametrize("way", ["loop", "vmap"])
@pytest.mark.parametrize("model", [CHAIN, NORMED], ids=["chain", "convolution"])
def test_a_student_gets_the_same_bits_alone_and_among_others(model, way):
    together, alone = (run(model, count, way=way, precision="bf16") for count in (3, 1))
    params = together[0].fitted.params
    assert all(torch.equal(params[name], alone[0].fitted.params[name]) for name in params)
    full = run(model, 1, way=way)[0].fitted.params
    assert all(value.dtype == torch.float32 for value in params.values())
    assert any(not torch.equal(params[name], full[name]) for name in params)


def test_products_by_hand_are_full_ones():
    assert run(CHAIN, 1)[0].way == "dense"
    assert run(CHAIN, 1, precision="bf16")[0].way == "loop"
    with pytest.raises(UserError, match="precision is bf16"):
        run(CHAIN, 1, way="dense", precision="bf16")
