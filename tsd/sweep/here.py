"""The same packs in this process, one after another: for debugging, and for a machine without Ray."""

from __future__ import annotations

from collections.abc import Sequence

from tsd.sweep.needs import Need
from tsd.sweep.spec import Resources
from tsd.sweep.tally import Tally
from tsd.sweep.waves import Wave
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
        self._worker: Worker | None = None
        self._stopping = False

    @classmethod
    def on_this_machine(cls, resources: Resources) -> Here:
        """On the GPU where there is one and the sweep does not refuse it, else on the CPU."""
        import torch

        wants_gpu = resources.gpu is None or resources.gpu > 0
        return cls("cuda" if wants_gpu and torch.cuda.is_available() else "cpu")

    def train(self, needs: Sequence[Need], context: Context, tally: Tally) -> bool:
        """Train the artefacts that are missing. Returns whether the store took them all."""
        for need in needs:
            tally.trained(self._at_work(context).train_artefact(need.name, need.row))
            if tally.refused or self._stopping:
                return False
        return True

    def run(self, wave: Wave, context: Context, tally: Tally) -> bool:
        """Work every pack of the wave, and tell the tally. Returns whether the store took them all."""
        worker = self._at_work(context)
        for pack in wave.packs:
            tally.started(pack)
            tally.finished(pack, worker.work(wave.rows(pack)))
            if tally.refused or self._stopping:
                return False
        return True

    def stop(self) -> None:
        """Let the pack that runs come to its end, and start no other."""
        self._stopping = True

    def close(self) -> None:
        """Nothing was started, nothing is to be stopped."""

    def _at_work(self, context: Context) -> Worker:
        if self._worker is None or self._worker.context != context:
            self._worker = Worker(context)
        return self._worker
