"""Packs → Ray Tune. One pack is one Tune trial of a class trainable whose actor is used again and again.

Tune keeps nothing of value here: a worker writes its own part, and what is to be run is always the set difference
against the stored parts, so neither `Tuner.restore`, checkpoints nor loggers are needed. Ray 2.60.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tsd.errors import ClusterError
from tsd.sweep.pack import Wave
from tsd.sweep.plan import Need
from tsd.sweep.spec import Resources
from tsd.sweep.tally import Tally
from tsd.sweep.work import Context, Report, Worker

QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
RETRIES = 3
"""How often a pack is started again after its worker or node died."""


def _settings() -> dict[str, str]:
    """What Ray reads when it is imported. Where a token is at hand it is shown to a cluster that is joined: `ray start`
    asks for one as soon as there is one, while a driver shows it only where it is told to."""
    token = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ) or (Path.home() / ".ray/auth_token").exists()
    return QUIET | ({"RAY_AUTH_MODE": "token"} if token else {})


for name, value in _settings().items():
    os.environ.setdefault(name, value)

import ray  # noqa: E402  Ray reads the settings above when it is imported.
from ray import tune  # noqa: E402


@dataclass(frozen=True)
class Jobs:
    """What one Tuner run does, sent to every worker once: the packs of a wave, or artefacts to train."""

    context: Context
    wave: Wave | None
    needs: Sequence[Need] = ()

    def __len__(self) -> int:
        return len(self.needs) if self.wave is None else len(self.wave.packs)


class PackTrainable(tune.Trainable):
    """One pack, or the training of one artefact. Its process outlives it and takes the next."""

    def setup(self, config: dict[str, Any], jobs: Jobs | None = None) -> None:
        """Called once a process; what the worker loads stays for the packs that follow."""
        assert jobs is not None, "given by tune.with_parameters"
        self.jobs = jobs
        self.worker = Worker(jobs.context)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next pack in the same process."""
        return True

    def step(self) -> dict[str, Any]:
        """Do the job that the config names, whole."""
        number, wave = self.config["job"], self.jobs.wave
        if wave is None:
            need = self.jobs.needs[number]
            report = self.worker.train_artefact(need.name, need.row)
        else:
            report = self.worker.work(wave.rows(wave.packs[number]))
        return {"done": True, "report": asdict(report)}


class Listener(tune.Callback):
    """Passes on to the tally what Tune tells of its trials."""

    def __init__(self, jobs: Jobs, tally: Tally) -> None:
        self.packs = jobs.wave.packs if jobs.wave else []
        self.tally = tally
        self.ended = 0
        self.dead: dict[int, str] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker takes a job."""
        if self.packs:
            self.tally.started(self.packs[trial.config["job"]])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A job is done."""
        self.ended += 1
        report = Report(**result["report"])
        if self.packs:
            self.tally.finished(self.packs[trial.config["job"]], report)
        else:
            self.tally.trained(report)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has died; another one takes its job."""
        if self.packs:
            self.tally.restarted(self.packs[trial.config["job"]])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune gives the job up."""
        self.ended += 1
        said = str(trial.get_error() or "").strip().splitlines()
        self.dead[trial.config["job"]] = said[-1] if said else "no reason given"


class Refused(tune.Stopper):
    """Ends a Tuner run whose store can take nothing more, instead of computing what cannot be kept."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No job is stopped by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether the run ends here."""
        return bool(self.tally.refused)


class Cluster:
    """A running Ray: the one at `address`, or one of its own on this machine.

    Args:
        resources: what one pack takes.
        address: "auto", or host:port of a running cluster; None starts a local one, its dashboard on loopback, Ray's
            token authentication left as Ray sets it.

    Raises:
        ClusterError: nothing answers at `address`, or the cluster has not what one pack takes.
    """

    def __init__(self, resources: Resources, address: str | None) -> None:
        self.local = address is None
        _connect(address)
        total = ray.cluster_resources()
        gpu = resources.gpu if resources.gpu is not None else min(1.0, total.get("GPU", 0.0))
        self.device = "cuda" if gpu > 0 else "cpu"
        self.resources = {"cpu": resources.cpu, "gpu": gpu}
        places = [total.get(kind.upper(), 0.0) / share for kind, share in self.resources.items() if share > 0]
        self.slots = int(min(places, default=1))
        if self.slots < 1:
            self.close()
            raise ClusterError(_too_small(self.resources, total))

    def train(self, needs: Sequence[Need], context: Context, tally: Tally) -> bool:
        """Train the artefacts that are missing, each in a Tune trial of its own. Returns whether it came to its end."""
        return _fit(Jobs(context, None, needs), self.resources, tally)

    def run(self, wave: Wave, context: Context, tally: Tally) -> bool:
        """Work every pack of the wave, and tell the tally. Returns whether it came to its end."""
        return _fit(Jobs(context, wave), self.resources, tally)

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        ray.shutdown()


