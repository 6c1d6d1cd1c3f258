"""Does a student that is wider than its teacher learn it better? Both are y = Σ v_i tanh(w_i·x + b_i) + c.

A whole study to begin with: copied to `tsd/studies/NAME.py` it runs as `study: NAME`. The teacher is drawn at random;
the student sees `samples` Gaussian inputs with its labels and descends the mean squared error.
Saad and Solla 1995, Phys. Rev. E 52, 4225.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tsd.fields import Static, field
from tsd.lazy import torch
from tsd.studies._base import Fitted, GradientStudy, MeanSquare, Measured, Metric, Start

if TYPE_CHECKING:
    from torch import Tensor

    from tsd.engine.rng import Streams
    from tsd.models.mlp import MLP
    from tsd.studies._base import Shelf

VERSION = 1
TEST_SAMPLES = 1_000


class Trial(GradientStudy):
    """One student of one random teacher."""

    teacher_width: Static[int] = field(4, ge=1, unit="nodes", doc="Hidden nodes of the teacher.")
    student_width: Static[int] = field(8, ge=1, unit="nodes", doc="Hidden nodes of the student.")
    input_dim: Static[int] = field(10, ge=1, doc="Length of an input.")
    samples: Static[int] = field(1_000, ge=1, unit="samples", doc="Training set.")


METRICS = (Metric("test_mse", "target²", "Mean squared error on fresh inputs."),)

EXAMPLE = {"student_width": 3, "input_dim": 4, "samples": 40, "batch_size": 20, "epochs": 5}

loss = MeanSquare("y")


def start(trial: Trial, streams: Streams, shelf: Shelf) -> Start:
    """A random teacher's labels of Gaussian inputs, and an untrained student."""
    teacher, student = _network(trial, trial.teacher_width), _network(trial, trial.student_width)
    weights, _ = teacher.init(lambda purpose: streams.generator("teacher", purpose))
    params, buffers = student.init(lambda purpose: streams.generator("init", purpose))

    def drawn(purpose: str, count: int) -> dict[str, Tensor]:
        x = torch.from_numpy(streams.generator("data", purpose).standard_normal((count, trial.input_dim))).float()
        return {"x": x, "y": teacher.forward(weights, {}, x).output}

    return Start(student, params, buffers, drawn("inputs", trial.samples), drawn("test inputs", TEST_SAMPLES))


def measure(student: Fitted, held: Mapping[str, Any], trial: Trial) -> Measured:
    """The error on fresh inputs."""
    output = student.model.forward(student.params, student.buffers, held["x"]).output
    return Measured({"test_mse": float((output - held["y"]).square().mean())})


def _network(trial: Trial, width: int) -> MLP:
    from tsd.models.mlp import MLP

    return MLP((trial.input_dim, width, 1), "tanh")
