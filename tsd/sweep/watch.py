"""How a run is shown while it runs: a live view on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.text import Text

from tsd.sweep.left import Left
from tsd.sweep.tally import Tally
from tsd.words import counted, duration, number

PLAIN_EVERY_S = 30.0
"""Between two plain lines; and between two signs of life in the log of events."""
BAR = (8, 40)
"""Columns of the bar, at least and at most."""
GAP = "   "


def time_left(left: Left | None) -> str:
    """16 min left (14–21), in the unit of the middle one."""
    if left is None:
        return "time left unknown yet"
    unit, name = (1.0, "s") if left.seconds < 90 else (60.0, "min") if left.seconds < 5400 else (3600.0, "h")
    low, middle, high = (_amount(seconds / unit) for seconds in (left.low, left.seconds, left.high))
    return f"{middle} {name} left" + ("" if low == high else f" ({low}–{high})")


def _amount(value: float) -> str:
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


def counts(tally: Tally) -> list[str]:
    """What runs and waits, what came out that is not `done`, how fast it goes, and how many workers are busy; before
    the first pack, what is trained for it."""
    if tally.first_pack is None and tally.waiting:
        trained = [f"{number(tally.artefacts)} trained"] if tally.artefacts else []
        return [*trained, f"waiting {number(tally.waiting)}"]
    going = bool(tally.waiting or tally.running)
    parts = [f"running {number(tally.at_work)}", f"waiting {number(tally.waiting)}"] if going else []
    parts += [f"diverged {number(tally.states['diverged'])}"] if tally.states["diverged"] else []
    if failed := tally.states["failed"]:
        kinds = len(tally.errors)
        parts.append(f"failed {number(failed)}" + (f" ({kinds} kinds)" if kinds > 1 else ""))
    parts += [f"lost {number(tally.lost)}"] if tally.lost else []
    per_minute = tally.rate * 60
    parts.append(f"{number(round(per_minute)) if per_minute >= 10 else f'{per_minute:.1f}'} trials/min")
    places = max(tally.task.slots, len(tally.running))
    busy = f"{len(tally.running)}/{places} {'GPUs' if tally.task.device == 'cuda' else 'workers'}"
    return [*parts, busy] if going else parts


def troubles(tally: Tally) -> list[str]:
    """What failed, most frequent first, with what those trials share; and what another worker took over."""
    parts = [f"×{number(n)} {kind}{_shared(tally, kind)}" for kind, n in tally.errors.most_common(3)]
    if tally.restarts:
        parts.append(f"{counted(tally.restarts, 'pack')} started again, the worker died")
    if tally.lost:
        parts.append(f"lost {number(tally.lost)} trials: {tally.reason}")
    return parts


def _shared(tally: Tally, kind: str) -> str:
    """`  all at width = 8192`, where the shapes in which this error came up share a value that others do not have."""
    shapes = tally.task.shapes
    struck = {shape for error, shape in list(tally.failures) if error == kind}
    spared = [shapes[i].values for i in list(tally.measured) if i not in struck]
    first, *rest = [shapes[i].values for i in struck]
    same = {key: value for key, value in first.items() if all(other.get(key) == value for other in rest)}
    told = [f"{key} = {value}" for key, value in same.items() if spared and all(o.get(key) != value for o in spared)]
    return f", all at {', '.join(told)}" if told else ""


def headline(tally: Tally) -> str:
    """One plain line: how far, how long still, the counts, what failed."""
    parts = [f"{number(tally.stored)} / {number(tally.task.todo)} trials", f"{duration(tally.elapsed)} elapsed"]
    parts += [time_left(tally.remaining())] if tally.waiting or tally.running else []
    return GAP.join([*parts, *counts(tally), *troubles(tally)])


class Flow:
    """Parts beside each other, on as many lines as the terminal is wide for; no part is torn that fits a line."""

    def __init__(self, parts: Sequence[str | Text], style: str = "") -> None:
        self.parts = [Text(part) if isinstance(part, str) else part for part in parts]
        self.style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines(options.max_width):
            line.stylize(self.style)
            yield line

    def _lines(self, width: int) -> Iterator[Text]:
        line = Text()
        for part in self.parts:
            if line and line.cell_len + len(GAP) + part.cell_len > width:
                yield line
                line = Text()
            line += Text(GAP) + part if line else part
        yield line


class Bar:
    """How much is done, in characters, so that it is told without colours too."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tally, done = self.tally, self.tally.stored / max(self.tally.task.todo, 1)
        least, most = BAR
        facts = [f"{number(tally.stored)} / {number(tally.task.todo)} trials", f"{duration(tally.elapsed)} elapsed"]
        facts.append(time_left(tally.remaining()))
        name = Text(tally.task.sweep, "bold")
        room = options.max_width - sum(len(fact) + len(GAP) for fact in facts) - name.cell_len - len(GAP) - 6
        width = min(max(room, least), most)
        full = min(int(done * width), width)
        bar = Text.assemble(("█" * full, "green"), ("░" * (width - full), "dim"), f" {int(done * 100)} %")
        yield Flow([name, bar, *facts])


def screen(tally: Tally) -> Group:
    """The live view: how far and how long still, the counts, what failed."""
    at = [] if tally.running or tally.ended else [Text(tally.phase, "dim")]
    lines: list[Bar | Flow] = [Bar(tally), Flow([*at, *counts(tally)])]
    if trouble := troubles(tally):
        lines.append(Flow(trouble, "red"))
    return Group(*lines)


class Watch:
    """Shows a tally for as long as the `with` block lasts, and lets its log know now and then that the run lives."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self.tally = tally
        self.console = console
        self._live: Live | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._now_and_then, daemon=True)

    def __enter__(self) -> Watch:
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(
                get_renderable=lambda: screen(self.tally), console=self.console, refresh_per_second=4, transient=True
            )
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._live:
            self._live.stop()
        self._thread.join()
        self._print(headline(self.tally))

    def _now_and_then(self) -> None:
        while not self._stop.wait(PLAIN_EVERY_S):
            self.tally.alive()
            if self._live is None:
                self._print(f"{self.tally.phase}{GAP}{headline(self.tally)}")

    def _print(self, text: str) -> None:
        line = f"{self.tally.task.sweep}{GAP}{text}"
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)
