"""A pack of trials → how each of them ended."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch

from tsd.engine.arithmetic import one_thread
from tsd.engine.checkpoint import Checkpoint, Keep
from tsd.engine.fit import Fit, fit
from tsd.engine.rng import Streams
from tsd.engine.stack import placed
from tsd.studies._base import Measured, Outcome, Shelf, Start


def run_pack(
    study: ModuleType,
    trials: Sequence[Any],
    seeds: Sequence[Streams],
    shelf: Shelf,
    device: str = "cpu",
    *,
    keep: Keep | None = None,
) -> list[Outcome]:
    """Compute every trial of a pack. On one CPU thread an outcome has the same bits whatever else is in the pack.

    Args:
        study: a file of `tsd.studies`.
        trials: instances of its `Trial` that agree in their Static fields.
        seeds: the random streams of each trial.
        shelf: where trials find their artefacts.
        device: cpu, cuda, …
        keep: where long work is kept now and then, and goes on from; the bits are those of work in one go.
    Returns:
        One outcome a trial, in the order given: done or diverged.
    Raises:
        Exception: whatever the study raises; the whole pack is lost with it.
    """
    with one_thread():
        if hasattr(study, "simulate"):
            return list(study.simulate(trials, seeds, Checkpoint(keep)))
        return _gradient_pack(study, trials, seeds, shelf, device, keep)


def _gradient_pack(  # noqa: PLR0917
    study: ModuleType, trials: Sequence[Any], seeds: Sequence[Streams], shelf: Shelf, device: str, keep: Keep | None
) -> list[Outcome]:
    drawn = [study.start(trial, streams, shelf) for trial, streams in zip(trials, seeds, strict=True)]
    starts = placed(drawn, torch.device(device), getattr(torch, trials[0].dtype))
    fits = fit(
        starts,
        trials,
        seeds,
        study.phases(trials[0]) if hasattr(study, "phases") else study.loss,
        penalties=getattr(study, "penalties", None),
        group_penalties=getattr(study, "group_penalties", None),
        trace=getattr(study, "trace", None),
        device=device,
        keep=keep,
        filled=True,
    )
    with torch.no_grad():
        return [_outcome(study, *each) for each in zip(fits, starts, trials, strict=True)]


def _outcome(study: ModuleType, fitted: Fit, start: Start, trial: Any) -> Outcome:
    """What is measured of one student; one that diverged keeps its curves so far and has no metrics."""
    if fitted.diverged:
        return Outcome("diverged", Measured({}, fitted.curves), way=fitted.way)
    measured = study.measure(fitted.fitted, start.held, trial)
    concluded = study.conclude(fitted.curves) if hasattr(study, "conclude") else {}
    metrics = {**measured.metrics, **concluded}
    return Outcome("done", Measured(metrics, [*fitted.curves, *measured.curves]), way=fitted.way)
