"""Time left: it knows shapes apart, places packs on workers, and says how sure it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs_made_up import finish, tally

from tsd.sweep.left import EXACT, Measured, makespan
from tsd.sweep.waves import Pack


def test_it_is_unknown_before_anything_is_measured():
    assert tally()[0].remaining() is None


def test_it_knows_the_shapes_apart():
    """100 trials of 0.1 s in packs of 10 and 10 of 30 s, one each: after a pack of each, nine of each are left. One
    worker takes five of the long ones, the other the other four and then all that are short."""
    one, _ = tally()
    finish(one, 0, 0, 10, 1.0)
    finish(one, 10, 1, 1, 30.0)
    assert one.remaining().seconds == pytest.approx(5 * 30)


def test_earlier_rows_tell_it_from_the_start():
    one, _ = tally(((100, 10, 0.5), (10, 10, 4.0)))
    assert one.remaining().seconds == pytest.approx((100 * 0.5 + 10 * 4) / 2)


def test_a_machine_that_is_slower_than_the_earlier_one_is_noticed():
    one, _ = tally(((100, 10, 0.5), (10, 10, 4.0)))
    finish(one, 0, 0, 10, 10.0)
    assert one.remaining().seconds == pytest.approx((9 * 10 + 10 * 8) / 2, rel=0.1)


def test_the_pack_at_work_counts_for_what_is_left_of_it():
    one, clock = tally(((20, 2, None),), slots=1)
    finish(one, 0, 0, 10, 10.0)
    one.started(Pack(1, 0, 10, 10))
    clock.now += 4
    assert one.remaining().seconds == pytest.approx(6)


def test_a_finished_sweep_has_none_and_lost_trials_are_not_waited_for():
    one, _ = tally(((4, 2, None),))
    finish(one, 0, 0, 2, 3.0)
    one.started(Pack(1, 0, 2, 2))
    one.dropped(Pack(1, 0, 2, 2), "killed")
    assert one.remaining().seconds == 0


def test_the_interval_holds_the_estimate_and_closes_as_packs_are_measured():
    noise = np.random.default_rng(0)
    one, _ = tally(((1000, 100, None), (100, 100, None)), slots=1)
    widths = []
    for index in range(50):
        for shape, trials, mean in ((0, 10, 2.0), (1, 1, 20.0)):
            finish(one, 100 * shape + index, shape, trials, mean * noise.lognormal(0, 0.2))
        left = one.remaining()
        assert left.low <= left.seconds <= left.high
        widths.append((left.high - left.low) / left.seconds)
    assert widths[-1] < widths[4] < widths[0]


def test_workers_that_are_gone_are_not_counted_on():
    """Eight workers were planned, and for longer than a minute two are all there is."""
    one, clock = tally(((100, 100, None),), slots=8)
    for index in range(0, 40, 2):
        for k in (0, 1):
            one.started(Pack(index + k, 0, 0, 1))
        clock.now += 10
        for k in (0, 1):
            finish(one, index + k, 0, 1, 0.0)
    one.measured[0] = Measured().and_one(40, 400.0)
    assert one.remaining().seconds == pytest.approx(60 * 10 / 2)


def test_workers_whose_packs_vary_in_length_do_not_end_together():
    """Equal packs on ten workers end in step; uneven ones end one after the other over the time of a pack."""
    seconds = {}
    for name, spread in (("even", 0.0), ("uneven", 0.3)):
        one, _ = tally(((1000, 100, None),), slots=10)
        for index, factor in enumerate((1 - spread, 1.0, 1 + spread) * 10):
            finish(one, index, 0, 10, 10.0 * factor)
        one._busy.clear()
        one.first_pack = one.clock.now
        seconds[name] = one.remaining().seconds
    assert seconds["even"] == pytest.approx(7 * 10)
    assert seconds["uneven"] == pytest.approx(7 * 10 + 10 / 2 * (1 - 1 / 10))


@given(st.lists(st.floats(0.1, 10), max_size=4), st.lists(st.floats(0.1, 10), max_size=30), st.integers(4, 6))
def test_packs_are_placed_between_the_two_bounds_of_list_scheduling(running, waiting, places):
    """Never sooner than all work in equal shares or the longest pack, never later than one pack beyond the shares
    (Graham, 1966)."""
    total, longest = sum(running) + sum(waiting), max([*running, *waiting], default=0.0)
    taken = makespan(running, [(seconds, 1) for seconds in waiting], places)
    assert max(total / places, longest) <= taken + 1e-9
    assert taken <= total / places + longest * (1 - 1 / places) + 1e-9


def test_a_million_packs_take_as_long_as_their_work():
    assert makespan([], [(2.0, 10**6), (1.0, 10)], 100) == pytest.approx(20_000, abs=2)
    one_by_one = makespan([], [(3.0, EXACT)], 7)
    assert one_by_one == 3.0 * -(-EXACT // 7)


def test_a_spread_needs_three_packs_and_is_that_of_the_packs():
    seconds = [8.0, 10.0, 12.0]
    found = Measured()
    for each in seconds[:2]:
        found = found.and_one(5, each)
    assert found.spread is None
    assert found.and_one(5, seconds[2]).spread == pytest.approx(np.std(seconds, ddof=1) / np.mean(seconds))
