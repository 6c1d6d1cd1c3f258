"""Made-up results folders, written by the store itself: numbers of fixed seeds, a few trials lost on purpose."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tsd.store import Store, schema

STARTED = datetime(2026, 3, 14, 9, tzinfo=UTC)
Trial = dict[str, Any]
Point = tuple[int, str, int, float]
"""A point of a curve: row of the trial, metric, step, value."""


def write(
    folder: Path,
    trials: Sequence[Trial],
    *,
    parameters: dict[str, str],
    metrics: dict[str, str],
    curves: Iterable[Point] = (),
    steps: dict[str, str] | None = None,
    axes: dict[str, list[Any]] | None = None,
) -> Path:
    """A results folder. `parameters` and `metrics` give a column its unit, `steps` a curve the name of its step."""
    store = Store(folder)
    store.prepare({"study": "made_up", "name": folder.name, "axes": axes or {}}, provenance={})
    columns = [{name: _info(name, unit, trials) for name, unit in units.items()} for units in (parameters, metrics)]
    told = {name: schema.CurveInfo("target²", "", step) for name, step in (steps or {}).items()}
    layout = schema.trial_schema(*columns, told)
    rows = pa.Table.from_pylist([_record(i) | t for i, t in enumerate(trials)], schema=layout)
    points = [{"trial_id": _id(i), "metric": m, "step": s, "value": v} for i, m, s, v in curves]
    store.write_part("pack", rows, pa.Table.from_pylist(points, schema=schema.CURVES))
    return folder


def plane(folder: Path, xs: Sequence[Any], ys: Sequence[Any], seeds: int = 4, panels: Sequence[str] = ("a",)) -> Path:
    """`test_mse` over width × second axis. One cell has no trial, one diverged, one failed, one lost a seed."""
    rng, trials = np.random.default_rng(0), []
    for (i, x), (j, y), panel, seed in product(enumerate(xs), enumerate(ys), panels, range(seeds)):
        trial = {"student_width": x, "second": y, "panel": panel, "lr": 1e-3, "seed_init": seed}
        power = 1.5 * (j + 1) / len(ys) - 3 * (i + 0.5) / len(xs) - 0.3 * (panel == "b") + 0.05 * rng.normal()
        state = "done"
        if (i, j) == (0, 0) or (i, j, seed) == (0, 2, 1):
            state = "diverged"
        elif (i, j) == (len(xs) - 1, len(ys) - 1):
            state = "failed"
        if (i, j) != (1, 0):
            trials.append(trial | {"state": state, "test_mse": float(10**power) if state == "done" else None})
    return write(
        folder,
        trials,
        parameters={"student_width": "nodes", "second": "", "panel": "", "lr": ""},
        metrics={"test_mse": "target²"},
        axes={"student_width": list(xs), "second": list(ys), "panel": list(panels)},
    )


def spectral(folder: Path, seeds: int = 3, widths: Sequence[int] = (20, 40, 60, 100)) -> Path:
    """Curves `mse_keep`, as long as the student is wide, and `alive_nodes`, which is a metric too, over updates."""
    rng, trials, curves = np.random.default_rng(1), [], []
    for layer, width, seed in product(("spectral", "direct"), widths, range(seeds)):
        i, noise = len(trials), float(0.05 * rng.normal())
        alive = width if layer == "direct" or width == 20 else 20 + int(rng.integers(0, 4))
        trial = {"layer": layer, "student_width": width, "seed_init": seed, "test_mse": 1e-3}
        if (layer, width, seed) == ("direct", 100, 0):
            trials.append(trial | {"state": "diverged", "alive_nodes": None})
            continue
        trials.append(trial | {"alive_nodes": alive})
        full = 20 if layer == "spectral" else width
        curves += [(i, "mse_keep", n, float(1e-3 + 10 ** (noise - 3 * n / full))) for n in range(1, width + 1)]
        decay = [(s, float(np.exp(-s / 400))) for s in range(0, 2001, 100)]
        curves += [(i, "alive_nodes", s, alive + (width - alive) * share * (1 + noise)) for s, share in decay]
    return write(
        folder,
        trials,
        parameters={"layer": "", "student_width": "nodes"},
        metrics={"test_mse": "target²", "alive_nodes": "nodes"},
        curves=curves,
        steps={"mse_keep": "nodes_kept", "alive_nodes": "step"},
        axes={"layer": ["spectral", "direct"], "student_width": list(widths)},
    )


def two_lengths(folder: Path, lost: Sequence[tuple[int, int]] = ()) -> Path:
    """Curves `k`: −n at width 4 and 100 − n at width 8, as long as the width; in layer `deep` width 8 alone.

    `lost` are pairs of width and seed of layer `flat` that diverged.
    """
    trials, curves = [], []
    for (layer, width), seed in product((("flat", 4), ("flat", 8), ("deep", 8)), range(2)):
        state = "diverged" if layer == "flat" and (width, seed) in lost else "done"
        if state == "done":
            curves += [(len(trials), "k", n, 100.0 * (width == 8) - n + 0.01 * seed) for n in range(1, width + 1)]
        trials.append({"layer": layer, "student_width": width, "seed_init": seed, "state": state})
    parameters = {"layer": "", "student_width": "nodes"}
    return write(folder, trials, parameters=parameters, metrics={}, curves=curves, steps={"k": "kept"})


def few_samples(folder: Path, seeds: int = 4, samples: Sequence[int] = (10, 50)) -> Path:
    """`kd` beats `none` on every seed; `at` is `kd` but for noise, and one of its trials diverged."""
    rng, trials = np.random.default_rng(2), []
    for per_class, seed in product(samples, range(seeds)):
        level = float(0.7 + 0.04 * np.log(per_class / 10) + 0.03 * rng.normal())
        for method, gain in (("none", 0.0), ("kd", 0.04), ("at", 0.041)):
            trial = {"method": method, "samples_per_class": per_class, "seed_init": seed, "seed_data": seed}
            lost = (method, per_class, seed) == ("at", samples[0], 0)
            accuracy = None if lost else level + gain + 0.004 * float(rng.normal())
            trials.append(
                trial | {"state": "diverged" if lost else "done", "test_accuracy": accuracy, "nll": 1 - level}
            )
    return write(
        folder,
        trials,
        parameters={"method": "", "samples_per_class": "samples"},
        metrics={"test_accuracy": "fraction", "nll": "nats"},
        axes={"method": ["none", "kd", "at"], "samples_per_class": list(samples)},
    )


def _id(i: int) -> str:
    return f"{i:032x}"


def _record(i: int) -> Trial:
    records = {"study": "made_up", "study_version": 1, "kind": "experiment", "state": "done", "origin": "grid"}
    seeds = dict.fromkeys(("seed_teacher", "seed_data", "seed_init", "seed_noise"), 0)
    run = {"pack_id": "pack", "wall_s": 1.0, "device": "cpu", "tsd_version": "0.1.0", "host": "here"}
    when = {"started_at": STARTED + timedelta(minutes=i), "git_sha": "0123456789abcdef0123456789abcdef01234567"}
    return {"trial_id": _id(i)} | records | seeds | run | when


def _info(name: str, unit: str, trials: Sequence[Trial]) -> schema.ColumnInfo:
    kinds = {type(trial[name]).__name__ for trial in trials if trial.get(name) is not None}
    return schema.ColumnInfo("float" if "float" in kinds or not kinds else kinds.pop(), unit)
