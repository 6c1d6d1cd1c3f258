"""What a run would do: the trials asked for, less those stored. Nothing is written and nothing is started.

    asked for − stored = new

Resume, extend and retry are this one set difference; only the meaning of "stored" moves with the mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa

from tsd.store import Store
from tsd.studies._base import Artefact, artefacts
from tsd.sweep import columns, pack, shelf
from tsd.sweep.conditions import quoted
from tsd.sweep.grid import Grid
from tsd.sweep.measured import measured
from tsd.sweep.spec import Sweep
from tsd.sweep.unfinished import unfinished

MODES = {
    "cached": "stored IS NULL",
    "retry": "stored IS NULL OR stored = 'failed'",
    "force": "true",
}


@dataclass(frozen=True)
class Need:
    """An artefact that new trials ask for: the first trial that does, as a row, and whether it is stored. Those of one
    name are trained level by level: one of level 1 is made from one of level 0."""

    name: str
    key: str
    row: dict[str, Any]
    stored: bool
    level: int = 0


@dataclass(frozen=True)
class Standing:
    """How the trials asked for stand against the stored ones.

    Args:
        done, diverged, failed: asked for and stored, by state.
        new: asked for and never stored.
        orphans: stored and not asked for.
        todo: what the mode runs.
        damaged: parts that cannot be read; their trials count as new.
    """

    done: int
    diverged: int
    failed: int
    new: int
    orphans: int
    todo: int
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class Plan(Standing):
    """The answer to "what would `run` do?".

    `bytes_a_trial` of a stored row, `seconds_a_trial` over all of them and the shapes' seconds come from stored rows
    and are None where there are none.
    """

    sweep: Sweep
    grid: Grid
    results: str
    mode: str
    needs: tuple[Need, ...]
    shapes: tuple[pack.Shape, ...]
    limits: pack.Limits
    bytes_a_trial: float | None
    seconds_a_trial: float | None

    @property
    def packs(self) -> int:
        """Number of packs."""
        return sum(shape.packs for shape in self.shapes)

    @property
    def probes(self) -> int:
        """Number of packs that run before the others and are small, because trials of their shape were not measured."""
        return sum(shape.probes for shape in self.shapes)

    @property
    def seconds(self) -> float | None:
        """Work of all packs, one after another; None where no earlier row tells how long any trial takes."""
        mean = self.seconds_a_trial
        return None if mean is None else sum((s.seconds_a_trial or mean) * s.trials for s in self.shapes)

    def as_dict(self) -> dict[str, Any]:
        """The plan for programs."""
        counts = ("results", "mode", "done", "diverged", "failed", "new", "orphans", "todo", "packs", "seconds")
        return {name: getattr(self, name) for name in counts} | {
            "name": self.sweep.name,
            "study": self.sweep.study,
            "trials": self.grid.total,
            "axes": [{"axis": label, "values": count} for label, count in self.grid.axes],
            "excluded": [{"rule": rule, "trials": count} for rule, count in self.grid.excluded],
            "shapes": [asdict(shape) for shape in self.shapes],
            "artefacts": [{"name": n.name, "key": n.key, "stored": n.stored} for n in self.needs],
            "damaged_parts": list(self.damaged),
        }


def compare(connection: duckdb.DuckDBPyConnection, store: Store, mode: str, *, move_damaged: bool = False) -> Standing:
    """Compare the table `trials` with the store and leave what `mode` runs as the table `todo` in `connection`."""
    states = store.states(move_damaged=move_damaged)
    connection.register("states", states.table)
    connection.execute(
        "CREATE OR REPLACE TABLE todo AS SELECT t.* FROM trials t "
        f"LEFT JOIN (SELECT trial_id, state AS stored FROM states) USING (trial_id) WHERE {MODES[mode]}"
    )
    counts = dict(
        connection.execute(
            "SELECT coalesce(s.state, 'new'), count(*) FROM trials LEFT JOIN states s USING (trial_id) GROUP BY 1"
        ).fetchall()
    )
    new = counts.get("new", 0)
    return Standing(
        done=counts.get("done", 0),
        diverged=counts.get("diverged", 0),
        failed=counts.get("failed", 0),
        new=new,
        orphans=states.table.num_rows - (sum(counts.values()) - new),
        todo=count(connection, "todo"),
        damaged=tuple(states.damaged),
    )


def make(
    sweep: Sweep,
    grid: Grid,
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    *,
    limits: pack.Limits,
    mode: str = "cached",
) -> Plan:
    """Compare, and cut what is to be run: leaves the tables `todo` and `packed` in `connection`."""
    standing = compare(connection, store, mode)
    stored = standing.done + standing.diverged + standing.failed + standing.orphans > 0 and standing.todo > 0
    static = _static(sweep, grid)
    told = measured(store, static) if stored else None
    shapes = pack.cut(connection, static, limits, told, unfinished=unfinished(store, connection))
    return Plan(
        **vars(standing),
        sweep=sweep,
        grid=grid,
        results=str(store),
        mode=mode,
        needs=tuple(needs(sweep, connection, store, static)),
        shapes=tuple(shapes),
        limits=limits,
        bytes_a_trial=store.bytes_a_trial() if stored else None,
        seconds_a_trial=_mean(told) if told else None,
    )


def recut(planned: Plan, connection: duckdb.DuckDBPyConnection, store: Store) -> Plan:
    """The plan once its probes have run: the other trials are cut anew, by what the probes took."""
    pack.drop(connection, planned.probes)
    static = _static(planned.sweep, planned.grid)
    shapes = pack.cut(connection, static, planned.limits, measured(store, static), again=True)
    told = zip(planned.shapes, shapes, strict=True)
    return replace(
        planned,
        shapes=tuple(replace(new, trials=old.trials, packs=old.probes + new.packs) for old, new in told),
    )


def _mean(told: pa.Table) -> float | None:
    """Seconds a trial over all shapes; one that nobody has measured is taken to last as long."""
    trials = sum(told["trials"].to_pylist())
    return sum(told["seconds"].to_pylist()) / trials if trials else None


def _static(sweep: Sweep, grid: Grid) -> list[str]:
    return [name for name in columns.static(sweep.fields) if name in grid.columns]


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of `table`."""
    [(rows,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(rows)


def needs(sweep: Sweep, connection: duckdb.DuckDBPyConnection, store: Store, static: Sequence[str]) -> list[Need]:
    """The artefacts that the table `todo` asks for, each once, in the order in which they can be trained.

    Args:
        static: the static columns of the trial table; of them alone it depends which artefacts a trial asks for.
    """
    asking = _asking(sweep.module, connection, static)
    stored = store.artefacts.keys() if asking else set()
    varying = pack.varying(connection, "todo", static)
    found: dict[str, Need] = {}
    for artefact, shapes in asking.values():
        for row in _distinct(connection, artefact, shapes, varying):
            for level, values in enumerate(_line(artefact, row)):
                key = shelf.key(shelf.recipe(sweep.study, sweep.version, artefact, values))
                found.setdefault(key, Need(artefact.name, key, values, key in stored, level))
    order = list(asking)
    return sorted(found.values(), key=lambda need: (order.index(need.name), need.level))


def _asking(
    study: Any, connection: duckdb.DuckDBPyConnection, static: Sequence[str]
) -> dict[str, tuple[Artefact, list[int]]]:
    """Artefacts by name, in the order in which they can be trained, each with the numbers of the shapes whose trials
    ask for it. Leaves the shapes as the table `asked_shapes`."""
    if not hasattr(study, "artefacts") and not hasattr(study, "ARTEFACTS"):
        return {}
    listed = ", ".join(quoted(name) for name in static) or "NULL"
    shapes = connection.sql(f"SELECT DISTINCT {listed} FROM todo ORDER BY ALL").to_arrow_table()
    numbered = shapes.append_column("shape", pa.array(range(shapes.num_rows), pa.int64()))
    connection.register("asked_shapes", numbered)
    found: dict[str, tuple[Artefact, list[int]]] = {}
    for number, row in enumerate(shapes.to_pylist()):
        trial = study.Trial.of({name: value for name, value in row.items() if value is not None})
        for artefact in artefacts(study, trial):
            found.setdefault(artefact.name, (artefact, []))[1].append(number)
    return found


def _distinct(
    connection: duckdb.DuckDBPyConnection, artefact: Artefact, shapes: list[int], varying: Sequence[str]
) -> list[dict[str, Any]]:
    """Of the trials of `shapes`, a whole one for every combination of what the artefact depends on."""
    names = [*artefact.fields, *(f"seed_{stream}" for stream in artefact.streams)]
    here = {row[0] for row in connection.execute("SELECT column_name FROM (DESCRIBE todo)").fetchall()}
    listed = ", ".join(f"t.{quoted(name)}" for name in names if name in here)
    match = " AND ".join(f"t.{quoted(name)} IS NOT DISTINCT FROM s.{quoted(name)}" for name in varying) or "true"
    rows = connection.sql(
        f"SELECT DISTINCT ON ({listed}) t.* FROM todo t JOIN asked_shapes s ON {match} "
        f"WHERE list_contains($shapes, s.shape) ORDER BY {listed}",
        params={"shapes": shapes},
    )
    return [dict.fromkeys(names) | row for row in rows.to_arrow_table().to_pylist()]


def _line(artefact: Artefact, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the artefacts of this kind from the first one to that of `row`, each made from the one before."""
    line = [row]
    while before := artefact.before(line[0]):
        line.insert(0, {**row, **before})
    return line


def render(plan: Plan, number: Callable[[int], str]) -> str:
    """The plan as the few lines that a person reads before a run."""
    lines = [_asked(plan, number), _against(plan, number)]
    lines += [f"warning: {warning}" for warning in plan.grid.warnings]
    lines += [f"damaged part {name}: its trials are planned again" for name in plan.damaged]
    if plan.todo:
        lines += [_packed(plan, number), *_trained(plan), _estimate(plan, number)]
    else:
        lines.append("nothing to run")
    return "\n".join(lines)


def _asked(plan: Plan, number: Callable[[int], str]) -> str:
    product = " × ".join(f"{number(n)} {label}" for label, n in plan.grid.axes)
    removed = "".join(f"  − {number(n)} excluded ({rule})" for rule, n in plan.grid.excluded if n)
    merged = f"  − {number(plan.grid.merged)} equal" if plan.grid.merged else ""
    added = f"  + {number(plan.grid.added)} by when" if plan.grid.added else ""
    steps = f"{product or 'one point'}{merged}{added}{removed}"
    return f"{plan.sweep.name}   {steps}  = {number(plan.grid.total)} trials of {plan.sweep.study}"


def _against(plan: Plan, number: Callable[[int], str]) -> str:
    parts = [f"{number(plan.done)} done", f"{number(plan.new)} new"]
    parts += [f"{number(plan.diverged)} diverged"] if plan.diverged else []
    parts += [f"{number(plan.failed)} failed before"] if plan.failed else []
    parts += [f"{number(plan.orphans)} on disk but no longer in this file"] if plan.orphans else []
    return f"vs {plan.results}: " + " · ".join(parts)


def _packed(plan: Plan, number: Callable[[int], str]) -> str:
    largest = max(shape.size for shape in plan.shapes)
    text = f"packs into {number(plan.packs)} of at most {trials(largest, number)}{_longest(plan)}"
    kinds = len({tuple(shape.values.values()) for shape in plan.shapes})
    if kinds > 1:
        text += f"; {number(kinds)} shapes, because {' × '.join(plan.shapes[0].values)} must agree in a pack"
    if plan.probes:
        unknown = sum(shape.probes > 0 for shape in plan.shapes)
        whose = "their shape" if unknown == 1 else f"{number(unknown)} shapes"
        text += (
            f"\nfirst {packs(plan.probes, number)} of {plan.limits.smallest}: what they take cuts the rest of {whose}"
        )
    return text


def _longest(plan: Plan) -> str:
    """How long the longest pack lasts and how much memory the largest takes, as far as earlier packs tell."""
    lengths = [shape.size * shape.seconds_a_trial for shape in plan.shapes if shape.seconds_a_trial is not None]
    held = [(s.size * s.bytes_a_trial, s.room_bytes) for s in plan.shapes if s.bytes_a_trial and s.room_bytes]
    parts = [f"≈ {duration(max(lengths))}"] if lengths else []
    parts += [f"≈ {_gigabytes(max(held)[0])} of {_gigabytes(max(held)[1])} GB of memory"] if held else []
    return f" ({', '.join(parts)})" if parts else ""


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2g}"


def _trained(plan: Plan) -> list[str]:
    names = dict.fromkeys(need.name for need in plan.needs)
    grouped = {name: [n for n in plan.needs if n.name == name] for name in names}
    return [
        f"{name}: {len(found)} needed, {sum(n.stored for n in found)} stored, "
        f"{sum(not n.stored for n in found)} trained first, each once"
        for name, found in grouped.items()
    ]


def _estimate(plan: Plan, number: Callable[[int], str]) -> str:
    if plan.seconds is None:
        return "estimate: none yet, no trial of this sweep has been measured"
    slots = plan.limits.slots
    places = "1 worker" if slots == 1 else f"{slots} workers"
    size = f", writes ≈ {plan.bytes_a_trial * plan.todo / 1e6:.2g} MB" if plan.bytes_a_trial else ""
    work, wall = duration(plan.seconds), duration(plan.seconds / slots)
    return f"estimate {work} of work, ≈ {wall} on {places}{size} (from stored rows)"


def submit(plan: Plan, command: str) -> str:
    """The line that runs `command` on a cluster whose dashboard is at hand; its fixed id refuses a second driver."""
    return (
        "on a cluster: ray job submit --address http://127.0.0.1:8265 --working-dir . "
        f"--submission-id tsd-{plan.sweep.name} -- {command} --address auto --results s3://BUCKET/results"
    )


def trials(count: int, number: Callable[[int], str]) -> str:
    """1 trial, 2 trials."""
    return f"{number(count)} {'trial' if count == 1 else 'trials'}"


def packs(count: int, number: Callable[[int], str]) -> str:
    """1 pack, 2 packs."""
    return f"{number(count)} {'pack' if count == 1 else 'packs'}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 12 s, 4.5 min, 3.2 h."""
    if 0 < seconds < 1:
        return "< 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
