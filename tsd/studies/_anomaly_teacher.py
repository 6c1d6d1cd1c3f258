"""The teacher of `anomaly`: a flow that is trained once for its data and seed, and serves every student of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tsd.engine.rng import STREAMS, Streams
from tsd.errors import UserError
from tsd.lazy import torch
from tsd.studies import _anomaly_data as data
from tsd.studies._anomaly_formulas import flow_loss
from tsd.studies._base import Artefact, Fitted, GradientStudy, Start
from tsd.studies._classify import CHUNK

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.models._base import View
    from tsd.studies._anomaly_networks import FlowModel
    from tsd.studies._base import Kept, Shelf

TRACED = 64
"""Training samples on which the flow's curve is recorded and its inverse tried: the first ones."""
CURVE_POINTS = 10


def train_flow(trial: Any, streams: Streams, shelf: Shelf) -> Kept:
    """The flow, fitted to good samples by maximum likelihood. All that is drawn comes from the stream `teacher`.

    Returns:
        Its weights, and its loss by step under "curve.steps" and "curve.values"; its size and its data as facts.
    Raises:
        UserError: training diverged.
    """
    from tsd.engine import arithmetic
    from tsd.engine.fit import fit

    samples = data.of_trial(trial, streams)
    own = Streams(dict.fromkeys(STREAMS, streams.seeds.get("teacher", 0)))
    model = _architecture(trial, samples)
    params, buffers = model.init(functools.partial(own.generator, "teacher"))
    start = Start(model, params, buffers, {"x": samples.train}, {"x": samples.train[:TRACED]})
    settings = GradientStudy(
        lr=trial.flow_lr,
        weight_decay=trial.flow_weight_decay,
        batch_size=trial.flow_batch_size,
        epochs=trial.flow_epochs,
        curve_points=CURVE_POINTS,
    )
    device = arithmetic.device()
    [run] = fit([start], [settings], [own], _loss, trace=_trace, device=device, keep=shelf.keep)
    if run.diverged:
        raise UserError(
            f"The flow diverged with flow_lr {trial.flow_lr:g} and {trial.flow_blocks} flow_blocks; lower one of them."
        )
    arrays = {name: value.cpu().numpy() for name, value in {**run.fitted.params, **run.fitted.buffers}.items()}
    (curve,) = run.curves
    arrays |= {"curve.steps": np.array(curve.steps), "curve.values": np.array(curve.values)}
    size = sum(param.numel() for param in params.values())
    return arrays, {"params": size, "data": samples.fingerprint, "device": device}


TEACHER = Artefact(
    name="flow",
    fields=(
        *("dataset", "texture", "image_size", "train_samples"),
        *("extractor", "extractor_layer", "map_size", "position_dim"),
        *("flow_blocks", "flow_hidden", "flow_clamp"),
        *("flow_epochs", "flow_lr", "flow_weight_decay", "flow_batch_size"),
    ),
    streams=("teacher",),
    make=train_flow,
)


def restored(trial: Any, samples: data.Samples, arrays: Mapping[str, np.ndarray]) -> Fitted:
    """The flow from its stored weights."""
    model = _architecture(trial, samples)
    params, buffers = (
        {name: torch.tensor(arrays[name]) for name, _ in named}
        for named in (model.module.named_parameters(), model.module.named_buffers())
    )
    return Fitted(model, params, buffers)


def latent(flow: Fitted, x: Tensor) -> dict[str, Tensor]:
    """z of `x`, shape (sample, channel, height, width), and log_det, (sample, height, width)."""
    with torch.no_grad():
        seen = [flow.model.forward(flow.params, flow.buffers, chunk) for chunk in x.split(CHUNK)]
    return {
        "z": torch.cat([view.output for view in seen]),
        "log_det": torch.cat([view.features["log_det"] for view in seen]),
    }


def inversion_error(flow: Fitted, x: Tensor) -> float:
    """Largest |x − inverse of the flow of x|."""
    with torch.no_grad():
        back = flow.model.inverse(flow.params, flow.buffers, latent(flow, x)["z"])  # type: ignore[attr-defined]
    return float((back - x).abs().max())


def _architecture(trial: Any, samples: data.Samples) -> FlowModel:
    from tsd.studies._anomaly_networks import FlowSize, flow

    size = FlowSize(trial.flow_blocks, trial.flow_hidden, trial.flow_clamp, trial.position_dim)
    return flow(samples.shape, size)


def _loss(flow: View, batch: Mapping[str, Tensor], settings: GradientStudy) -> Tensor:
    return flow_loss(flow.output, flow.features["log_det"])


def _trace(flow: Fitted, held: Mapping[str, Any], settings: GradientStudy) -> dict[str, float]:
    seen = latent(flow, held["x"])
    return {"traced_flow_nll": float(flow_loss(seen["z"], seen["log_det"]))}