def _fit(jobs: Jobs, resources: dict[str, float], tally: Tally) -> bool:
    """Work all jobs. What Tune gave up gets a second Tuner run: with reused workers, a job that was being handed to a
    worker as that died can be given up at once.

    Returns:
        Whether every job ended. Tune takes an interrupt for itself and comes back as if all were done.
    """
    first = Listener(jobs, tally)
    whole = _tuned(jobs, list(range(len(jobs))), resources, first)
    if not (whole and first.dead):
        return _closed(first, whole)
    for number in first.dead if first.packs else ():
        tally.restarted(first.packs[number])
    second = Listener(jobs, tally)
    return _closed(second, _tuned(jobs, list(first.dead), resources, second))


def _closed(listener: Listener, whole: bool) -> bool:
    """Tell the tally of the packs that no worker could end."""
    for number, reason in listener.dead.items() if listener.packs else ():
        listener.tally.dropped(listener.packs[number], reason)
    return whole


def _tuned(jobs: Jobs, numbers: list[int], resources: dict[str, float], listener: Listener) -> bool:
    """One Tuner run over the jobs `numbers`. The config of a Tune trial is a number; everything else lies in Ray's
    object store once. Returns whether all of them ended and the store takes more."""
    trainable = tune.with_parameters(PackTrainable, jobs=jobs)
    with _scratch() as folder:
        tune.Tuner(
            tune.with_resources(trainable, resources),
            param_space={"job": tune.grid_search(numbers)},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                name=f"tsd-{uuid.uuid4().hex[:8]}",
                storage_path=str(folder),
                verbose=0,
                callbacks=[listener],
                stop=Refused(listener.tally),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    return listener.ended == len(numbers) and not listener.tally.refused


def _connect(address: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        ray.init(address="local", dashboard_host="127.0.0.1", **quiet)
        return
    _must_answer(address)
    try:
        ray.init(address=address, **quiet)
    except Exception as error:
        why = "none runs here" if address == "auto" else str(error).strip().splitlines()[0]
        raise ClusterError(_unreachable(address, why)) from None


def _must_answer(address: str) -> None:
    """Ray waits half a minute for a head that is not there; a socket tells at once."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if address.startswith("ray://") or not host or not port.isdigit():
        raise ClusterError(_unreachable(address, "expected auto or HOST:PORT"))
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise ClusterError(_unreachable(address, error.strerror or str(error))) from None


def _unreachable(address: str, why: str) -> str:
    return (
        f"No Ray cluster answers at --address {address} ({why}). Nothing was launched and nothing stored was touched. "
        "On the cluster's head node use --address auto; from elsewhere send the driver to the head with the "
        "`ray job submit` line that `plan` prints; without --address the sweep runs on this machine. Where the cluster "
        "asks for a token, put the cluster's into ~/.ray/auth_token; where it takes none, set RAY_AUTH_MODE=disabled."
    )


def _too_small(wanted: dict[str, float], total: dict[str, float]) -> str:
    has = ", ".join(f"{total.get(kind.upper(), 0.0):g} {kind}" for kind in wanted)
    asks = ", ".join(f"{share:g} {kind}" for kind, share in wanted.items())
    return (
        f"One pack asks for {asks}, and the whole cluster has {has}, so no pack could ever start. Nothing was "
        "launched. Lower `resources:` in the sweep file (or with --set resources.gpu=0), or join a larger cluster with "
        "--address."
    )


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Where Tune keeps its own state while it runs. Nothing in it is needed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tsd-tune-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
