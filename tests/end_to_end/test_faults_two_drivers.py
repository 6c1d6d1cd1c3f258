"""Two drivers on one sweep at once, as processes of their own: the second is told, and every trial is one row."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest

from .wards import PATIENCE_S, SWEEP, Ward, expected, kill, must_hold, ward

pytestmark = pytest.mark.timeout(400)
BEDS = 48
HELD = SWEEP.format(beds=BEDS, pause=0.005)


@pytest.fixture
def first(tmp_path) -> Iterator[tuple[Ward, subprocess.Popen, dict[str, bytes]]]:
    """A run in the middle of its second pack or a later one, which goes on once the door opens, and what it stored."""
    with ward(tmp_path, HELD) as run:
        run.door.touch()
        with run.begun("--here") as driver:
            run.wait(lambda: len(started(run)) > len(run.parts()) > 0, "a pack behind the door")
            yield run, driver, run.parts()


def started(run: Ward, driver: subprocess.Popen | None = None) -> list[dict]:
    """The packs that have begun, of one driver or of all."""
    names = {e["run"] for e in run.events() if e["kind"] == "run_started" and (not driver or e["pid"] == driver.pid)}
    return [event for event in run.events() if event["kind"] == "pack_started" and event["run"] in names]


@contextmanager
def beside(run: Ward, *words: str) -> Iterator[subprocess.Popen]:
    """A second driver of the same sweep."""
    options = {"cwd": run.folder, "env": run.environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    driver = subprocess.Popen(run.command("run", "ward.yaml", "--here", *words), text=True, **options)
    try:
        yield driver
    finally:
        kill(driver)


def test_a_second_driver_of_the_whole_sweep_is_refused_and_the_first_goes_on(first):
    run, driver, kept = first
    refused = run("run", "ward.yaml", "--here")
    said = " ".join(refused.stderr.split())
    assert refused.returncode == 2 and f"is at work on this machine (process {driver.pid})" in said
    assert "Nothing was launched" in said and len({event["run"] for event in run.events()}) == 1
    run.door.unlink()
    assert driver.wait(PATIENCE_S) == 0, run.output
    must_hold(run, expected(BEDS), kept)


def test_two_drivers_that_work_the_same_trials_at_once_store_each_of_them_once(first):
    run, driver, kept = first
    with beside(run, "--where", "bed >= 0") as second:
        run.wait(lambda: started(run, second), "a pack of the second driver")
        assert driver.poll() is None and second.poll() is None, "both are at work"
        run.door.unlink()
        said, _ = second.communicate(timeout=PATIENCE_S)
    assert driver.wait(PATIENCE_S) == 0 == second.returncode, run.output + said
    assert "warning: another run of this sweep is at work" in said
    files = (run.folder / "results/ward/trials").glob("*.parquet")
    assert sum(pq.read_metadata(file).num_rows for file in files) > 2 * BEDS, "some trials were worked by both"
    must_hold(run, expected(BEDS), kept)
    run.store.compact()
    assert run.store.check().sound
    must_hold(run, expected(BEDS), {})
