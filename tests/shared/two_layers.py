"""Two-layer students, what they learn from, and their descent by autograd in float64."""

from dataclasses import replace

import torch

from tsd.engine.fused.descent import Samples, Students
from tsd.models._chain import ACTIVATIONS

RATE = 0.05


def drawn(trials=3, inputs=7, units=5, *, samples=40, sizes=(16, 16, 8, 16), inner="tanh", outer="identity", **how):
    """Students and what they learn from; `shared` and `one_order` as their names say, `biases` on or off."""
    source = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=source)

    held = 1 if how.get("shared") else trials
    orders = 1 if how.get("one_order") else trials
    biases = (normal(trials, units), normal(trials, 1)) if how.get("biases", True) else (None, None)
    students = Students(
        normal(trials, units, inputs) / inputs**0.5, normal(trials, units) / units, *biases, inner, outer
    )
    rows = torch.randint(samples, (orders, sum(sizes)), generator=source)
    first = torch.arange(trials) * samples * torch.tensor([[held > 1], [True]])
    data = Samples(normal(held * samples, inputs), normal(trials * samples), first, rows, tuple(sizes))
    return students, data, RATE * torch.rand(trials, len(sizes), generator=source)


def copied(students, members=slice(None)):
    """The students of these numbers, in memory of their own."""
    tensors = {name: getattr(students, name) for name in "wvbc"}
    return replace(students, **{name: t if t is None else t[members].clone() for name, t in tensors.items()})


def of(data, members):
    """The same choice of what they learn from."""
    rows = data.rows if len(data.rows) == 1 else data.rows[members]
    return replace(data, first=data.first[:, members].contiguous(), rows=rows)


def by_autograd(students, data, rates):
    """The same descent in float64, one network and one update after another."""
    tensors = {name: getattr(students, name) for name in "wvbc"}
    given = {name: t.double().clone() for name, t in tensors.items() if t is not None}
    losses = torch.zeros(len(data.sizes), len(rates), dtype=torch.float64)
    f, g = ACTIVATIONS[students.inner].value, ACTIVATIONS[students.outer].value
    for t in range(len(rates)):
        x, y = (each.double()[data.first[i, t] :] for i, each in enumerate((data.x, data.y)))
        for k, rows in enumerate(data.rows[t if len(data.rows) > 1 else 0].split(data.sizes)):
            p = {name: tensor[t].clone().requires_grad_() for name, tensor in given.items()}
            output = g(f(x[rows] @ p["w"].T + p.get("b", 0)) @ p["v"] + p.get("c", 0))
            loss = (output - y[rows]).square().mean()
            losses[k, t] = loss.detach()
            for name, slope in zip(p, torch.autograd.grad(loss, list(p.values())), strict=True):
                given[name][t] -= rates[t, k].double() * slope
    return losses, given


def assert_descends(descend, students, data, rates, tolerance=2e-6):
    losses, ends = by_autograd(students, data, rates)
    moved = copied(students)
    found = descend(moved, data, rates)
    torch.testing.assert_close(found.double(), losses, rtol=tolerance, atol=tolerance)
    for name, end in ends.items():
        torch.testing.assert_close(getattr(moved, name).double(), end, rtol=tolerance, atol=tolerance)
