"""Packs → Ray Tune. One pack is one Tune trial of a class trainable whose actor is used again and again.

Tune keeps nothing of value here: a worker writes its own part, and what is to be run is always the set difference
against the stored parts, so neither `Tuner.restore`, checkpoints nor loggers are needed.
"""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from tsd.errors import ClusterError
from tsd.sweep import cluster
from tsd.sweep.cluster import tune
from tsd.sweep.deadline import UNKNOWN_S, deadline
from tsd.sweep.errand import Errand, Job, Queue
from tsd.sweep.jobs import Asking, Halt, InOrder, Listener, Load, PackTrainable, Refused
from tsd.sweep.needs import Need
from tsd.sweep.scratch import scratch
from tsd.sweep.spec import Resources
from tsd.sweep.tally import Tally
from tsd.sweep.work import Context

RETRIES = 1
"""How often a pack is started again after its worker died, before it is worked apart."""
RETRIES_APART = 3
"""How often then: what kills it there is the machine, for a trial kills no more than its own process."""
LETTING_GO_S = 20.0
"""How long Tune may take to notice that its cluster is gone."""


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

    def run(self, errand: Errand, context: Context, tally: Tally) -> bool:
        """Work all stages of the errand, and tell the tally. Packs that Tune gives up, because their workers died again
        and again, are then worked apart. Returns whether every job ended."""
        load, limit = Load(context, errand.wave, errand.needs), partial(self._limit, tally)
        first = Listener(Queue(errand.stages, self.slots), tally, last=False)
        if not self._tuned(load, first, limit, RETRIES):
            return False
        last = Listener(Queue([lambda: first.dead], self.slots), tally, last=True)
        return not first.dead or self._tuned(replace(load, apart=True), last, limit, RETRIES_APART)

    def stop(self) -> None:
        """Let packs that run come to their end, and start no other."""
        self._halt.asked = True

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self._held.close()

    def _limit(self, tally: Tally, job: Job) -> float:
        """The seconds that a job may take, from what was measured in this run, else in earlier ones."""
        if isinstance(job, Need):
            return UNKNOWN_S
        measured = tally.measured.get(job.shape)
        pace = measured.pace if measured else tally.task.shapes[job.shape].seconds_a_trial
        return deadline(job.trials, pace, self._asked)

    def _tuned(self, load: Load, listener: Listener, limit: Callable[[Job], float], retries: int) -> bool:
        """Tuner runs until every job of the listener's queue has ended; one, unless Ray dies. Returns whether they
        have."""
        while not listener.queue.done:
            asking = Asking(listener.queue, limit, self._halt)
            fit = Fit(partial(self._fit, load, asking, listener, retries))
            if lost := self._lifeline.silent() or self._watched(fit):
                listener.gone()
                self._revive(fit, lost)
                continue
            if error := asking.error or fit.error:
                raise error
            break
        return listener.queue.done and not listener.tally.refused

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
            raise ClusterError(f"Ray {name} has died ({lost} does not answer)")
        self._may_revive = False
        print(f"Ray on this machine has died ({lost} does not answer). It is started again.", file=sys.stderr)
        self._lifeline = cluster.start(self._folder)

    def _fit(self, load: Load, asking: Asking, listener: Listener, retries: int) -> None:
        """One Tuner run. The config of a Tune trial is a few numbers; all else lies in Ray's object store once."""
        trainable = tune.with_parameters(PackTrainable, load=load)
        name = f"tune-{uuid.uuid4().hex[:8]}"
        tune.Tuner(
            tune.with_resources(trainable, self.resources),
            tune_config=tune.TuneConfig(
                num_samples=-1, search_alg=asking, reuse_actors=True, scheduler=InOrder(self._halt)
            ),
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
