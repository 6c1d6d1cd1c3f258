"""Students that are too narrow for their teacher: where they end, and that nothing but theory says so."""

from itertools import pairwise
from math import log2, pi

import numpy as np
import pytest
import torch

from tsd.engine.rng import Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.studies import copy_average


def seed(number):
    return Streams({"init": number})


def ends(count, **values):
    """Metrics of `count` students that differ in their starts."""
    outcomes = run_pack(copy_average, [copy_average.Trial.of(values)] * count, list(map(seed, range(count))), None)
    assert {o.state for o in outcomes} == {"done"}
    return [o.measured.metrics for o in outcomes]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_students_up_to_half_the_teachers_width_copy_and_average(n):
    """Accepted within 1e-4 of L*(k − n + 1) for k = 10 (arXiv:2311.01644)."""
    for metrics in ends(6, teacher_width=10, student_width=n):
        assert metrics["loss"] == pytest.approx(copy_average.one_neuron_optimum(10 - n + 1).loss, abs=1e-9)
        assert metrics["outcome"] == "copy_average" and metrics["copies"] == n - 1
        assert metrics["converged"] == 1 and metrics["curvature"] > 0


def test_narrow_students_of_fifty_neurons_copy_and_average_to_the_last_digits():
    for metrics in ends(2, teacher_width=50, student_width=3):
        assert metrics["loss"] == pytest.approx(metrics["loss_copy_average"], abs=1e-12)
        assert (metrics["outcome"], metrics["copies"], metrics["converged"]) == ("copy_average", 2, 1)


def test_wide_students_of_sixteen_neurons_perturb_their_copies_to_the_last_digits():
    for metrics in ends(2, teacher_width=16, student_width=14):
        assert metrics["loss"] == pytest.approx(metrics["loss_perturbed_copy"], abs=1e-12)
        assert (metrics["outcome"], metrics["copies"], metrics["converged"]) == ("perturbed_copy", 14, 1)


def test_students_close_in_on_the_wide_teacher_as_one_over_its_width_squared():
    """The loss per averaged neuron of a trained student is 1/3 − 1/π − 1/(24πk²) + O(k⁻⁴)."""
    widths = np.array([8, 16, 32, 64])
    losses = np.array([ends(1, teacher_width=int(k), student_width=1)[0]["loss"] for k in widths])
    gaps = 1 / 3 - 1 / pi - losses / widths
    np.testing.assert_allclose(gaps * widths**2 * 24 * pi, 1, rtol=2e-3)
    assert np.polyfit(np.log(widths), np.log(gaps), 1)[0] == pytest.approx(-2, abs=1e-3)


def test_students_nearly_as_wide_as_their_teacher_end_below_copy_average():
    for metrics in ends(6, teacher_width=10, student_width=9):
        assert metrics["excess_loss"] < -1e-3
        assert (metrics["outcome"], metrics["copies"]) == ("perturbed_copy", 9)


def test_wider_teachers_switch_between_half_and_nine_tenths_of_their_width():
    assert {m["outcome"] for m in ends(2, teacher_width=20, student_width=10)} == {"copy_average"}
    assert {m["outcome"] for m in ends(2, teacher_width=20, student_width=17)} == {"perturbed_copy"}


def test_a_student_as_wide_as_its_teacher_can_end_at_no_loss():
    assert min(m["loss"] for m in ends(4, teacher_width=4, student_width=4)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "best"), [(2, 1.1203), (3, 0.5864), (4, 0.3023), (5, 0.1229)])
def test_relu_students_find_the_symmetric_optima(n, best):
    """Least losses of independent runs for k = 6 by an explicit flow and L-BFGS, to four digits."""
    found = ends(6, teacher_width=6, student_width=n, activation="relu")
    assert min(m["loss"] for m in found) == pytest.approx(best, abs=5e-5)
    assert min(m["loss_copy_average"] for m in found) >= best - 5e-5


def test_a_lone_relu_neuron_dies_where_it_starts_negative_with_more_weight_outside():
    """Gradient flow conserves a² − |w|²: a negative a gets through zero before w does only if |w| is the larger."""
    values = {"teacher_width": 6, "student_width": 1, "activation": "relu", "step_limit": 200}
    trial = copy_average.Trial.of(values)
    starts = [copy_average.glorot(trial, seed(i)) for i in range(8)]
    dying = [float(y[0]) < 0 and float(y[0]) ** 2 > float(y[1:].square().sum()) for y in starts]
    losses = [m["loss"] for m in ends(8, **values)]
    best, silent = copy_average.one_neuron_optimum(6, "relu").loss, 6 / 2 + 6 * 5 / (2 * pi)
    assert losses == pytest.approx([silent if dead else best for dead in dying], abs=1e-6)
    assert {True, False} == set(dying)


def test_an_ignored_input_direction_is_given_up():
    """The start reads it; the end, at the same point as without, has nothing on it."""
    for ignored in (0, 3):
        (metrics,) = ends(1, teacher_width=5, student_width=2, ignored_inputs=ignored)
        assert metrics["loss"] == pytest.approx(metrics["loss_copy_average"], abs=1e-9)


