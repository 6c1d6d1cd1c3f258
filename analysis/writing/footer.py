"""What stands under a table of means: what its intervals are, what is in bold, and how rows were compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.data.published import Beside
from analysis.statistics.compare import Comparison
from analysis.writing.provenance import Told
from analysis.writing.rounding import named

NO_BOLD = "Nothing is in bold: whether more or less is better was not said."
NO_LOCK: Mapping[str, Any] = {}
KINDS = {
    "t": "Mean over seeds and its 95 % t interval.",
    "bootstrap": "Mean over seeds and its 95 % bootstrap interval (BCa).",
    "iqm": "Inter-quartile mean over seeds and its 95 % bootstrap interval.",
    "crossed": "Mean over seeds and its 95 % t interval, in which the errors of streams that cross add up.",
}
PAIRING = {
    "paired": "paired by seed",
    "Welch": "Welch where seeds are not shared",
    "unpaired": "unpaired where seeds are not shared",
}
ENOUGH = 6
"""Seeds of which a bootstrap interval can hold 95 %: the chance that n values enclose their median is 1 − 2^(1 − n)."""


def told(
    comparison: Comparison,
    asked: Mapping[str, Any],
    lock: Mapping[str, Any] = NO_LOCK,
    published: Beside | None = None,
) -> Told:
    """What the numbers after a mean are, what is in bold, and how rows were compared."""
    more = [*_bootstrapped(comparison), _bold(comparison)]
    if comparison.reference is not None:
        at_once = f", {comparison.tests[1]} at once after Bonferroni" if comparison.tests[1] else ""
        how = _how(comparison)
        more.append(
            f"In brackets: the difference to {named(comparison.reference)}{f' ({how}{at_once})' if how else ''}."
        )
    if any(e.settings < e.asked for e in comparison.entries.values()):
        more.append("A cell that lost all trials of a setting is in no comparison.")
    more += [published.told()] if published else []
    kind = comparison.interval
    interval = KINDS["crossed" if kind == "t" and _is_crossed(comparison) else kind]
    return Told("table", asked, interval, kind, more, comparison.missing(), lock=lock)


def _how(comparison: Comparison) -> str:
    """How rows were compared; "" where none were."""
    pairs = " or ".join(PAIRING[how] for how in PAIRING if how in comparison.pairings)
    return f"95 %{' t' if comparison.interval == 'bootstrap' else ''}, {pairs}" if pairs else ""


def _bold(comparison: Comparison) -> str:
    how, tests = _how(comparison), comparison.tests[0]
    if not comparison.better:
        return NO_BOLD
    if not how:
        return "Bold: the best of a column; too few seeds to tell what ties with it."
    lone = "; one seed is compared with nothing" if any(e.n == 1 for e in comparison.entries.values()) else ""
    holm = f", after Holm for {tests} comparisons" if tests else ""
    return f"Bold: the best of a column and what does not differ from it ({how}{holm}){lone}."


def _bootstrapped(comparison: Comparison) -> list[str]:
    """What a bootstrap does not see: that seeds are few, or that they cross."""
    if comparison.interval == "t":
        return []
    fewest = min((e.n for e in comparison.entries.values() if e.n > 1), default=ENOUGH)
    most = 100 * (1 - 2.0 ** (1 - fewest))
    few = f"The bootstrap never leaves the values it draws from: of {fewest} seeds it holds {most:.3g} % at most."
    crossed = "It takes seeds that cross as independent ones: see the t interval."
    return [*([few] if fewest < ENOUGH else []), *([crossed] if _is_crossed(comparison) else [])]


def _is_crossed(comparison: Comparison) -> bool:
    """Whether seeds of a cell are no independent repetitions."""
    frame = comparison.cells.frame
    return bool((frame["_free"] != frame["_n"])[frame["_n"] > 0].any())
