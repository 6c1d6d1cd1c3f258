"""How long a pack may take before its worker is taken for stuck."""

from __future__ import annotations

FACTOR = 10.0
"""A pack may take so many times what earlier trials of its shape lead one to expect."""
LEAST_S = 600.0
"""A deadline is never shorter, whatever is expected: what a first pack loads and compiles is not in the expectation."""
UNKNOWN_S = 86_400.0
"""Where nothing is known of a shape, and for artefacts: a worker that is stuck costs a day, a slow pack is not lost."""


def deadline(trials: int, seconds_a_trial: float | None, asked: float | None) -> float:
    """Seconds after which a pack of so many trials is given up.

    Args:
        seconds_a_trial: what trials of its shape took so far, or None.
        asked: what the sweep file says (`resources: {deadline: …}`), which stands above all else, or None.
    """
    if asked is not None:
        return asked
    return UNKNOWN_S if seconds_a_trial is None else max(LEAST_S, FACTOR * trials * seconds_a_trial)
