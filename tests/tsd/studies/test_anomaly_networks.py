"""The flow is a change of variables: it can be undone, its log-det is that of its Jacobian, its density adds to one."""

import math

import numpy as np
import pytest
import torch
from torch.func import vmap

from tsd.studies._anomaly_formulas import clamp, flow_map
from tsd.studies._anomaly_networks import FlowSize, convolutional, flow


def wild(shape, size, seed=0, dtype=torch.float32):
    """A flow with every parameter, γ too, far from its start."""
    model = flow(shape, size)
    params, buffers = model.init(lambda name: np.random.default_rng([seed, *name.encode()]))
    draw = torch.Generator().manual_seed(seed)
    params = {name: (p + 0.3 * torch.randn(p.shape, generator=draw)).to(dtype) for name, p in params.items()}
    return model, params, {name: b.to(dtype) if b.is_floating_point() else b for name, b in buffers.items()}


SIZES = [((5, 4, 3), FlowSize(4, 8, 1.9, 8)), ((8, 1, 1), FlowSize(3, 16, 1.9, 0)), ((2, 6, 6), FlowSize(1, 4, 0.7, 4))]


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_the_flow_can_be_undone(shape, size):
    model, params, buffers = wild(shape, size)
    x = torch.randn(7, *shape, generator=torch.Generator().manual_seed(1))
    z = model.forward(params, buffers, x).output
    assert (z - x).abs().max() > 0.1
    assert (model.inverse(params, buffers, z) - x).abs().max() < 1e-4


@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_the_log_det_of_all_pixels_is_that_of_the_jacobian_by_autograd(shape, size):
    model, params, buffers = wild(shape, size, dtype=torch.float64)
    x = torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen = model.forward(params, buffers, x)
    assert seen.features["log_det"].shape == (1, *shape[1:])
    jacobian = torch.func.jacrev(lambda x: model.forward(params, buffers, x).output)(x).reshape(x.numel(), x.numel())
    assert seen.features["log_det"].sum().item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-4)


def test_the_density_of_a_flow_adds_up_to_one():
    """∫ exp(−L_T) / 2π over the plane, for a map of two channels and one pixel."""
    model, params, buffers = wild((2, 1, 1), FlowSize(2, 8, 1.0, 0), dtype=torch.float64)
    edge = torch.linspace(-15, 15, 201, dtype=torch.float64)
    points = torch.cartesian_prod(edge, edge).view(-1, 2, 1, 1)
    seen = model.forward(params, buffers, points)
    density = torch.exp(-flow_map(seen.output, seen.features["log_det"])) / (2 * math.pi)
    assert density.sum().item() * (30 / 200) ** 2 == pytest.approx(1, abs=1e-3)


def test_a_fresh_flow_only_permutes_channels():
    model = flow((6, 3, 3), FlowSize(4, 8, 1.9, 4))
    params, buffers = model.init(lambda name: np.random.default_rng(list(name.encode())))
    x = torch.randn(5, 6, 3, 3)
    seen = model.forward(params, buffers, x)
    assert not seen.features["log_det"].any()
    torch.testing.assert_close(seen.output.sort(1).values, x.sort(1).values, rtol=0, atol=0)
    assert not seen.output.equal(x)


def test_a_log_scale_never_passes_its_bound():
    """Two scales meet each channel of a block, at most α each: |log|det J|| < α · channels · blocks."""
    model, params, buffers = wild((4, 1, 1), FlowSize(3, 8, 0.5, 0))
    log_det = model.forward(params, buffers, 1e4 * torch.randn(50, 4, 1, 1)).features["log_det"]
    assert 0.5 < log_det.abs().max() < 0.5 * 4 * 3


def test_what_a_subnet_says_is_clamped_before_it_scales():
    """Subnets that say s whatever they read: log|det J| is the sum of 0.636 α arctan(s/α) over both halves."""
    model, params, buffers = wild((2, 1, 1), FlowSize(1, 4, 1.9, 0))
    params = {name: torch.zeros_like(p) if "weight" in name else p for name, p in params.items()}
    params |= {name: torch.ones(1) for name in params if name.endswith("gamma")}
    said = torch.tensor([1.9, 10.0])
    for half, s in zip(("subnet1", "subnet2"), said, strict=True):
        params[f"couplings.0.{half}.2.bias"] = torch.tensor([s, 0.5])
    log_det = model.forward(params, buffers, torch.randn(3, 2, 1, 1)).features["log_det"]
    torch.testing.assert_close(log_det, clamp(said, 1.9).sum().expand(3, 1, 1))


def test_networks_are_functions_of_the_weights_they_are_given():
    """Two sets of weights through one architecture: as two flows would, one by one and mapped over both."""
    model, *_ = wild(*SIZES[0])
    (_, a, orders_a), (_, b, orders_b) = wild(*SIZES[0], seed=1), wild(*SIZES[0], seed=2)
    a, b = ({name: value.double() for name, value in params.items()} for params in (a, b))
    x = torch.randn(3, *SIZES[0][0], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alone = [model.forward(params, orders, x).output for params, orders in ((a, orders_a), (b, orders_b))]
    assert not alone[0].equal(alone[1])
    both = [{name: torch.stack([one[name], two[name]]) for name in one} for one, two in ((a, b), (orders_a, orders_b))]
    together = vmap(lambda params, buffers: model.forward(params, buffers, x).output)(*both)
    torch.testing.assert_close(together, torch.stack(alone))


def test_building_networks_leaves_global_random_state_alone():
    before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    flow((4, 2, 2), FlowSize(2, 4, 1.9, 4))
    convolutional((4, 2, 2), 8, 1, 4)
    assert torch.random.get_rng_state().equal(before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_the_convolutional_student_gives_maps_of_the_shape_it_reads_and_knows_where_a_pixel_is():
    model = convolutional((5, 4, 4), 8, 2, 4)
    params, buffers = model.init(lambda name: np.random.default_rng(list(name.encode())))
    x = torch.ones(2, 5, 4, 4)
    output = model.forward(params, buffers, x).output
    assert output.shape == x.shape
    sizes = [8 * 9 * 9 + 8, 4 * (8 * 8 * 9 + 8 + 2 * 8), 5 * 8 * 9 + 5]
    assert sum(p.numel() for p in params.values()) == sum(sizes)
    elsewhere = model.forward(params, {**buffers, "position": buffers["position"].flip(1)}, x).output
    assert not elsewhere.equal(output)
