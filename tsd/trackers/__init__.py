"""ONE FILE = ONE TRACKER: where people already look at runs. Each gets a sweep as one run, told from what is stored.

A tracker is a module with `PACKAGE`, what it imports, and `track(report, at)`, which sends a `Report` and returns where
to look. Nothing else knows of trackers: they are off unless asked for, and need neither the sweep at work nor Ray.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from tsd.errors import UserError
from tsd.families import Family

if TYPE_CHECKING:
    from tsd.trackers._report import Report

TRACKERS = Family("tsd.trackers", "tracker")


def track(report: Report, to: str, at: str | None = None) -> str:
    """Send `report` to the tracker called `to`.

    Args:
        at: where; each tracker says what it takes. None is where its own environment says.

    Returns:
        Where to look at it.

    Raises:
        UserError: there is no such tracker, its package is not installed, or it does not answer.
    """
    if not TRACKERS.has(to):
        raise UserError(f"--to {to} is no tracker. There are: {', '.join(TRACKERS.names())}.")
    tracker = TRACKERS.load(to)
    if importlib.util.find_spec(tracker.PACKAGE) is None:
        raise UserError(
            f"track --to {to} needs the Python package {tracker.PACKAGE}, which is not installed here. Install it with "
            f"`pip install 'tsd[{to}]'` and give the same command again; results are not touched."
        )
    told: str = tracker.track(report, at)
    return told
