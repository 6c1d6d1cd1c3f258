"""Intervals and differences against SciPy, closed forms, and the coverage that they promise."""

import numpy as np
import pytest
from scipy import stats as reference

from analysis.statistics.intervals import (
    Interval,
    Sample,
    bootstrap_interval,
    half_width,
    holm,
    iqm_difference,
    iqm_interval,
    mean_interval,
    mean_p,
    welch_interval,
    welch_p,
)

RNG = np.random.default_rng(0)
A, B = RNG.normal(1.0, 2.0, 7), RNG.normal(0.0, 0.5, 5)


def test_mean_interval_is_students():
    low, high = reference.t.interval(0.9, len(A) - 1, loc=A.mean(), scale=reference.sem(A))
    found = mean_interval(Sample.of(A), level=0.9)
    assert (found.mean, found.low, found.high) == pytest.approx((A.mean(), low, high), rel=1e-9)


def test_two_repetitions_have_the_interval_of_a_cauchy():
    """For n = 2 the t quantile is that of a Cauchy: half = tan(0.475 π) |a − b| / 2."""
    assert mean_interval(Sample.of([1.0, 3.0])).half == pytest.approx(np.tan(0.475 * np.pi))


def test_a_spread_that_no_float_holds_has_no_interval():
    with np.errstate(over="ignore"):
        found = mean_interval(Sample.of([1e160, 2e160]))
    assert found.mean == 1.5e160 and np.isnan([found.low, found.high]).all()


def test_t_interval_covers_what_it_promises():
    draws = np.random.default_rng(1).normal(3.0, 2.0, (40_000, 4))
    half = half_width(4, draws.std(axis=1, ddof=1), level=0.95)
    covered = np.abs(draws.mean(axis=1) - 3.0) <= half
    assert covered.mean() == pytest.approx(0.95, abs=0.004)


def test_one_repetition_has_no_interval():
    found = mean_interval(Sample.of([3.0]))
    assert found.mean == 3.0
    assert np.isnan([found.low, found.high, found.half]).all()
    assert not found.excludes_zero()
    assert np.isnan(half_width([1, 0], [0.0, np.nan])).all()


def test_welch_interval_is_scipys():
    found = welch_interval(Sample.of(A), Sample.of(B), level=0.99)
    wanted = reference.ttest_ind(A, B, equal_var=False).confidence_interval(0.99)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9)


def test_welch_without_spread_is_exact():
    same = Sample(3, 2.0, 0.0)
    assert welch_interval(same, Sample(4, 1.5, 0.0)) == Interval(0.5, 0.5, 0.5)
    assert np.isnan(welch_interval(same, Sample.of([1.0])).low)


def test_interval_of_differences_is_the_paired_comparison():
    a, b = A[:5] + 10 * B, 10 * B
    found = mean_interval(Sample.of(a - b))
    wanted = reference.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9)


def test_pairing_removes_what_the_seeds_share():
    shared = np.random.default_rng(2).normal(0, 1, 10)
    a, b = shared + 0.1, shared + 0.01 * np.arange(10)
    paired, unpaired = mean_interval(Sample.of(a - b)), welch_interval(Sample.of(a), Sample.of(b))
    assert paired.mean == pytest.approx(unpaired.mean)
    assert paired.half < 0.1 * unpaired.half


def test_bootstrap_tends_to_students_interval_for_many_repetitions():
    many = np.random.default_rng(3).normal(0, 1, 400)
    assert bootstrap_interval(many).half == pytest.approx(mean_interval(Sample.of(many)).half, rel=0.05)


def test_bootstrap_leans_to_the_long_tail():
    skewed = np.random.default_rng(4).exponential(size=30)
    found = bootstrap_interval(skewed)
    assert found.high - found.mean > found.mean - found.low


def test_bootstrap_of_few_or_equal_values():
    assert np.isnan(bootstrap_interval([1.0]).low)
    assert bootstrap_interval([2.0, 2.0, 2.0]) == Interval(2.0, 2.0, 2.0)
    assert bootstrap_interval(A) == bootstrap_interval(A)
    tiny, found = bootstrap_interval(2.0**-700 * A), bootstrap_interval(A)
    assert (2.0**700 * tiny.low, 2.0**700 * tiny.high) == (found.low, found.high)


def test_p_values_are_scipys():
    assert mean_p(Sample.of(A)) == pytest.approx(reference.ttest_1samp(A, 0).pvalue)
    assert welch_p(Sample.of(A), Sample.of(B)) == pytest.approx(reference.ttest_ind(A, B, equal_var=False).pvalue)
    assert np.isnan(mean_p(Sample.of([1.0]))) and np.isnan(welch_p(Sample.of(A), Sample.of([1.0])))


def test_a_test_and_its_interval_agree():
    """p < 0.05 exactly where the 95 % interval excludes zero."""
    for seed in range(50):
        sample = Sample.of(np.random.default_rng(seed).normal(0.8, 1, 6))
        assert (mean_p(sample) < 0.05) == mean_interval(sample).excludes_zero()


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling; Bonferroni would give 0.16 for the last."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_inter_quartile_mean_forgets_the_outer_quarters():
    found = iqm_interval([-1000.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1000.0])
    assert found.mean == pytest.approx(3.5)
    assert np.isnan(iqm_interval([1.0]).low)


def test_a_p_of_few_inter_quartile_means_is_not_less_than_that_of_all_permutations():
    """Two of the 2³ signs of three differences are as extreme, and two of the 20 ways to part six values."""
    low, high = np.arange(3.0), np.arange(3.0) ** 2 + 10
    assert iqm_difference(high, low, paired=True)[1] == pytest.approx(2 / 2**3)
    assert iqm_difference(high, low, paired=False)[1] == pytest.approx(2 / 20)
    assert iqm_difference(np.arange(9.0) + 90, np.arange(9.0) ** 1.1, paired=True)[1] < 0.01


def test_the_inter_quartile_mean_of_many_normal_values_is_their_mean():
    many = np.random.default_rng(5).normal(2.0, 1.0, 400)
    found = iqm_interval(many)
    assert found.low < 2.0 < found.high
    assert found.half == pytest.approx(1.06 * mean_interval(Sample.of(many)).half, rel=0.15)