def test_a_pack_of_many_widths_gives_each_student_what_it_gets_alone():
    trials = [copy_average.Trial.of({"teacher_width": k, "student_width": n}) for k, n in ((4, 2), (3, 1), (4, 2))]
    together = run_pack(copy_average, trials, list(map(seed, range(3))), None)
    alone = [run_pack(copy_average, [t], [seed(i)], None)[0] for i, t in enumerate(trials)]
    assert [repr(o) for o in together] == [repr(o) for o in alone]


def test_the_curves_belong_to_the_end():
    trial = copy_average.Trial.of({"teacher_width": 6, "student_width": 3, "flow_time": 300})
    (outcome,) = run_pack(copy_average, [trial], [seed(1)], None)
    curves = {c.metric: c for c in outcome.measured.curves}
    losses = curves["loss"].values
    assert list(curves["loss"].steps) == [0, *(2**i for i in range(int(log2(300)) + 1)), 300]
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert outcome.measured.metrics["loss"] <= losses[-1]
    assert curves["copies"].values[-1] == outcome.measured.metrics["copies"] == 2
    torch.testing.assert_close(curves["outgoing_weight"].values, [1.0, 1.0, 4.0])
    torch.testing.assert_close(curves["incoming_norm"].values, [1.0, 1.0, 7**-0.5])
    torch.testing.assert_close(curves["teacher_cosine"].values, [1.0, 1.0, 0.5])


def test_the_picture_of_a_student_is_that_of_theory():
    """Copies stand on the diagonal; the averager has equal cosines, 1/√(k − n + 1), with all that nobody copies."""
    trial = copy_average.Trial.of({"teacher_width": 6, "student_width": 3, "flow_time": 300})
    (outcome,) = run_pack(copy_average, [trial], [seed(1)], None)
    cosine = next(c for c in outcome.measured.curves if c.metric == "cosine")
    expected = np.zeros((3, 6))
    expected[0, 0] = expected[1, 1] = 1
    expected[2, 2:] = 1 / 2
    np.testing.assert_allclose(np.reshape(cosine.values, (3, 6)), expected, atol=1e-9)


def test_the_course_of_a_student_of_two_neurons_ends_at_the_copy_and_the_average():
    """n = 2, k = 3: a copy, and an average of two of norm 1/√3, weight 2 and cosine 1/√2 with either."""
    trial = copy_average.Trial.of({"teacher_width": 3, "student_width": 2})
    (outcome,) = run_pack(copy_average, [trial], [seed(0)], None)
    last = {c.metric: c.values[-1] for c in outcome.measured.curves if c.metric.startswith(("leading", "trailing"))}
    names = ("leading_cosine", "leading_norm", "leading_weight", "trailing_cosine", "trailing_norm", "trailing_weight")
    assert [last[name] for name in names] == pytest.approx([1, 1, 1, 2**-0.5, 3**-0.5, 2], abs=1e-3)


def test_a_student_that_has_no_time_says_so():
    (metrics,) = ends(1, teacher_width=6, student_width=3, flow_time=1, step_limit=3)
    assert metrics["converged"] == 0 and metrics["grad_norm"] > 1e-10 and metrics["outcome"] == "other"


def test_starts_have_the_variances_of_glorot():
    trial = copy_average.Trial.of({"teacher_width": 40, "student_width": 59, "init_scale": 3.0})
    y = torch.stack([copy_average.glorot(trial, seed(i)) for i in range(40)]) / 3
    assert float(y[:, :59].var()) == pytest.approx(2 / 60, rel=0.1)
    assert float(y[:, 59:].var()) == pytest.approx(2 / (41 + 59), rel=0.02)


def test_outcomes_need_the_loss_of_a_point():
    assert copy_average.outcome(0.5, 0.5, 0.6, 1e-4) == "copy_average"
    assert copy_average.outcome(0.6, 0.5, 0.6, 1e-4) == "perturbed_copy"
    assert copy_average.outcome(0.55, 0.5, 0.6, 1e-4) == "other"
    assert copy_average.outcome(0.5, 0.5 + 1e-14, 0.5, 1e-4) == "copy_average"


@pytest.mark.parametrize(("k", "n", "known"), [(10, 5, "copy_average"), (10, 6, "either"), (10, 9, "perturbed_copy")])
def test_a_run_knows_which_points_are_minima(k, n, known):
    """Perturbed copies are a saddle at k = 10, n = 5 and a minimum at 6; copy-average is a saddle at 9."""
    assert copy_average.minima(copy_average._theory(k, n, "erf")) == known


@pytest.mark.parametrize("n", [1, 4])
def test_students_end_where_theory_has_a_minimum(n):
    for metrics in ends(2, teacher_width=4, student_width=n):
        assert metrics["outcome"] == metrics["outcome_theory"] == "copy_average"


def test_a_student_wider_than_its_teacher_is_refused_in_words():
    with pytest.raises(UserError, match="student_width from 1 to teacher_width, here 3"):
        ends(1, teacher_width=3, student_width=4)
