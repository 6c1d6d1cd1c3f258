"""Numbers on a screen read as people write them."""

import pytest

from tsd.words import counted, duration, number


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "< 1 s"), (3, "3 s"), (89, "89 s"), (120, "2.0 min"), (7200, "2.0 h")]
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_thousands_stand_apart_and_one_is_singular():
    assert number(12480) == "12\u202f480"
    assert [counted(n, "pack") for n in (0, 1, 2, 1000)] == ["0 packs", "1 pack", "2 packs", "1\u202f000 packs"]
