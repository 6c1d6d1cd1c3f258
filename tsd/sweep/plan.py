"""What a run would do: the trials asked for, less those stored. Nothing is written and nothing is started.

    asked for − stored = new

Resume, extend and retry are this one set difference; only the meaning of "stored" moves with the mode.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import duckdb
import pyarrow as pa

from tsd.store import Store
from tsd.sweep import pack
from tsd.sweep.grid import Grid
from tsd.sweep.measured import measured
from tsd.sweep.needs import Need, needs
from tsd.sweep.shapes import Limits, Shape
from tsd.sweep.spec import Sweep
from tsd.sweep.sql import count
from tsd.sweep.unfinished import unfinished

MODES = {
    "cached": "stored IS NULL",
    "retry": "stored IS NULL OR stored = 'failed'",
    "force": "true",
}


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
    shapes: tuple[Shape, ...]
    limits: Limits
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
    limits: Limits,
    mode: str = "cached",
) -> Plan:
    """Compare, and cut what is to be run: leaves the tables `todo` and `packed` in `connection`."""
    standing = compare(connection, store, mode)
    stored = standing.done + standing.diverged + standing.failed + standing.orphans > 0 and standing.todo > 0
    told = measured(store, sweep.static) if stored else None
    shapes = pack.cut(connection, sweep.static, limits, told, unfinished=unfinished(store, connection))
    return Plan(
        **vars(standing),
        sweep=sweep,
        grid=grid,
        results=str(store),
        mode=mode,
        needs=tuple(needs(sweep, connection, store)),
        shapes=tuple(shapes),
        limits=limits,
        bytes_a_trial=store.bytes_a_trial() if stored else None,
        seconds_a_trial=_mean(told) if told else None,
    )


def recut(planned: Plan, connection: duckdb.DuckDBPyConnection, store: Store) -> Plan:
    """The plan once its probes have run: the other trials are cut anew, by what the probes took."""
    pack.drop(connection, planned.probes)
    static = planned.sweep.static
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
