"""A trial's result depends on the trial alone, and training does what it says."""

import pytest
import torch
from torch import nn

from tsd.engine.fit import even_parts, fit
from tsd.engine.record import record_steps
from tsd.engine.rng import Streams
from tsd.models._module import from_module
from tsd.models.mlp import MLP
from tsd.models.spectral_mlp import SpectralMLP
from tsd.studies._base import GradientStudy, Start

INPUTS, SAMPLES = 5, 33
COUNT = 20
SHORT = {"batch_size": 10, "epochs": 2, "curve_points": 0}


def squared_error(student, batch, trial):
    return (student.output - batch["y"]).square().mean()


def cross_entropy(student, batch, trial):
    return nn.functional.cross_entropy(student.output, batch["label"])


def trial_of(**values):
    return GradientStudy.of(SHORT | values)


def start_of(model, seed, **held):
    streams = Streams({"init": seed, "data": seed})
    x = torch.from_numpy(streams.generator("data", "inputs").standard_normal((SAMPLES, INPUTS))).float()
    train = {"x": x, "y": x.sin().sum(1), "label": (x.sum(1) > 0).long()}
    return Start(model, *model.init(lambda purpose: streams.generator("init", purpose)), train, held)


def pack(model, order, loss, **values):
    """Fits of the trials numbered `order`; number k has its own seeds, rate, momentum and decay."""
    trials = [trial_of(**values, lr=1e-3 * (1 + k), momentum=0.9 * (k % 2), weight_decay=0.01 * (k % 3)) for k in order]
    seeds = [Streams({"init": k, "data": k}) for k in order]
    return fit([start_of(model, k) for k in order], trials, seeds, loss)


