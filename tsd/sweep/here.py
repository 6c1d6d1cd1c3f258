"""The same packs in this process, one after another: for debugging, and for a machine without Ray."""

from __future__ import annotations

from itertools import chain

from tsd.sweep.errand import Errand
from tsd.sweep.needs import Need
from tsd.sweep.spec import Resources
from tsd.sweep.tally import Tally
from tsd.sweep.work import Context, Worker


class Here:
    """Runs artefacts and packs in the calling process.

    Args:
        device: "cpu" or "cuda".
    """

    slots = 1
    share = 1.0

    def __init__(self, device: str) -> None:
        self.device = device
        self._stopping = False

    @classmethod
    def on_this_machine(cls, resources: Resources) -> Here:
        """On the GPU where there is one and the sweep does not refuse it, else on the CPU."""
        import torch

        wants_gpu = resources.gpu is None or resources.gpu > 0
        return cls("cuda" if wants_gpu and torch.cuda.is_available() else "cpu")

    def run(self, errand: Errand, context: Context, tally: Tally) -> bool:
        """Work all stages of the errand, and tell the tally. Returns whether the store took everything."""
        worker = Worker(context)
        for job in chain.from_iterable(stage() for stage in errand.stages):
            if isinstance(job, Need):
                tally.trained(worker.train_artefact(job.name, job.row))
            else:
                tally.started(job)
                tally.finished(job, worker.work(errand.wave.rows(job)))
            if tally.refused or self._stopping:
                return False
        return True

    def stop(self) -> None:
        """Let the pack that runs come to its end, and start no other."""
        self._stopping = True

    def close(self) -> None:
        """Nothing was started, nothing is to be stopped."""
