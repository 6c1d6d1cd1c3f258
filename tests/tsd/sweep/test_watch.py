"""What a person reads while a sweep runs: counts that add up, on any terminal and off one."""

import re
from io import StringIO

import pytest
from rich.console import Console
from runs_made_up import finish, tally

from tsd.sweep import watch
from tsd.sweep.left import Left
from tsd.sweep.watch import Watch, headline, screen, time_left
from tsd.sweep.waves import Pack
from tsd.sweep.work import Report

COLOUR = r"\x1b\[(?:\d+;)*[349][0-7]m"


def shown(one, width, **options) -> str:
    out = StringIO()
    Console(file=out, width=width, force_terminal=True, **options).print(screen(one))
    return out.getvalue()


def plain(text: str) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]


@pytest.fixture
def busy():
    """A run in the middle of it, with all that can go wrong."""
    one, _ = tally(slots=8)
    finish(one, 0, 0, 10, 5.0, errors={"OutOfMemoryError": 2, "ValueError": 1}, done=5, diverged=2, failed=3)
    finish(one, 10, 1, 1, 5.0)
    for index in (1, 2, 3):
        one.started(Pack(index, 0, 0, 10))
    one.restarted(Pack(2, 0, 0, 10))
    one.dropped(Pack(3, 0, 0, 10), "killed by the kernel")
    return one


def test_counts_add_up_to_the_trials_asked_for(busy):
    line = headline(busy)
    assert "11 / 110 trials" in line and "running 10" in line and "waiting 79" in line and "lost 10" in line
    assert busy.stored + busy.at_work + busy.waiting + busy.lost == busy.task.todo


def test_it_tells_what_diverged_and_failed_and_what_was_taken_over(busy):
    line = headline(busy)
    assert "diverged 2" in line and "failed 3 (2 kinds)" in line and "×2 OutOfMemoryError, all at width = 0" in line
    assert "1 pack started again, the worker died" in line and "lost 10 trials: killed by the kernel" in line


def test_an_error_in_every_shape_is_not_put_down_to_one():
    one, _ = tally()
    for shape in (0, 1):
        finish(one, shape, shape, 10, 1.0, errors={"ValueError": 1}, done=9, failed=1)
    assert "×2 ValueError" in headline(one) and "all at" not in headline(one)


@pytest.mark.parametrize(("device", "places"), [("cpu", "1/2 workers"), ("cuda", "1/2 GPUs")])
def test_it_tells_how_many_places_are_busy(device, places):
    one, _ = tally(device=device)
    one.started(Pack(0, 0, 0, 10))
    assert places in headline(one)


def test_before_the_first_pack_it_tells_what_is_trained_for_it_and_of_no_idle_workers():
    one, _ = tally()
    assert re.search(r"waiting \d+$", headline(one)) and "trained" not in headline(one)
    one.trained(Report("teacher", {}, 2.0, {}))
    assert re.search(r"1 trained   waiting \d+$", headline(one))


def test_the_rate_is_trials_a_minute_since_the_first_pack():
    one, clock = tally()
    clock.now = 100.0
    finish(one, 0, 0, 10, 30.0)
    assert "20 trials/min" in headline(one)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (None, "time left unknown yet"),
        (Left(960, 840, 1260), "16 min left (14–21)"),
        (Left(40, 40, 40), "40 s left"),
        (Left(7200, 5400, 9000), "2.0 h left (1.5–2.5)"),
    ],
)
def test_the_time_left_has_one_unit(left, told):
    assert time_left(left) == told


def test_a_finished_run_speaks_of_nothing_to_come():
    one, _ = tally(((4, 2, None),))
    finish(one, 0, 0, 2, 3.0)
    finish(one, 1, 0, 2, 3.0)
    line = headline(one)
    assert line.startswith("4 / 4 trials") and not re.search(r"left|running|waiting|workers", line)


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 200])
def test_the_live_view_fits_any_terminal_and_tears_nothing(busy, width):
    lines = plain(shown(busy, width))
    assert all(len(line) <= width for line in lines)
    for part in (
        "example",
        "10 %",
        "11 / 110 trials",
        "elapsed",
        "running 10",
        "waiting 79",
        "diverged 2",
        "1/8 workers",
    ):
        assert any(part in line for line in lines), part
    assert len(lines) == 3 or width < 200


def test_a_wide_terminal_has_a_longer_bar(busy):
    bars = [sum(line.count(c) for line in plain(shown(busy, width)) for c in "█░") for width in (30, 120, 200)]
    assert bars == sorted(bars) and bars[0] >= 8 and bars[-1] == 40


def test_no_color_is_heeded(busy, monkeypatch):
    assert re.search(COLOUR, shown(busy, 100))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(COLOUR, shown(busy, 100))


@pytest.mark.parametrize("options", [{}, {"force_terminal": True, "_environ": {"TERM": "dumb"}}], ids=["file", "dumb"])
def test_off_a_terminal_every_line_is_plain(options, monkeypatch):
    monkeypatch.setattr(watch, "PLAIN_EVERY_S", 0.01)
    one, _ = tally(((4, 2, None),))
    out, told = StringIO(), []
    one.note = lambda kind, facts: told.append(kind)
    with Watch(one, Console(file=out, width=60, **options)) as shown:
        while "alive" not in told or not out.getvalue():
            shown._thread.join(0.01)
        finish(one, 0, 0, 4, 3.0)
    first, *_, last = out.getvalue().splitlines()
    assert first.startswith("example   starting   0 / 4 trials") and last.startswith("example   4 / 4 trials")
    assert "\x1b" not in out.getvalue()


def test_the_live_view_of_a_run_leaves_one_line_behind(monkeypatch):
    one, _ = tally(((4, 2, None),))
    out = StringIO()
    with Watch(one, Console(file=out, width=80, force_terminal=True)):
        finish(one, 0, 0, 4, 3.0)
    assert plain(out.getvalue())[-1].endswith("example   4 / 4 trials   3 s elapsed   80 trials/min")
