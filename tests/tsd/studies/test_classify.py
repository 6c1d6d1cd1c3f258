"""Scores of a classifier against cases that can be counted by hand."""

import math

import pytest
import torch

from tsd.studies._base import Fitted
from tsd.studies._classify import CHUNK, accuracy, agreement, calibration_error, nll, predict


def logits_of(probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_accuracy_and_agreement_count_in_percent():
    logits = torch.eye(4)
    assert accuracy(logits, torch.tensor([0, 1, 2, 0])) == 75
    assert agreement(logits, 5 * logits) == 100
    assert agreement(logits, logits.roll(1, 0)) == 0


def test_nll_of_a_uniform_guess_is_the_log_of_the_number_of_classes():
    assert nll(torch.zeros(6, 10), torch.arange(6)) == pytest.approx(math.log(10), rel=1e-12)


def test_calibration_error_is_the_gap_in_each_bin_weighted_by_its_samples():
    """Two bins: confidence 0.8, 3 of 4 right; confidence 0.55, 0 of 2 right. (4 · 0.05 + 2 · 0.55) / 6."""
    logits = logits_of([[0.8, 0.2]] * 4 + [[0.45, 0.55]] * 2)
    label = torch.tensor([0, 0, 0, 1, 0, 0])
    assert calibration_error(logits, label) == pytest.approx((4 * 0.05 + 2 * 0.55) / 6, rel=1e-9)


def test_opposite_gaps_cancel_inside_a_bin_and_add_up_across_bins():
    inside = logits_of([[0.61, 0.39], [0.65, 0.35]])
    assert calibration_error(inside, torch.tensor([0, 1])) == pytest.approx(abs(1 - 0.61 - 0.65) / 2)
    across = logits_of([[0.61, 0.39], [0.85, 0.15]])
    assert calibration_error(across, torch.tensor([0, 1])) == pytest.approx((1 - 0.61 + 0.85) / 2)


def test_a_classifier_that_is_as_right_as_it_says_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    probability = torch.rand(200_000, 3, generator=generator, dtype=torch.float64).softmax(1)
    label = torch.multinomial(probability, 1, generator=generator).squeeze(1)
    assert calibration_error(probability.log(), label) < 0.01
    assert calibration_error(4 * probability.log(), label) > 0.1


@pytest.mark.parametrize(("logit", "right"), [(1e4, True), (0.0, True), (1e4, False)])
def test_the_outermost_confidences_have_a_bin(logit, right):
    """Confidence 1 lies in the last bin; confidence 1/2 of two classes in the middle one."""
    logits = torch.tensor([[logit, 0.0]])
    confidence = 1.0 if logit else 0.5
    assert calibration_error(logits, torch.tensor([0 if right else 1])) == pytest.approx(abs(right - confidence))


def test_predictions_do_not_depend_on_how_samples_are_cut_into_chunks():
    from tsd.engine.rng import Streams
    from tsd.models import cnn

    model = cnn.build(2, 0, "relu", (1, 4, 4), 3)
    fitted = Fitted(model, *model.init(lambda purpose: Streams({}).generator("init", purpose)))
    x = torch.randn(2 * CHUNK + 7, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    whole = model.forward(fitted.params, fitted.buffers, x).output
    assert torch.allclose(predict(fitted, x), whole, atol=1e-6)
    assert not predict(fitted, x.double()).requires_grad
