"""Asymmetric student–teacher, as formulas on plain tensors: the two losses, the soft clamp, positions, scores.

Rudolph, Wehrbein, Rosenhahn, Wandt 2023, "Asymmetric student-teacher networks", arXiv:2210.07829, §3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tsd.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

SLOPE = 0.636
"""About 2/π: the arctangent then ends near ±1."""


def clamp(s: Tensor, alpha: float) -> Tensor:
    """Log-scale of a coupling, kept softly within ±α: 0.636 α arctan(s/α). Any shape."""
    return alpha * SLOPE * torch.atan(s / alpha)


def flow_map(z: Tensor, log_det: Tensor) -> Tensor:
    """Negative log-likelihood of every pixel under N(0, 1), in nats without ½ log 2π a channel: ½ Σ_c z² − log|det J|.

    Args:
        z: latent map, shape (batch, channel, …).
        log_det: log|det J| of every pixel, shape (batch, …).
    Returns:
        Shape (batch, …).
    """
    return z.square().sum(1) / 2 - log_det


def distance_map(teacher_z: Tensor, student_z: Tensor) -> Tensor:
    """Squared distance of every pixel, averaged over channels: shape (batch, channel, …) → (batch, …)."""
    return (teacher_z - student_z).square().mean(1)


def flow_loss(z: Tensor, log_det: Tensor, mask: Tensor | None = None) -> Tensor:
    """L_T, the teacher's loss: `flow_map` averaged over all pixels and the batch (arXiv:2210.07829, eq. 3).

    Args:
        z, log_det: as in `flow_map`.
        mask: 1 on the object and 0 on the background, whose pixels then count as zeros; shape (batch, …).
    """
    return _mean(flow_map(z, log_det), mask)


def distance_loss(teacher_z: Tensor, student_z: Tensor, mask: Tensor | None = None) -> Tensor:
    """L_S, the student's loss: `distance_map` averaged over all pixels and the batch (arXiv:2210.07829, eq. 4).

    Args:
        teacher_z, student_z: latent map and its prediction, shape (batch, channel, …).
        mask: as in `flow_loss`.
    """
    return _mean(distance_map(teacher_z, student_z), mask)


def _mean(per_pixel: Tensor, mask: Tensor | None) -> Tensor:
    return (per_pixel if mask is None else per_pixel * mask).mean()


def positional_encoding(dim: int, height: int, width: int) -> Tensor:
    """Where a pixel is: sines and cosines of its row in the first half of the channels, of its column in the second.

    Vaswani et al. 2017, arXiv:1706.03762, §3.5, once along each axis.
    Args:
        dim: channels, a multiple of four; 0 tells nothing.
    Returns:
        Shape (dim, height, width).
    """
    rates = torch.exp(-math.log(10_000) * torch.arange(dim // 4) / max(dim // 4, 1))
    rows, columns = (torch.arange(n).unsqueeze(0) * rates.unsqueeze(1) for n in (height, width))
    down, across = (torch.cat([angle.sin(), angle.cos()]) for angle in (rows, columns))
    return torch.cat(
        [down.unsqueeze(2).expand(-1, -1, width), across.unsqueeze(1).expand(-1, height, -1)],
    )


def image_score(per_pixel: Tensor, score: str) -> Tensor:
    """One number an image from its map of shape (batch, height, width): the largest (max) or the mean."""
    flat = per_pixel.flatten(1)
    return flat.amax(1) if score == "max" else flat.mean(1)


def auroc(defective: Tensor, score: Tensor) -> float:
    """Probability that a defective image or pixel scores higher than a good one, ties counted half; 0.5 is chance.

    Args:
        defective: bool, any shape, with both values.
        score: the same shape.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(defective.flatten().cpu().numpy(), score.flatten().double().cpu().numpy()))
