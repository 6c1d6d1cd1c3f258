"""Short trials end to end: Ray Tune with one trial each, and this project: `python -m benchmarks throughput`.

The trial: a student 100 → 10 → 1 with tanh, 300 steps of plain SGD, batch 256, on 2,560 Gaussian inputs labelled by a
teacher of its shape, and its error on 640 more. The peers train it as Ray's guide writes a function trainable,

    default   tune.Tuner(function).fit()
    tuned     the same with reuse_actors=True and without loggers

and this project as the sweep of `SWEEP`. Each runs in processes of its own, on as many workers as there are cores.
`trials/s` is net of starting: the difference between a run and a run of few trials. The default is slow, so it runs
fewer trials and its rate counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._clock import significant
from benchmarks._table import Table, arguments, report

INPUTS, HIDDEN, SAMPLES, HELD, BATCH, STEPS, LR = 100, 10, 2_560, 640, 256, 300, 0.05
TRIALS = {"default": (2, 12), "tuned": (20, 220), "tsd": (32, 2_032)}
"""Trials of a short run and of a long one."""
SWEEP = f"""\
name: throughput
study: spectral
fixed:
  layer: direct
  eigenvector_l2: 0
  activation: tanh
  input_dim: {INPUTS}
  teacher_width: {HIDDEN}
  student_width: {HIDDEN}
  second_width: 1
  samples: {SAMPLES + HELD}
  test_samples: {HELD}
  optimizer: sgd
  lr: {LR}
  batch_size: {BATCH}
  steps: {STEPS}
  curve_points: 0
seeds: SEEDS
"""


def main(words: Sequence[str]) -> int:
    """Print the table, or be one of the contenders."""
    parser = arguments(__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the trials that are run")
    parser.add_argument("--be", nargs=3, metavar=("CONTENDER", "DATA", "TRIALS"), help="run as one of them")
    asked = parser.parse_args(words)
    if asked.be:
        contender, data, trials = asked.be
        with TemporaryDirectory() as folder:
            contend(contender, data, int(trials), Path(folder))
        return 0
    report("throughput", [table(asked.share)], asked.json)
    return 0


def table(share: float) -> Table:
    """All contenders, with own and with shared data."""
    rows = []
    for data in ("own", "shared"):
        found = {name: _rate(name, data, share) for name in TRIALS}
        for name, (trials, seconds, rate) in found.items():
            row = [name, data, trials, significant(seconds, 3), significant(rate), significant(trials / seconds)]
            rows.append([*row, significant(found["tsd"][2] / rate)])
    columns = ("contender", "data", "trials", "seconds", "trials/s", "trials/s with start", "tsd is faster")
    return Table(f"{STEPS} steps, H = {HIDDEN}, batch {BATCH}, {os.cpu_count()} workers", columns, rows)


def _rate(contender: str, data: str, share: float) -> tuple[int, float, float]:
    """Trials of the long run, its seconds, and trials a second net of starting."""
    few, many = TRIALS[contender]
    many = max(few + 2, round(many * share))
    short, long = (_seconds(contender, data, trials) for trials in (few, many))
    return many, long, (many - few) / max(long - short, 1e-9)


def _seconds(contender: str, data: str, trials: int) -> float:
    """Wall time of a run in a process of its own, everything included."""
    words = [sys.executable, "-m", "benchmarks", "throughput", "--be", contender, data, str(trials)]
    quiet = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"} if contender == "tuned" else {}
    started = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True, env=os.environ | quiet)
    return time.perf_counter() - started


def contend(contender: str, data: str, trials: int, folder: Path) -> None:
    """Run so many trials as `contender`; everything that is written goes to `folder`."""
    if contender != "tsd":
        _tune(data == "shared", trials, folder, reuse=contender == "tuned")
        return
    from tsd.sweep.__main__ import main as sweep

    file = folder / "throughput.yaml"
    file.write_text(SWEEP.replace("SEEDS", f"{{init: {trials}}}" if data == "shared" else str(trials)))
    assert sweep([str(file), "--results", str(folder / "results")]) == 0


def _tune(shared: bool, trials: int, folder: Path, *, reuse: bool) -> None:
    import ray
    from ray import tune

    ray.init(include_dashboard=False, log_to_driver=False)
    function = tune.with_parameters(train, data=draw(0)) if shared else train
    results = tune.Tuner(
        function,
        param_space={"seed": tune.grid_search(list(range(trials))), "lr": LR},
        tune_config=tune.TuneConfig(reuse_actors=reuse),
        run_config=tune.RunConfig(storage_path=str(folder)),
    ).fit()
    assert len(results) == trials and not results.errors
    ray.shutdown()


def draw(seed: int) -> dict[str, Any]:
    """Gaussian inputs and a teacher's labels: to learn from, and held back."""
    import torch

    torch.manual_seed(seed)
    x = torch.randn(SAMPLES + 2 * HELD, INPUTS)
    with torch.no_grad():
        y = student()(x)
    return {"x": x[:SAMPLES], "y": y[:SAMPLES], "test_x": x[-HELD:], "test_y": y[-HELD:]}


def student() -> Any:
    """The network."""
    from torch import nn

    layers = nn.Linear(INPUTS, HIDDEN, bias=False), nn.Tanh(), nn.Linear(HIDDEN, 1, bias=False), nn.Tanh()
    return nn.Sequential(*layers, nn.Flatten(0))


def train(config: dict[str, Any], data: dict[str, Any] | None = None) -> None:
    """A function trainable, as Ray's guide writes one. Batches are taken by index; a DataLoader is slower."""
    from ray import tune

    tune.report({"test_mse": trained(config, data)})


def trained(config: dict[str, Any], data: dict[str, Any] | None = None) -> float:
    """Error of a student after its training."""
    import torch
    from torch import nn

    data = data or draw(config["seed"])
    torch.manual_seed(config["seed"])
    network, loss = student(), nn.MSELoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=config["lr"])
    per_epoch = SAMPLES // BATCH
    for step in range(STEPS):
        if step % per_epoch == 0:
            order = torch.randperm(SAMPLES)
        rows = order[step % per_epoch * BATCH :][:BATCH]
        optimizer.zero_grad()
        loss(network(data["x"][rows]), data["y"][rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return float(loss(network(data["test_x"]), data["test_y"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
