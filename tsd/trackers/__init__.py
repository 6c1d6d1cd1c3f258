"""ONE FILE = ONE TRACKER: where people already look at runs. Each gets a sweep as one run, told from what is stored.

A tracker is a module with `PACKAGE`, what it imports, and `track(report, at)`, which sends a `Report` and returns where
to look. Nothing else knows of trackers: they are off unless asked for, and need neither the sweep at work nor Ray.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.families import Family

if TYPE_CHECKING:
    from tsd.trackers._report import Report

TRACKERS = Family("tsd.trackers", "tracker")


def ready(to: str) -> Callable[[Report, str | None], str]:
    """What sends a report to the tracker called `to`, and returns where to look at it. It raises UserError where the
    tracker does not answer. Where it is sent to (an address, a folder), each tracker says itself; None is where its own
    environment says.

    Raises:
        UserError: there is no such tracker, or its package is not installed.
    """
    if not TRACKERS.has(to):
        near = "".join(f" Did you mean `{name}`?" for name in get_close_matches(to, TRACKERS.names(), n=1))
        raise UserError(f"--to {to} is no tracker. There are: {', '.join(TRACKERS.names())}.{near}")
    tracker = TRACKERS.load(to)
    if importlib.util.find_spec(tracker.PACKAGE) is None:
        raise UserError(
            f"track --to {to} needs the Python package {tracker.PACKAGE}, which is not installed here. Install it with "
            f"`pip install -e '.[{to}]'` in the folder of tsd and give the same command again; results are not touched."
        )
    send: Callable[[Report, str | None], str] = tracker.track
    return send
