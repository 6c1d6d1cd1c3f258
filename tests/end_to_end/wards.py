"""Real runs of the study `ward` that can be killed, and what must hold of their results afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tsd.engine.rng import STREAMS, Streams
from tsd.store import Store

WARD = Path(__file__).parent / "ward"
PATIENCE_S = 120.0
"""How long anything may take on a machine that is busy with other things."""
SWEEP = """\
name: ward
study: ward
fixed: {{pause: {pause}}}
axes: {{bed: {{range: [0, {beds}, 1]}}, room: [0, 1]}}
resources: {{cpu: 1, gpu: 0}}
"""


class Ward:
    """`python -m tsd.sweep` on one sweep of the study `ward`, in a folder and with temporary files of its own."""

    def __init__(self, folder: Path, temporary: Path, text: str) -> None:
        self.folder, self.temporary = folder, temporary
        self.environment = os.environ | {"PYTHONPATH": str(WARD), "TMPDIR": str(temporary), "NO_COLOR": "1"}
        (folder / "ward.yaml").write_text(text)
        self.store = Store(folder / "results/ward")
        self.door = temporary / "closed"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tsd.sweep", *words]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command and its end."""
        options = {"cwd": self.folder, "env": self.environment, "capture_output": True, "text": True}
        return subprocess.run(self.command(*words), **options, timeout=380, check=False)

    @contextmanager
    def begun(self, *words: str) -> Iterator[subprocess.Popen]:
        """A run in the background, in a session of its own as in a terminal; what is left of it is ended."""
        with (self.folder / "output").open("w") as output:
            options = {"cwd": self.folder, "env": self.environment, "stdout": output, "stderr": subprocess.STDOUT}
            driver = subprocess.Popen(self.command("run", "ward.yaml", *words), start_new_session=True, **options)
        try:
            yield driver
        finally:
            kill(driver)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """While only packs with the first patient of a room go on, so that the run cannot end."""
        self.door.touch()
        try:
            yield
        finally:
            self.door.unlink()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until `condition` holds of the run in the background. Raises AssertionError where it does not come true."""
        try:
            wait_for(condition, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}") from None

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def parts(self) -> dict[str, bytes]:
        """The parts that are stored, by name."""
        found = {}
        for part in (self.folder / "results/ward/trials").glob("[!.]*.parquet"):
            found[part.name] = part.read_bytes()
        return found

    def events(self) -> list[dict]:
        return self.store.events() if (self.folder / "results/ward/events").exists() else []

    def values(self) -> dict[tuple[int, int], float]:
        """What is stored as done, by room and bed."""
        return {(r["room"], r["bed"]): r["value"] for r in self.store.trials().to_pylist() if r["state"] == "done"}


@contextmanager
def ward(folder: Path, text: str) -> Iterator[Ward]:
    """A ward whose temporary files go with it."""
    temporary = Path(tempfile.mkdtemp(prefix="w-"))  # short: Ray's sockets lie in it
    try:
        yield Ward(folder, temporary, text)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def expected(beds: int, rooms: int = 2) -> dict[tuple[int, int], float]:
    """What an undisturbed run gives, without one."""
    streams = Streams(dict.fromkeys(STREAMS, 0))

    def value(room: int, bed: int) -> float:
        return float(streams.generator("noise", f"value {bed} {room}").standard_normal())

    return {(room, bed): value(room, bed) for room in range(rooms) for bed in range(beds)}


def must_hold(run: Ward, wanted: dict[tuple[int, int], float], kept: dict[str, bytes]) -> None:
    """Rows = unique trials = asked for, with the values of an undisturbed run; no finished pack ran again; no temporary
    file and no process is left."""
    rows = run.store.trials().to_pylist()
    assert len(rows) == len({row["trial_id"] for row in rows}) == len(wanted)
    assert run.values() == wanted
    assert kept.items() <= run.parts().items(), "a part that was stored is gone or changed"
    packs = Counter(name.split("-")[0] for name in run.parts())
    assert not [name for name in kept if packs[name.split("-")[0]] > 1], "a finished pack ran again"
    assert not list((run.folder / "results").rglob(".*"))
    wait_for(lambda: not left_behind(run), "processes of the run to end")


def wait_for(condition: Callable[[], object], what: str, patience: float = PATIENCE_S) -> None:
    """Until `condition` holds. Raises AssertionError where it does not come true."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {what}"
        time.sleep(0.05)


def left_behind(run: Ward) -> list[psutil.Process]:
    """Processes that a run has started, or that those have."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(run.temporary):
                found.append(process)
    return found


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def named(pid: int, word: str) -> list[psutil.Process]:
    """Those below process `pid` with this word in their name or title."""
    found = []
    for process in family(pid)[1:]:
        with suppress(psutil.Error):
            if word in process.name() or word in " ".join(process.cmdline()[:1]):
                found.append(process)
    return found


def listening(pid: int) -> set[str]:
    """The addresses at which a process and all below it take connections."""
    found = set()
    for process in family(pid):
        with suppress(psutil.Error):
            ports = [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
            found |= {port.laddr.ip.removeprefix("::ffff:") for port in ports}
    return found


def end(processes: list[psutil.Process]) -> None:
    """Processes of ours, by id."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=20)


def kill(driver: subprocess.Popen) -> None:
    """A run with all that it has started, as a machine that loses its power."""
    started = family(driver.pid)[1:]
    driver.kill()
    driver.wait()
    end(started)


def interrupt(driver: subprocess.Popen) -> None:
    """Ctrl-C as a terminal gives it: to the driver and to all that share its session."""
    os.killpg(driver.pid, signal.SIGINT)


def command_in(output: str) -> list[str]:
    """The words of the command that goes on, as it was printed."""
    line = next(line for line in output.splitlines() if "The same command goes on: " in line)
    return line.split("The same command goes on: ")[1].split()
