"""What Ray Tune is given: what asks for jobs, the trainable that does them, and who listens, orders and ends."""

from __future__ import annotations

import faulthandler
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tsd.sweep import log
from tsd.sweep.apart import work_apart
from tsd.sweep.cluster import FIFOScheduler, Searcher, TrialProgressCallback, tune
from tsd.sweep.errand import Job, Queue
from tsd.sweep.needs import Need
from tsd.sweep.tally import Tally
from tsd.sweep.waves import Pack, Wave
from tsd.sweep.work import Context, Report, Worker


@dataclass(frozen=True)
class Load:
    """What every worker is sent once: the rows of packs and the artefacts to train, of which the config of a Tune trial
    names one.

    Args:
        apart: whether packs run in processes of their own, because they killed their workers.
    """

    context: Context
    wave: Wave
    needs: Sequence[Need]
    apart: bool = False


def config(number: int, job: Job, limit: float) -> dict[str, Any]:
    """A Tune trial: which job it is, within how many seconds, and where to find it in the load."""
    place = {"key": job.key} if isinstance(job, Need) else {"pack": [job.index, job.shape, job.start, job.trials]}
    return {"job": number, "limit": limit} | place


class PackTrainable(tune.Trainable):
    """One pack, or the training of one artefact, or a nap. Its process outlives it and takes the next."""

    def setup(self, config: dict[str, Any], load: Load | None = None) -> None:
        """Called once a process; what the worker loads stays for the packs that follow."""
        assert load is not None, "given by tune.with_parameters"
        self.load = load
        self.worker = Worker(load.context)
        log.to_stderr()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next pack in the same process."""
        return True

    def step(self) -> dict[str, Any]:
        """Do the job that the config names, whole."""
        if "nap" in self.config:
            time.sleep(self.config["nap"])
            return {"done": True}
        return {"done": True, "report": asdict(self._report(self.config))}

    def _report(self, asked: Mapping[str, Any]) -> Report:
        rows = self.load.wave.rows(Pack(*asked["pack"])) if "pack" in asked else None
        if rows is not None and self.load.apart:
            return work_apart(self.worker, rows, asked["limit"])
        faulthandler.dump_traceback_later(asked["limit"], exit=True, file=2)  # needs no GIL, so it ends whatever hangs
        try:
            if rows is not None:
                return self.worker.work(rows)
            need = next(need for need in self.load.needs if need.key == asked["key"])
            return self.worker.train_artefact(need.name, need.row)
        finally:
            faulthandler.cancel_dump_traceback_later()


class Unkept:
    """Tune pickles all that it is given for a `Tuner.restore` that never comes; this is kept out of it."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


@dataclass
class Halt:
    """Whether nothing more is to be started."""

    asked: bool = False


class Asking(Unkept, Searcher):
    """Gives Tune the jobs of a queue as it asks for trials. Tune lets workers go for which nothing waits: where a stage
    is not over yet, they are given naps.

    Args:
        limit: the seconds that a job may take.
    """

    def __init__(self, queue: Queue, limit: Callable[[Job], float], halt: Halt) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self._queue = queue
        self._limit = limit
        self._halt = halt

    def suggest(self, trial_id: str) -> Any:
        """The next job, nothing for now, or that there will be nothing more."""
        try:
            number = None if self._halt.asked else self._queue.take()
        except BaseException as error:  # it is raised where the run is waited for; Tune would tell a story of its own
            self.error = error
        if self.error or self._halt.asked:
            return Searcher.FINISHED
        if number is not None:
            job = self._queue.jobs[number]
            return config(number, job, self._limit(job))
        if self._queue.dry:
            return Searcher.FINISHED
        seconds = self._queue.nap()
        return None if seconds is None else {"nap": seconds}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The listener hears of it."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing is kept: what is to be run follows from what is stored."""


class Listener(Unkept, TrialProgressCallback):
    """Passes on to the queue and the tally what Tune tells of its trials, in the place of Tune's own printer.

    Args:
        last: whether a job that Tune gives up here is lost.
    """

    def __init__(self, queue: Queue, tally: Tally, last: bool) -> None:
        self.queue = queue
        self.tally = tally
        self.last = last
        self.dead: list[Job] = []

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker takes a job."""
        if pack := self._pack(trial):
            self.tally.started(pack)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A job is done."""
        if "nap" in trial.config:
            self.queue.woke()
            return
        self.queue.ended(trial.config["job"])
        report = Report(**result["report"])
        if pack := self._pack(trial):
            self.tally.finished(pack, report)
        else:
            self.tally.trained(report)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has died; another one takes its job."""
        if pack := self._pack(trial):
            self.tally.restarted(pack)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune gives the job up."""
        if "nap" in trial.config:
            self.queue.woke()
            return
        number, pack = trial.config["job"], self._pack(trial)
        if self.queue.again(number):
            return
        self.queue.ended(number)
        if pack and self.last:
            said = str(trial.get_error() or "").strip().splitlines()
            self.tally.dropped(pack, said[-1] if said else "no reason given")
        elif pack:
            self.dead.append(pack)
            self.tally.restarted(pack)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A job ended or was let go; who ended was heard of before."""

    def gone(self) -> None:
        """The cluster is gone, and with it every worker."""
        for job in self.queue.jobs:
            if isinstance(job, Pack) and job.index in self.tally.running:
                self.tally.restarted(job)
        self.queue.gone()

    def _pack(self, trial: Any) -> Pack | None:
        job = self.queue.jobs[trial.config["job"]] if "job" in trial.config else None
        return job if isinstance(job, Pack) else None


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
