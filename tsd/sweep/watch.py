"""What is known of a run while it runs, and how it is shown: a live view on a terminal, a plain line now and then
elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tsd.sweep.pack import Pack
from tsd.sweep.plan import Plan, duration
from tsd.sweep.work import Report

PLAIN_EVERY_S = 30.0
WIDTH = 60
"""Columns of the bar; a narrower terminal has a narrower one."""


def number(n: int) -> str:
    """Thousands apart by thin spaces: 12 480."""
    return f"{n:,}".replace(",", "\u202f")


@dataclass
class Tally:
    """Counters of a run; the only thing in the driver that knows of progress. Its size does not depend on the sweep's.

    Args:
        plan: what was to be done.
        note: hears of every event, by kind and facts.
        clock: seconds from an arbitrary start.
        lost: trials whose workers died once too often.
        restarts: packs that another worker took over.
        reason: what the last worker that died said.
        refused: why the store can give or take nothing more; the run ends where this is set.
    """

    plan: Plan
    note: Callable[[str, dict[str, Any]], None] = lambda kind, facts: None
    clock: Callable[[], float] = time.monotonic
    states: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    running: dict[int, Pack] = field(default_factory=dict)
    lost: int = 0
    restarts: int = 0
    reason: str = ""
    refused: str = ""
    phase: str = "starting"
    begun: float = 0.0
    _work: dict[int, tuple[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    def started(self, pack: Pack) -> None:
        """A worker has taken `pack`."""
        self.running[pack.index] = pack
        self.note("pack_started", {"pack": pack.index, "shape": pack.shape, "trials": pack.trials})

    def trained(self, report: Report) -> None:
        """An artefact is there, or the store refused it."""
        self.refused = self.refused or report.refused

    def finished(self, pack: Pack, report: Report) -> None:
        """`pack` is stored, or the store refused it."""
        self.running.pop(pack.index, None)
        self.note("pack_finished", {"pack": pack.index} | asdict(report))
        if report.refused:
            self.refused = self.refused or report.refused
            return
        self.states.update(report.states)
        self.errors.update(report.errors)
        trials, seconds = self._work.get(pack.shape, (0, 0.0))
        self._work[pack.shape] = (trials + pack.trials, seconds + report.seconds)

    def restarted(self, pack: Pack) -> None:
        """The worker of `pack` died and another one will take it."""
        self.running.pop(pack.index, None)
        self.restarts += 1
        self.note("pack_restarted", {"pack": pack.index})

    def dropped(self, pack: Pack, reason: str) -> None:
        """The worker of `pack` died once too often; its trials are planned again by the next run."""
        self.running.pop(pack.index, None)
        self.note("pack_lost", {"pack": pack.index, "reason": reason})
        self.lost += pack.trials
        self.reason = reason

    @property
    def stored(self) -> int:
        """Trials of this run that have their row."""
        return self.states.total()

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self.begun

    def remaining(self) -> float | None:
        """Seconds left, from what a trial of each shape has taken so far; None before anything is known."""
        worked = sum(seconds for _, seconds in self._work.values())
        trials = sum(n for n, _ in self._work.values())
        mean = worked / trials if trials else None
        left = 0.0
        for place, shape in enumerate(self.plan.shapes):
            done, seconds = self._work.get(place, (0, 0.0))
            each = seconds / done if done else shape.seconds_a_trial or mean
            if each is None:
                return None
            left += each * (shape.trials - done)
        return left / max(1, min(self.plan.limits.slots, self.plan.packs))


def headline(tally: Tally) -> str:
    """One plain line: counts, rate, time left."""
    waiting = tally.plan.todo - tally.stored - tally.lost - sum(p.trials for p in tally.running.values())
    parts = [
        f"{number(tally.stored)} / {number(tally.plan.todo)} trials",
        f"running {sum(p.trials for p in tally.running.values())}",
    ]
    parts.append(f"waiting {number(waiting)}")
    parts += [f"{state} {number(tally.states[state])}" for state in ("diverged", "failed") if tally.states[state]]
    parts += [f"lost {number(tally.lost)}"] if tally.lost else []
    parts += [f"packs started again {tally.restarts}"] if tally.restarts else []
    rate = tally.stored / tally.elapsed * 60 if tally.elapsed > 0 else 0
    parts.append(f"{rate:.0f} trials/min" if rate >= 10 else f"{rate:.1f} trials/min")
    left = tally.remaining()
    parts.append("time left unknown yet" if left is None else f"{duration(left)} left")
    return "   ".join(parts)


def screen(tally: Tally) -> Group:
    """The live view: what runs, a bar, the counts by state, what failed."""
    done = tally.stored / max(tally.plan.todo, 1)
    head = Text.assemble((tally.plan.sweep.name, "bold"), f"   {done:.0%}   {duration(tally.elapsed)} elapsed   ")
    head.append(tally.phase, style="dim")
    bar = Table.grid()  # a bar by itself does not end its line
    bar.add_row(ProgressBar(total=max(tally.plan.todo, 1), completed=tally.stored, width=WIDTH))
    lines: list[Text | Table] = [head, bar, Text(headline(tally))]
    if tally.errors:
        kinds = "   ".join(f"×{n} {kind}" for kind, n in tally.errors.most_common(3))
        lines.append(Text(f"failed  {kinds}", style="red"))
    return Group(*lines)


class Watch:
    """Shows a tally for as long as the `with` block lasts."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self.tally = tally
        self.console = console
        self._live: Live | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=lambda: screen(self.tally), console=self.console, refresh_per_second=4, transient=True
            )
            self._live.start()
        else:
            self._thread = threading.Thread(target=self._lines, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._live:
            self._live.stop()
        if self._thread:
            self._thread.join()
        self.console.print(f"{self.tally.plan.sweep.name}   {headline(self.tally)}", highlight=False, soft_wrap=True)

    def _lines(self) -> None:
        while not self._stop.wait(PLAIN_EVERY_S):
            line = f"{self.tally.plan.sweep.name}   {self.tally.phase}   {headline(self.tally)}"
            self.console.print(line, highlight=False, soft_wrap=True)
