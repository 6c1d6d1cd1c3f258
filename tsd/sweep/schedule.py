"""Packs → Ray Tune. One pack is one Tune trial of a class trainable whose actor is used again and again.

Tune keeps nothing of value here: a worker writes its own part, and what is to be run is always the set difference
against the stored parts, so neither `Tuner.restore`, checkpoints nor loggers are needed.
"""

from __future__ import annotations

import faulthandler
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from tsd.errors import ClusterError
from tsd.sweep import cluster, log
from tsd.sweep.apart import work_apart
from tsd.sweep.cluster import FIFOScheduler, TrialProgressCallback, tune
from tsd.sweep.deadline import UNKNOWN_S, deadline
from tsd.sweep.pack import Wave
from tsd.sweep.plan import Need
from tsd.sweep.scratch import scratch
from tsd.sweep.spec import Resources
from tsd.sweep.tally import Tally
from tsd.sweep.work import Context, Report, Worker

RETRIES = 1
"""How often a pack is started again after its worker died, before it is worked apart."""
RETRIES_APART = 3
"""How often then: what kills it there is the machine, for a trial kills no more than its own process."""
LETTING_GO_S = 20.0
"""How long Tune may take to notice that its cluster is gone."""


@dataclass(frozen=True)
class Jobs:
    """What one Tuner run does, sent to every worker once: the packs of a wave, or artefacts to train.

    Args:
        deadlines: seconds that each job may take.
        apart: whether packs run in processes of their own, because they killed their workers.
    """

    context: Context
    wave: Wave | None
    needs: Sequence[Need]
    deadlines: Sequence[float]
    apart: bool = False

    def __len__(self) -> int:
        return len(self.deadlines)


class PackTrainable(tune.Trainable):
    """One pack, or the training of one artefact. Its process outlives it and takes the next."""

    def setup(self, config: dict[str, Any], jobs: Jobs | None = None) -> None:
        """Called once a process; what the worker loads stays for the packs that follow."""
        assert jobs is not None, "given by tune.with_parameters"
        self.jobs = jobs
        self.worker = Worker(jobs.context)
        log.to_stderr()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next pack in the same process."""
        return True

    def step(self) -> dict[str, Any]:
        """Do the job that the config names, whole."""
        return {"done": True, "report": asdict(self._report(self.config["job"]))}

    def _report(self, number: int) -> Report:
        wave, limit = self.jobs.wave, self.jobs.deadlines[number]
        if wave is not None and self.jobs.apart:
            return work_apart(self.worker, wave.rows(wave.packs[number]), limit)
        faulthandler.dump_traceback_later(limit, exit=True, file=2)  # needs no GIL, so it ends whatever hangs
        try:
            if wave is not None:
                return self.worker.work(wave.rows(wave.packs[number]))
            need = self.jobs.needs[number]
            return self.worker.train_artefact(need.name, need.row)
        finally:
            faulthandler.cancel_dump_traceback_later()


class Unkept:
    """Tune pickles all that it is given for a `Tuner.restore` that never comes; this is kept out of it."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Listener(Unkept, TrialProgressCallback):
    """Passes on to the tally what Tune tells of its trials, in the place of Tune's own printer.

    Args:
        last: whether a job that Tune gives up here is lost.
    """

    def __init__(self, jobs: Jobs, tally: Tally, last: bool) -> None:
        self.packs = jobs.wave.packs if jobs.wave else []
        self.tally = tally
        self.last = last
        self.ended: set[int] = set()
        self.dead: list[int] = []

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker takes a job."""
        if self.packs:
            self.tally.started(self.packs[trial.config["job"]])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A job is done."""
        self.ended.add(trial.config["job"])
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
        number = trial.config["job"]
        self.ended.add(number)
        self.dead.append(number)
        if self.packs and self.last:
            said = str(trial.get_error() or "").strip().splitlines()
            self.tally.dropped(self.packs[number], said[-1] if said else "no reason given")
        elif self.packs:
            self.tally.restarted(self.packs[number])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A job ended or was let go; who ended was heard of before."""

    def gone(self) -> None:
        """The cluster is gone, and with it every worker."""
        for pack in self.packs:
            if pack.index in self.tally.running:
                self.tally.restarted(pack)


@dataclass
class Halt:
    """Whether nothing more is to be started."""

    asked: bool = False


class InOrder(Unkept, FIFOScheduler):
    """First come, first served. Once halted, jobs that wait are let go, and those that run come to their end."""

    def __init__(self, halt: Halt) -> None:
        super().__init__()
        self.halt = halt

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Tune asks this before it gives a worker anything to do."""
        if not self.halt.asked:
            return super().choose_trial_to_run(tune_controller)
        for trial in tune_controller.get_trials():
            if trial.status == "PENDING":
                trial.init_local_path()  # Tune's summary at the end asks every trial for its folder
                tune_controller.stop_trial(trial)
        return None


class Refused(Unkept, tune.Stopper):
    """Ends a Tuner run whose store can take nothing more, instead of computing what cannot be kept."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No job is stopped by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether the run ends here."""
        return bool(self.tally.refused)