def same_bits(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


CONVOLUTION = from_module(
    lambda: nn.Sequential(
        nn.Unflatten(1, (1, 1, INPUTS)),
        nn.Conv2d(1, 3, (1, 3), padding=(0, 1)),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(15, 2),
    )
)
CASES = {
    "dense, one output": (MLP((INPUTS, 7, 3, 1), "tanh"), squared_error, {"way": "dense", "optimizer": "sgd"}),
    "dense, classes": (MLP((INPUTS, 6, 2)), cross_entropy, {"way": "dense", "optimizer": "adamw"}),
    "dense, float64": (MLP((INPUTS, 7, 1), "erf"), squared_error, {"way": "dense", "dtype": "float64"}),
    "dense, spectral": (SpectralMLP(INPUTS, 9, 3), squared_error, {"way": "dense"}),
    "vmap, one output": (MLP((INPUTS, 7, 1), "tanh"), squared_error, {"way": "vmap", "optimizer": "sgd"}),
    "vmap, batch norm": (CONVOLUTION, cross_entropy, {"way": "vmap", "epochs": 1}),
    "loop, batch norm": (CONVOLUTION, cross_entropy, {"way": "loop", "epochs": 1}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_trial_has_the_same_bits_in_every_company(case):
    model, loss, values = CASES[case]
    everyone = pack(model, range(COUNT), loss, **values)
    for order in ([3], [3, 0], [17, 3, 5], [9, 1, 8, 2, 3, 16, 4], range(4, 20), reversed(range(COUNT))):
        members = list(order)
        for k, alone in zip(members, pack(model, members, loss, **values), strict=True):
            assert same_bits(alone.fitted.params, everyone[k].fitted.params), (members, k)
            assert same_bits(alone.fitted.buffers, everyone[k].fitted.buffers), (members, k)


@pytest.mark.parametrize("widths", [(100, 10, 1), (20, 100, 20, 1), (64, 50, 10), (197, 17, 1)], ids=str)
def test_shapes_of_real_studies_have_the_same_bits_in_every_company(widths):
    """BLAS picks its kernels by shape: the sizes in use are tried too."""
    model = MLP(widths)

    def run(order):
        starts = []
        for k in order:
            noise = Streams({"data": k}).generator("data", "x").standard_normal((300, widths[0] + 1))
            x = torch.from_numpy(noise).float()
            train = {"x": x[:, 1:], "y": x[:, 0], "label": (x[:, 0] > 0).long()}
            starts.append(
                Start(model, *model.init(lambda p, k=k: Streams({"init": k}).generator("init", p)), train, {})
            )
        loss = squared_error if widths[-1] == 1 else cross_entropy
        trials = [trial_of(batch_size=256, epochs=1) for _ in order]
        return [f.fitted.params for f in fit(starts, trials, [Streams({"data": k}) for k in order], loss)]

    everyone = run(range(16))
    for order in ([2], [2, 11], [5, 2, 9]):
        assert all(same_bits(got, everyone[k]) for k, got in zip(order, run(order), strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("widths", [(100, 10, 1), (5, 3, 1), (784, 64, 10)], ids=str)
def test_neighbours_with_the_same_data_leave_a_trial_its_bits(widths, optimizer):
    """Where all trials of a stack share their inputs, products are joined; beside one that does not, they are not."""
    model = MLP(widths)

    def run(members):
        starts, seeds = [], [Streams({"init": k, "data": k // 4}) for k in members]
        for each in seeds:
            x = torch.from_numpy(each.generator("data", "x").standard_normal((120, widths[0]))).float()
            train = {"x": x, "y": x[:, 0], "label": (x[:, 0] > 0).long()}
            starts.append(Start(model, *model.init(lambda p, each=each: each.generator("init", p)), train, {}))
        loss = squared_error if widths[-1] == 1 else cross_entropy
        trials = [trial_of(batch_size=50, epochs=2, optimizer=optimizer, momentum=0.9 * (k == 3)) for k in members]
        return [each.fitted.params for each in fit(starts, trials, seeds, loss)]

    together = run(range(4))
    for members in ([1], [1, 2], [2, 3, 1], [1, 5], [7, 3, 1, 2]):
        for k, got in zip(members, run(members), strict=True):
            assert k >= 4 or same_bits(got, together[k]), (members, k)


def test_plain_descent_is_that_of_torch():
    """Its step is folded into a product; momentum, decay and penalties are not, and lead to the same place."""
    model, start = MLP((INPUTS, 6, 2)), start_of(MLP((INPUTS, 6, 2)), 0)
    trial, streams = trial_of(optimizer="sgd", lr=0.1, schedule="cosine"), Streams({})
    plain, with_momentum = (
        fit([start], [trial.but(momentum=m)], [streams], cross_entropy)[0].fitted.params for m in (0.0, 1e-12)
    )
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in start.params.items()}
    optimizer = torch.optim.SGD(leaves.values(), lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    for epoch in range(2):
        order = torch.from_numpy(streams.generator("data", "order", step=epoch).permutation(SAMPLES))
        for rows in order.split(10):
            optimizer.zero_grad()
            nn.functional.cross_entropy(
                model.forward(leaves, {}, start.train["x"][rows]).output, start.train["label"][rows]
            ).backward()
            optimizer.step()
            schedule.step()
    for name, leaf in leaves.items():
        torch.testing.assert_close(plain[name], leaf.detach(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(plain[name], with_momentum[name], rtol=1e-5, atol=1e-6)


def test_trials_that_share_their_data_get_what_they_get_with_copies():
    model = SpectralMLP(INPUTS, 9, 3)
    one = start_of(model, 0)
    copies = [Start(model, one.params, {}, {k: v.clone() for k, v in one.train.items()}, {}) for _ in range(3)]
    trials = [trial_of(lr=1e-3 * (k + 1)) for k in range(3)]
    shared, own = (fit(s, trials, [Streams({})] * 3, squared_error) for s in ([one] * 3, copies))
    assert all(same_bits(a.fitted.params, b.fitted.params) for a, b in zip(shared, own, strict=True))
    assert not same_bits(shared[0].fitted.params, shared[1].fitted.params)


@pytest.mark.parametrize("way", ["dense", "vmap", "loop"])
def test_a_trial_that_diverges_leaves_its_neighbours_alone(way):
    model = MLP((INPUTS, 6, 1), "identity")
    rates = [1e-2, 1e6, 2e-2]

    def trace(student, held, trial):
        return {"norm": float(student.params["layer1.weight"].norm())}

    def run(chosen):
        trials = [trial_of(way=way, optimizer="sgd", lr=lr, epochs=40, curve_points=5) for lr in chosen]
        starts = [start_of(model, rates.index(lr)) for lr in chosen]
        return fit(starts, trials, [Streams({})] * len(chosen), squared_error, trace=trace)

    together, apart = run(rates), run([rates[0], rates[2]])
    assert [f.diverged for f in together] == [False, True, False]
    for a, b in zip((together[0], together[2]), apart, strict=True):
        assert same_bits(a.fitted.params, b.fitted.params)
        assert a.curves == b.curves
    (lost,) = together[1].curves
    assert lost.steps == [0], "the curve ends before the divergence"


def test_a_stack_without_a_living_trial_stops():
    calls = []

    def loss(student, batch, trial):
        calls.append(1)
        return student.output.sum() * float("nan")

    (only,) = fit([start_of(MLP((INPUTS, 1)), 0)], [trial_of(way="loop", steps=1000)], [Streams({})], loss)
    assert only.diverged and len(calls) == 100


def test_parameters_that_overflow_in_the_last_step_are_a_divergence():
    (only,) = fit([start_of(MLP((INPUTS, 1)), 0)], [trial_of(optimizer="sgd", steps=1, lr=3e38)], [Streams({})], huge)
    assert only.diverged


def huge(student, batch, trial):
    return student.output.sum() * 1e3


@pytest.mark.parametrize("way", ["dense", "vmap", "loop"])
def test_penalties_add_their_gradient(way):
    """Without data, one step of gradient descent on c ‖p‖² multiplies p by 1 − 2 η c."""
    model = MLP((INPUTS, 4, 1))
    trials = [trial_of(way=way, optimizer="sgd", lr=lr, steps=1, dtype="float64") for lr in (0.1, 0.2)]
    starts = [start_of(model, k) for k in range(2)]
    fits = fit(starts, trials, [Streams({})] * 2, nothing, penalties=lambda trial: {"layer1.weight": 3 * trial.lr})
    for start, trial, got in zip(starts, trials, fits, strict=True):
        shrunk = start.params["layer1.weight"].double() * (1 - 2 * trial.lr * 3 * trial.lr)
        torch.testing.assert_close(got.fitted.params["layer1.weight"], shrunk, rtol=1e-12, atol=0)
        assert torch.equal(got.fitted.params["layer2.weight"], start.params["layer2.weight"].double())


def nothing(student, batch, trial):
    return 0 * student.output.sum()


def test_full_batch_descent_follows_the_gradient():
    """One linear layer, all data in a batch: w ← w − η ∇L with the gradient of least squares, XᵀX w − Xᵀy."""
    model = MLP((INPUTS, 1), bias=False)
    start = start_of(model, 0)
    trial = trial_of(optimizer="sgd", lr=0.05, batch_size=SAMPLES, steps=7, dtype="float64")
    (got,) = fit([start], [trial], [Streams({})], squared_error)
    x, y = start.train["x"].double(), start.train["y"].double()
    w = start.params["layer1.weight"][0].double()
    for _ in range(7):
        w = w - 0.05 * 2 / SAMPLES * x.T @ (x @ w - y)
    torch.testing.assert_close(got.fitted.params["layer1.weight"][0], w, rtol=1e-12, atol=1e-14)


def test_curves_hold_the_untrained_student_and_the_last_step():
    def trace(student, held, trial):
        return {"bias": float(student.params["layer1.bias"]), "held": held["number"]}

    start = start_of(MLP((INPUTS, 1)), 0, number=4.0)
    (got,) = fit([start], [trial_of(steps=9, curve_points=4)], [Streams({})], squared_error, trace=trace)
    bias, held = got.curves
    assert (bias.steps, held.values) == ([0, 3, 6, 9], [4.0] * 4)
    assert bias.values[0] == float(start.params["layer1.bias"])
    assert bias.values[-1] == float(got.fitted.params["layer1.bias"])


def test_recorded_steps_are_even_and_include_both_ends():
    assert record_steps(100, 5) == [0, 25, 50, 75, 100]
    assert record_steps(3, 20) == [0, 1, 2, 3]
    assert (record_steps(10, 0), record_steps(10, 1)) == ([], [10])


def test_parts_are_few_and_even():
    assert [len(part) for part in even_parts(17, 16)] == [8, 9]
    assert even_parts(3, 16) == [[0, 1, 2]]
    assert even_parts(2, 1) == [[0], [1]]
    assert [i for part in even_parts(100, 16) for i in part] == list(range(100))


def test_precision_is_the_trials():
    start = start_of(MLP((INPUTS, 1)), 0)
    for dtype in ("float32", "float64"):
        (got,) = fit([start], [trial_of(dtype=dtype)], [Streams({})], squared_error)
        assert {tensor.dtype for tensor in got.fitted.params.values()} == {getattr(torch, dtype)}


def test_training_leaves_the_processor_as_it_was():
    tiny = torch.tensor(1e-310, dtype=torch.float64)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fit([start_of(MLP((INPUTS, 1)), 0)], [trial_of()], [Streams({})], squared_error)
        assert torch.get_num_threads() == 2
        assert float(tiny * 1) > 0
    finally:
        torch.set_num_threads(threads)


def test_an_empty_pack_has_no_fits():
    assert fit([], [], [], squared_error) == []
