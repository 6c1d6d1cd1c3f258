"""The simulated cluster keeps the bounds of list scheduling, and a driver that all wait for is seen."""

import json

import numpy as np
import pytest

from benchmarks import scale
from benchmarks.scale import lengths, ordered, shortest, simulated


def test_equal_packs_on_a_driver_that_takes_no_time_leave_nothing_idle():
    outcome = simulated(np.full(40, 3.0), 10, 0.0)
    assert outcome.efficiency == pytest.approx(1) and outcome.driver == 0 and outcome.stragglers_s == pytest.approx(0)


@pytest.mark.parametrize("kind", ["by time", "by count", "heavy tail"])
def test_the_end_lies_between_the_bounds_of_list_scheduling(kind):
    """At least equal shares and the longest pack, at most one longest pack beyond the shares (Graham, 1966)."""
    known, packs = lengths(kind, 60.0, 20, 0)
    for first in (True, False):
        outcome = simulated(ordered(known, packs, first), 20, 0.0)
        end, share = packs.sum() / (20 * outcome.efficiency), packs.sum() / 20
        assert max(share, packs.max()) <= end * (1 + 1e-9) and end <= share + packs.max() * (1 - 1 / 20) + 1e-6


def test_longest_first_leaves_fewer_stragglers_where_packs_differ_by_what_is_known():
    known, packs = lengths("by count", 60.0, 20, 0)
    first, any_order = (simulated(ordered(known, packs, longest), 20, 0.0) for longest in (True, False))
    assert first.stragglers_s < any_order.stragglers_s / 3


def test_a_driver_deals_with_one_pack_at_a_time():
    """Packs of no length take as long as the driver needs for them; at the length that is told, it is busy half the
    time."""
    assert simulated(np.full(500, 1e-9), 10, 0.02).driver == pytest.approx(1, abs=1e-6)
    packs = np.full(50 * 40, shortest(50, 0.02))
    assert simulated(packs, 50, 0.02).driver == pytest.approx(0.5, abs=0.02)


def test_a_wave_waits_for_the_one_before_it():
    """Two packs of 3 s and one of 5 s on two slots, two at a time: 5 s and then 3 s, in place of 6 s."""
    packs = np.array([5.0, 3.0, 3.0])
    assert simulated(packs, 2, 0.0).efficiency == pytest.approx(11 / (2 * 6))
    assert simulated(packs, 2, 0.0, 2).efficiency == pytest.approx(11 / (2 * 8))


def test_packs_have_the_length_and_the_work_that_were_asked_for():
    for kind in ("by time", "by count", "heavy tail"):
        known, packs = lengths(kind, 30.0, 50, 0)
        assert packs.mean() == pytest.approx(30, rel=0.05) and len(packs) == len(known) == 50 * 120


def test_a_sweep_is_dealt_out_whole_and_every_table_has_rows(capsys):
    found = scale.dealt(20_000)
    assert (found["trials"], found["packs"]) == (20_000, 1_000) and found["peak_mb"] >= found["before_mb"] > 0
    assert scale.main(["--slots", "20", "--trials", "2000", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert [len(table["rows"]) for table in tables] == [5, 6, 4, 3, 1]