class Fit(threading.Thread):
    """A Tuner run in a thread of its own, so that the main one can hear Ctrl-C and see Ray die."""

    def __init__(self, fit: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._fit = fit
        self.error: BaseException | None = None

    def run(self) -> None:
        """Until Tune comes back, one way or the other."""
        try:
            self._fit()
        except BaseException as error:  # Ray ends a thread whose cluster is gone by SystemExit
            self.error = error


class Cluster:
    """A running Ray: the one at `address`, or one of its own on this machine.

    Args:
        resources: what one pack takes.
        address: "auto", or host:port of a running cluster; None starts a local one, which nobody else can reach. One
            that dies is started again once.
        fills: the part of a GPU that a pack gets where the sweep does not say.

    Raises:
        ClusterError: nothing answers at `address`, or the cluster has not what one pack takes, or it died.
    """

    def __init__(self, resources: Resources, address: str | None, fills: float = 1.0) -> None:
        self.address = address
        self._fills = fills
        self._halt = Halt()
        self._asked = resources.deadline
        self._held = ExitStack()
        self._folder = self._held.enter_context(scratch())
        self._may_revive = address is None
        self._held.callback(cluster.leave)
        try:
            self._lifeline = cluster.start(self._folder) if address is None else cluster.join(address)
            self._take_stock(resources)
        except BaseException:
            self.close()
            raise

    def _take_stock(self, resources: Resources) -> None:
        total = cluster.grown({"cpu": resources.cpu, "gpu": resources.gpu or 0.0})
        gpu = resources.gpu if resources.gpu is not None else min(self._fills, total.get("GPU", 0.0))
        self.device = "cuda" if gpu > 0 else "cpu"
        self.resources = {"cpu": resources.cpu, "gpu": gpu}
        self.share = min(gpu, 1.0) if gpu > 0 else 1.0
        places = [total.get(kind.upper(), 0.0) / share for kind, share in self.resources.items() if share > 0]
        self.slots = int(min(places, default=1))
        if self.slots < 1:
            raise ClusterError(cluster.too_small(self.resources, total))

    def train(self, needs: Sequence[Need], context: Context, tally: Tally) -> bool:
        """Train the artefacts that are missing, each in a Tune trial of its own. Returns whether it came to its end."""
        return self._work(Jobs(context, None, needs, [UNKNOWN_S] * len(needs)), tally)

    def run(self, wave: Wave, context: Context, tally: Tally) -> bool:
        """Work every pack of the wave, and tell the tally. Returns whether it came to its end."""
        return self._work(Jobs(context, wave, (), self._deadlines(wave, tally)), tally)

    def stop(self) -> None:
        """Let packs that run come to their end, and start no other."""
        self._halt.asked = True

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self._held.close()

    def _deadlines(self, wave: Wave, tally: Tally) -> list[float]:
        """From what was measured in this run, else in earlier ones."""
        paces = {place: measured.pace for place, measured in tally.measured.items()}
        shapes = tally.task.shapes
        return [
            deadline(p.trials, paces.get(p.shape, shapes[p.shape].seconds_a_trial), self._asked) for p in wave.packs
        ]

    def _work(self, jobs: Jobs, tally: Tally) -> bool:
        """Work all jobs. Those that Tune gives up, because their workers died again and again, are then worked apart.

        Returns:
            Whether every job ended.
        """
        first = Listener(jobs, tally, last=False)
        if not self._tuned(jobs, range(len(jobs)), first, RETRIES):
            return False
        again = replace(jobs, apart=True)
        if jobs.wave is not None:
            again = replace(again, deadlines=self._deadlines(jobs.wave, tally))
        return self._tuned(again, first.dead, Listener(again, tally, last=True), RETRIES_APART)

    def _tuned(self, jobs: Jobs, numbers: Sequence[int], listener: Listener, retries: int) -> bool:
        """Tuner runs until every job of `numbers` has ended; one, unless Ray dies. Returns whether they have."""
        while left := [number for number in numbers if number not in listener.ended]:
            fit = Fit(partial(self._fit, jobs, left, listener, retries))
            if lost := self._lifeline.silent() or self._watched(fit):
                listener.gone()
                self._revive(fit, lost)
                continue
            if fit.error:
                raise fit.error
            break
        return listener.ended.issuperset(numbers) and not listener.tally.refused

    def _watched(self, fit: Fit) -> str:
        """Start a Tuner run and wait for it. Returns which part of Ray is gone, or nothing where Tune came to its
        end."""
        lost = ""
        fit.start()
        while fit.is_alive() and not lost:
            fit.join(0.2)
            lost = self._lifeline.lost()
        return (lost or self._lifeline.silent()) if fit.is_alive() or fit.error else ""

    def _revive(self, fit: Fit, lost: str) -> None:
        """Start a Ray of our own again, once. Raises ClusterError where that cannot be."""
        cluster.leave()
        if fit.is_alive():
            fit.join(LETTING_GO_S)
        if fit.is_alive() or not self._may_revive:
            name = "on this machine" if self.address is None else f"at --address {self.address}"
            raise ClusterError(f"Ray {name} has died: {lost} does not answer. What was stored is kept.")
        self._may_revive = False
        print(f"Ray on this machine has died ({lost} does not answer). It is started again.", file=sys.stderr)
        self._lifeline = cluster.start(self._folder)

    def _fit(self, jobs: Jobs, numbers: list[int], listener: Listener, retries: int) -> None:
        """One Tuner run. The config of a Tune trial is a number; everything else lies in Ray's object store once."""
        trainable = tune.with_parameters(PackTrainable, jobs=jobs)
        name = f"tune-{uuid.uuid4().hex[:8]}"
        tune.Tuner(
            tune.with_resources(trainable, self.resources),
            param_space={"job": tune.grid_search(numbers)},
            tune_config=tune.TuneConfig(reuse_actors=True, scheduler=InOrder(self._halt)),
            run_config=tune.RunConfig(
                name=name,
                storage_path=str(self._folder),
                verbose=0,
                callbacks=[listener],
                stop=Refused(listener.tally),
                failure_config=tune.FailureConfig(max_failures=retries),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
