"""What a person reads while a sweep runs: counts that add up, and a time left that knows shapes apart."""

import re
from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from tsd.sweep.pack import Limits, Pack, Shape
from tsd.sweep.watch import Tally, Watch, headline, number, screen
from tsd.sweep.work import Report


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tally(shapes=((100, 10, None), (10, 10, None)), slots=2):
    shapes = tuple(Shape({"width": i}, *shape) for i, shape in enumerate(shapes))
    plan = SimpleNamespace(
        todo=sum(s.trials for s in shapes),
        packs=sum(s.packs for s in shapes),
        shapes=shapes,
        limits=Limits(slots),
        sweep=SimpleNamespace(name="example"),
    )
    clock = Clock()
    return Tally(plan, clock=clock), clock


def finish(one, index, shape, trials, seconds, **states):
    pack = Pack(index, shape, 0, trials)
    one.started(pack)
    one.finished(pack, Report(str(index), states or {"done": trials}, seconds, {}))


def test_counts_add_up_to_the_trials_asked_for():
    one, _ = tally()
    finish(one, 0, 0, 10, 5.0, done=7, diverged=2, failed=1)
    one.started(Pack(1, 0, 10, 10))
    one.started(Pack(2, 0, 20, 10))
    one.dropped(Pack(2, 0, 20, 10), "killed")
    line = headline(one)
    assert "10 / 110 trials" in line and "running 10" in line and "waiting 80" in line
    assert "diverged 2" in line and "failed 1" in line and "lost 10" in line


def test_time_left_is_unknown_before_anything_is_measured():
    assert tally()[0].remaining() is None


def test_time_left_knows_the_shapes_apart():
    """100 trials of 0.1 s and 10 of 30 s on two workers: after a pack of each, (9 + 270) / 2 seconds are left."""
    one, _ = tally()
    finish(one, 0, 0, 10, 1.0)
    finish(one, 10, 1, 1, 30.0)
    assert one.remaining() == pytest.approx((90 * 0.1 + 9 * 30) / 2)


def test_earlier_rows_tell_the_time_left_from_the_start():
    one, _ = tally(((100, 10, 0.5), (10, 10, 4.0)))
    assert one.remaining() == pytest.approx((100 * 0.5 + 10 * 4) / 2)


def test_a_finished_sweep_has_no_time_left():
    one, _ = tally(((4, 2, None),))
    finish(one, 0, 0, 2, 3.0)
    finish(one, 1, 0, 2, 3.0)
    assert one.remaining() == 0 and one.stored == 4


def test_a_pack_that_the_store_refuses_is_not_counted_and_its_reason_is_kept():
    one, _ = tally()
    pack = Pack(0, 0, 0, 10)
    one.started(pack)
    one.finished(pack, Report("", {}, 0.0, {}, "The disk is full."))
    assert one.stored == 0 and not one.running and one.refused == "The disk is full."


def test_the_rate_is_trials_a_minute():
    one, clock = tally()
    finish(one, 0, 0, 10, 1.0)
    clock.now = 30.0
    assert "20 trials/min" in headline(one)


def test_off_a_terminal_the_last_line_is_plain():
    one, _ = tally(((4, 2, None),))
    out = StringIO()
    with Watch(one, Console(file=out, width=60)):
        finish(one, 0, 0, 4, 3.0)
    assert out.getvalue().startswith("example   4 / 4 trials") and "\x1b" not in out.getvalue()


@pytest.mark.parametrize("width", [30, 60, 120, 200])
def test_the_live_view_fits_any_terminal(width):
    one, _ = tally()
    one.errors["OutOfMemoryError"] = 3
    out = StringIO()
    Console(file=out, width=width, force_terminal=True).print(screen(one))
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()]
    assert all(len(line) <= width for line in lines)
    assert any(line.startswith("example") for line in lines) and any("OutOfMemoryError" in line for line in lines)
    assert any(line.startswith("0 / 110 trials") for line in lines), "the counts begin a line of their own"


def test_thousands_stand_apart():
    assert number(12480) == "12\u202f480"
