"""The formulas of asymmetric student–teacher against numbers worked out by hand and second implementations."""

import math

import pytest
import torch
from torch.distributions import Normal

from tsd.studies._anomaly_formulas import auroc, distance_map, flow_map, image_score, positional_encoding
from tsd.studies.anomaly import clamp, distance_loss, flow_loss

Z, LOG_DET = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)


def test_the_losses_of_one_pixel_worked_out_by_hand():
    """½ (1 + 4) − 0.3 = 2.2, and (1 + 4) / 2 = 2.5: the teacher sums over channels, the student averages."""
    assert flow_loss(Z, LOG_DET).item() == pytest.approx(2.2, abs=1e-12)
    assert distance_loss(Z, torch.zeros_like(Z)).item() == pytest.approx(2.5, abs=1e-12)


@pytest.mark.parametrize(("s", "expected"), [(1.9, 0.949075), (10.0, 1.671259), (0.0, 0.0), (-1.9, -0.949075)])
def test_the_clamp_worked_out_by_hand(s, expected):
    """1.9 · 0.636 · π/4, and 1.9 · 0.636 · arctan(10/1.9)."""
    assert clamp(torch.tensor(s, dtype=torch.float64), 1.9).item() == pytest.approx(expected, abs=1e-6)


def test_the_clamp_rises_and_stays_within_its_bound():
    s = torch.linspace(-1e4, 1e4, 10_001, dtype=torch.float64)
    assert (clamp(s, 1.9).diff() > 0).all()
    assert clamp(s, 1.9).abs().max() < 1.9


def test_the_flows_loss_is_the_likelihood_under_a_normal_prior():
    """−log p(x) = −log N(z) − log|det J|, and N's constant is left out."""
    z, log_det = torch.randn(3, 5, 4, 4, dtype=torch.float64), torch.randn(3, 4, 4, dtype=torch.float64)
    constant = 5 / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(flow_map(z, log_det), -Normal(0, 1).log_prob(z).sum(1) - log_det - constant)


def test_losses_average_their_maps_and_a_masked_pixel_counts_as_zero():
    z, other, log_det = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.randn(2, 4, 4)
    torch.testing.assert_close(flow_loss(z, log_det), flow_map(z, log_det).mean())
    mask = (torch.arange(4) < 2).float().expand(2, 4, 4)
    for loss, pixels in (
        (flow_loss(z, log_det, mask), flow_map(z, log_det)),
        (distance_loss(z, other, mask), distance_map(z, other)),
    ):
        torch.testing.assert_close(loss, pixels[..., :2].sum() / (2 * 4 * 4))


def test_every_place_has_a_code_of_its_own_and_of_one_length():
    code = positional_encoding(32, 6, 9)
    assert code.shape == (32, 6, 9)
    torch.testing.assert_close(code.square().sum(0), torch.full((6, 9), 16.0))
    places = code.flatten(1).T
    assert torch.cdist(places, places).fill_diagonal_(1).min() > 0.1


def test_rows_and_columns_have_channels_of_their_own():
    code = positional_encoding(8, 5, 7)
    assert code[:4].std(2).max() == 0 and code[4:].std(1).max() == 0
    assert positional_encoding(0, 5, 7).shape == (0, 5, 7)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    """Mann and Whitney's statistic: pairs of a defective and a good one, a tie counting half."""
    score, defective = torch.tensor([1.0, 2.0, 2.0, 3.0, 5.0, 0.0]), torch.tensor([0, 0, 1, 1, 0, 1]).bool()
    pairs = score[defective].unsqueeze(1) - score[~defective]
    assert auroc(defective, score) == pytest.approx(((pairs > 0).double() + (pairs == 0) / 2).mean().item())


def test_an_image_is_scored_by_its_worst_or_by_its_mean_pixel():
    pixels = torch.tensor([[[0.0, 1.0], [2.0, 5.0]]])
    assert image_score(pixels, "max").tolist() == [5] and image_score(pixels, "mean").tolist() == [2]
