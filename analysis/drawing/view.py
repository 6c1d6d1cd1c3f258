"""What a phase diagram is asked to show."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from analysis.errors import AnalysisError


@dataclass(frozen=True)
class View:
    """What a phase diagram is to show: columns of its axes, colour and panels, their scales, a level, predictions.

    `theory` names what predicts the value, `lines` what predicts y. `minus` is a condition on the
    trials that the others are compared with; see `analysis.data.minus`. `shading` is "tiles", "continuous", or None
    for what suits the places: tiles, but where trials fill less than half of a grid of them.
    """

    x: str
    y: str
    value: str
    by: str | None = None
    log_x: bool = False
    log_y: bool = False
    log_value: bool = False
    threshold: float | None = None
    theory: str | None = None
    lines: tuple[str, ...] = ()
    minus: str | None = None
    shading: str | None = None

    def check(self) -> None:
        """Raise AnalysisError where a column is named twice, or a level, scale or theory does not suit the value."""
        barred = "--log-value" if self.log_value else "--theory" if self.theory else None
        if self.minus and barred:
            why = "a difference may be negative or 0" if self.log_value else "it predicts the value, not a difference"
            raise AnalysisError(f"--minus {self.minus} cannot stand beside {barred}: {why}. Leave one of them out.")
        if len({self.x, self.y, self.value, self.by}) < 4:  # None counts as one
            by = f" --by {self.by}" if self.by else ""
            asked = f"--x {self.x} --y {self.y}{by} --value {self.value}"
            raise AnalysisError(f"{asked}: each needs a column of its own.")
        if self.threshold is not None and not isfinite(self.threshold):
            raise AnalysisError(f"--threshold {self.threshold:g} is no level that a mean could cross; give a number.")
        if self.log_value and self.threshold is not None and self.threshold <= 0:
            raise AnalysisError(
                f"--threshold {self.threshold:g} has no logarithm; take a positive one, or leave --log-value out."
            )
