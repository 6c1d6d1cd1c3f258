"""How good a classifier is: accuracy, agreement with another one, negative log-likelihood, calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tsd.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.studies._base import Fitted

CHUNK = 200
"""Samples of one forward pass: activations of a small network then stay in a processor's cache."""

BINS = 15


def predict(student: Fitted, x: Tensor, *, batch_statistics: bool = False) -> Tensor:
    """Logits of `student` in evaluation mode, shape (sample, class); with `batch_statistics`, batch norm uses those of
    each 200 samples instead of those it was trained with."""
    kind = next(iter(student.params.values()))
    with torch.no_grad():
        parts = [
            student.model.forward(student.params, student.buffers, chunk.to(kind), train=batch_statistics).output
            for chunk in x.split(CHUNK)
        ]
    return torch.cat(parts)


def recalibrated(student: Fitted, x: Tensor) -> Fitted:
    """The student with the statistics of batch norm gathered anew on the inputs `x`: one pass, no labels, no step."""
    kind = next(iter(student.params.values()))
    buffers = student.buffers
    with torch.no_grad():
        for chunk in x.split(CHUNK):
            buffers = student.model.forward(student.params, buffers, chunk.to(kind), train=True).buffers
    return replace(student, buffers=buffers)


def accuracy(logits: Tensor, label: Tensor) -> float:
    """Share of samples whose largest logit is the label's, in percent."""
    return 100 * int((logits.argmax(1) == label).sum()) / len(label)


def agreement(logits: Tensor, other: Tensor) -> float:
    """Share of samples on which two classifiers give the same class, in percent."""
    return accuracy(logits, other.argmax(1))


def divergence(logits: Tensor, other: Tensor) -> float:
    """KL(other ‖ own) between the answers of two classifiers at temperature 1, mean over samples, in nats."""
    own, wanted = (torch.log_softmax(each.double(), dim=1) for each in (logits, other))
    return (wanted.exp() * (wanted - own)).sum(1).mean().item()


def nll(logits: Tensor, label: Tensor) -> float:
    """Negative log-likelihood of the labels, mean over samples, in nats."""
    return torch.nn.functional.cross_entropy(logits.double(), label).item()


def calibration_error(logits: Tensor, label: Tensor) -> float:
    """Expected calibration error: |accuracy − confidence| averaged over bins of confidence, weighted by their samples.

    Confidence is the largest probability; 15 bins of equal width. Guo et al. 2017, arXiv:1706.04599, eq. 3.
    Returns:
        A fraction between 0 and 1.
    """
    confidence, guess = logits.double().softmax(1).max(1)
    surplus = (guess == label).double() - confidence
    # A bin is open below: (0, 1/15], (1/15, 2/15], …
    index = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    return (surplus.new_zeros(BINS).index_add(0, index, surplus).abs().sum() / len(label)).item()
