"""Drivers, workers, raylets and nodes killed at random, round after round: `python -m tests.end_to_end.soak`.

A round is one sweep. Runs of it are disturbed at random moments until one of them comes to its end by itself; then
every trial must be one row, equal to an undisturbed run, and no finished pack may have run again.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from .nodes import Nodes, nodes
from .wards import PATIENCE_S, SWEEP, Ward, end, expected, interrupt, kill, must_hold, named, ward

BEDS = 100
TURNS = 4
"""Disturbances of one sweep, before it is left alone."""


def kill_driver(run: Ward, driver: Popen, chance: random.Random) -> None:
    """With all that it started, as a machine that loses its power."""
    kill(driver)


def kill_worker(run: Ward, driver: Popen, chance: random.Random) -> None:
    """One of those that work packs."""
    if workers := named(driver.pid, "ray::Pack"):
        end([chance.choice(workers)])


def kill_raylet(run: Ward, driver: Popen, chance: random.Random) -> None:
    """The process that hands out workers."""
    end(named(driver.pid, "raylet")[:1])


def kill_head(run: Ward, driver: Popen, chance: random.Random) -> None:
    """The process that knows of the cluster."""
    end(named(driver.pid, "gcs_server")[:1])


def ctrl_c(run: Ward, driver: Popen, chance: random.Random) -> None:
    """Once."""
    interrupt(driver)


def spoil_part(run: Ward, driver: Popen, chance: random.Random) -> None:
    """Stop everything, and cut a part short."""
    kill(driver)
    if parts := sorted(run.parts()):
        part = run.folder / "results/ward/trials" / chance.choice(parts)
        part.write_bytes(part.read_bytes()[: chance.randrange(1, 200)])


DISTURBANCES = [kill_driver, kill_worker, kill_raylet, kill_head, ctrl_c, spoil_part]


def disturbed(run: Ward, chance: random.Random, disturb: Callable[[Ward, Popen, random.Random], None]) -> str:
    """A run that something happens to, unless it ends before. Returns what that was and the exit code."""
    what = "nothing"
    with run.begun() as driver:
        try:
            driver.wait(chance.uniform(1, 25))
        except TimeoutExpired:
            disturb(run, driver, chance)
            what = disturb.__name__
        return f"{what} → {driver.wait(2 * PATIENCE_S)}"


def one_machine(chance: random.Random, seen: Counter[str]) -> str:
    """A round on a local Ray. Returns what happened."""
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        ward(Path(folder), SWEEP.format(beds=BEDS, pause=0.15)) as run,
    ):
        story, kept = [], {}
        for _ in range(chance.randint(1, TURNS)):
            disturb = chance.choice(DISTURBANCES)
            story.append(disturbed(run, chance, disturb))
            seen[story[-1].split()[0]] += 1
            kept = {} if disturb is spoil_part else kept | run.parts()
            if story[-1].endswith(" 0"):
                break
        finished(run, kept)
        return ", ".join(story)


def many_nodes(chance: random.Random, seen: Counter[str]) -> str:
    """A round on a cluster of which nodes are taken away and given back."""
    before = dict(os.environ)
    try:
        with (
            nodes(os.environ.__setitem__) as cluster,
            tempfile.TemporaryDirectory(prefix="soak-") as folder,
            ward(Path(folder), SWEEP.format(beds=BEDS, pause=0.3)) as run,
        ):
            story = take_and_give(run, cluster, chance)
            seen["nodes"] += len(story)
            finished(run, run.parts())
            return ", ".join(story)
    finally:
        os.environ.clear()
        os.environ.update(before)


def take_and_give(run: Ward, cluster: Nodes, chance: random.Random) -> list[str]:
    """Disturb a run until it ends or there was enough of it."""
    alive, story = [cluster.add(), cluster.add()], []
    with run.begun("--address", cluster.address) as driver:
        for _ in range(TURNS):
            try:
                driver.wait(chance.uniform(1, 20))
                break
            except TimeoutExpired:
                story.append(one_step(cluster, alive, chance))
        assert driver.wait(2 * PATIENCE_S) == 0, run.output
    return story


def one_step(cluster: Nodes, alive: list, chance: random.Random) -> str:
    """A node goes, with or without notice, or comes."""
    if len(alive) < 2:
        alive.append(cluster.add())
        return "node added"
    node = alive.pop(chance.randrange(len(alive)))
    if notice := chance.random() < 0.5:
        cluster.drain(node)
        time.sleep(chance.uniform(0, 3))
    cluster.remove(node)
    return "node drained" if notice else "node removed"


def finished(run: Ward, kept: dict[str, bytes]) -> None:
    """Left alone the sweep comes to its end, and all holds."""
    last = run("ward.yaml")
    assert last.returncode == 0, last.stdout + last.stderr
    must_hold(run, expected(BEDS), kept)


def main() -> None:
    """Rounds until the time is over. An AssertionError ends it, after the seed of its round."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--minutes", type=float, default=20.0)
    words.add_argument("--seed", type=int, default=None, help="of the first round; the next ones count on")
    given = words.parse_args()
    seed = int(time.time()) if given.seed is None else given.seed
    until, seen, rounds = time.monotonic() + 60 * given.minutes, Counter[str](), 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    while time.monotonic() < until:
        chance = random.Random(seed)
        kind = chance.choice([one_machine, one_machine, one_machine, many_nodes])
        print(f"seed {seed}  {kind.__name__} …", flush=True)
        print(f"seed {seed}  held: {kind(chance, seen) or 'undisturbed'}", flush=True)
        seed, rounds = seed + 1, rounds + 1
    print(f"{rounds} rounds held; {', '.join(f'{name} ×{n}' for name, n in seen.most_common())}")


if __name__ == "__main__":
    main()
