"""What Ray Tune is given: jobs, the trainable that does them, and who listens, orders and ends."""

from __future__ import annotations

import faulthandler
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tsd.sweep import log
from tsd.sweep.apart import work_apart
from tsd.sweep.cluster import FIFOScheduler, TrialProgressCallback, tune
from tsd.sweep.needs import Need
from tsd.sweep.tally import Tally
from tsd.sweep.waves import Wave
from tsd.sweep.work import Context, Report, Worker


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
