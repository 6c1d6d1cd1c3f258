"""What methods tell of themselves: the units that agree after `ab`, and what a teacher says of noise."""

import numpy as np
import pytest
import torch
from shelves import MemoryShelf

from tsd.engine.fit import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.methods.ab import sign_agreement
from tsd.methods.noise import class_shares, entropy
from tsd.studies import distill
from tsd.studies._base import Fitted
from tsd.studies._distill_report import SAMPLES, report

SHELF = MemoryShelf()
SEEDS = Streams(dict.fromkeys(STREAMS, 0))


def trial(method, **changed):
    size = {"teacher": "cnn", "teacher_width": 8, "teacher_depth": 2, "teacher_epochs": 3}
    size |= {"student": "cnn", "student_width": 4, "student_depth": 2, "curve_points": 0}
    return distill.Trial.of(distill.EXAMPLE | size | {"method": method} | changed)


def metrics(one, seeds=SEEDS):
    [outcome] = run_pack(distill, [one], [seeds], SHELF)
    return outcome.measured.metrics, {curve.metric: curve for curve in outcome.measured.curves}


def test_the_entropy_is_that_of_numpy_and_certainty_has_none():
    p = np.random.default_rng(0).dirichlet(np.ones(5), size=7)
    assert np.allclose(entropy(torch.tensor(p)), -(p * np.log(p)).sum(1))
    assert entropy(torch.tensor([0.0, 1.0, 0.0])).item() == 0
    assert entropy(torch.full((10,), 0.1)).item() == pytest.approx(np.log(10), rel=1e-6)


def test_shares_count_the_largest_logits():
    logits = torch.tensor([[3.0, 1, 0, 0], [0, 1, 2, 0], [5, 0, 0, 0], [0, 0, 1, 0]])
    assert class_shares(logits).tolist() == [0.5, 0, 0.5, 0]


def test_units_agree_more_after_ab_and_as_often_as_counted_by_hand():
    one = trial("ab", samples_per_class=50, steps=200, batch_size=50, ab_share=0.9)
    start = distill.start(one, SEEDS, SHELF)
    told, _ = metrics(one)
    before = report(Fitted(start.model, start.params, start.buffers), start.held, one)
    assert told["sign_agreement"] > 70 > before.metrics["sign_agreement"] + 5
    [run] = fit([start], [one], [SEEDS], distill.phases(one))
    x = start.train["x"][:SAMPLES]
    view = run.fitted.model.forward(run.fitted.params, run.fitted.buffers, x)
    shares = []
    for number, point in enumerate(("norm1", "norm2")):
        own = view.adapt(f"connector{number}", view.features[point])
        shares.append(sign_agreement(own, start.train[f"feature.{point}"][:SAMPLES]).item())
    assert told["sign_agreement"] == pytest.approx(100 * np.mean(shares), abs=0.1)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_what_the_teacher_says_of_noise_is_told_and_is_no_matter_of_the_student(statistics):
    told, curves = metrics(trial("noise", noise_statistics=statistics))
    other, _ = metrics(trial("noise", noise_statistics=statistics, student_width=2, lr=0.1), SEEDS)
    shares = curves["noise_classes"].values
    assert sum(shares) == pytest.approx(100)
    assert list(curves["noise_classes"].steps) == list(range(10))
    p = np.array(shares)[np.array(shares) > 0] / 100
    assert told["noise_class_entropy"] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-6)
    assert 0 < told["noise_entropy"] < np.log(10)
    assert told["noise_entropy"] == other["noise_entropy"]


def test_the_teachers_statistics_are_those_that_were_asked_for():
    batch, running = (metrics(trial("noise", noise_statistics=kind))[0] for kind in ("batch", "running"))
    assert batch["noise_entropy"] != running["noise_entropy"]


@pytest.mark.parametrize(("method", "there"), [("kd", False), ("kd+ab", True)])
def test_a_sum_reports_what_its_members_do(method, there):
    assert ("sign_agreement" in metrics(trial(method))[0]) is there
