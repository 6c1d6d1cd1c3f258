"""Packs and artefacts run on a GPU without mixing devices: shown on every machine, on a GPU that is pretended."""

from contextlib import contextmanager

import pytest
import torch
from pretend import NAME, MixedDevices, PretendGpu, Recording, Unrecordable
from shelves import MemoryShelf
from torch.fx.experimental import _config

from tsd.engine import arithmetic, fit, replay
from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.methods import METHODS
from tsd.studies import STUDIES, spectral
from tsd.studies._base import GradientStudy, artefacts

distill = STUDIES.load("distill")
SMALL = {"teacher": "cnn", "teacher_width": 4, "teacher_depth": 2, "teacher_epochs": 1, "teacher_batch_size": 1000}
SMALL |= {"student": "cnn", "student_width": 2, "student_depth": 2, "steps": 2, "curve_points": 2}
SMALL |= {"gan_epochs": 1, "gan_batch_size": 1000, "factor_epochs": 1}
GRADIENT = [name for name in STUDIES.names() if issubclass(STUDIES.load(name).Trial, GradientStudy)]
CASES = {name: (STUDIES.load(name), STUDIES.load(name).EXAMPLE) for name in GRADIENT}
CASES |= {f"distill {name}": (distill, distill.EXAMPLE | SMALL | {"method": name}) for name in METHODS.names()}
TAUGHT = ("anomaly", *(f"distill {name}" for name in ("none", "factor_transfer", "gan", "ofd", "student_friendly")))
SEEDS = [Streams(dict.fromkeys(STREAMS, 0) | {"init": i}) for i in range(2)]
SHELF = MemoryShelf()


@contextmanager
def pretended(monkeypatch):
    """A GPU, for packs and for what is trained before them; from their second update on, updates are recorded."""

    def refusing(work):
        def again():
            with Recording():
                work()

        return again

    monkeypatch.setattr(fit, "capturing", lambda device: refusing)
    monkeypatch.setattr(replay, "WARM", 1)
    monkeypatch.setattr(arithmetic, "device", lambda: NAME)
    # Autocast knows no such device, and which elements of a mask are set has no answer without numbers.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)
    with _config.patch(meta_nonzero_assume_all_nonzero=True), PretendGpu():
        yield


@pytest.mark.filterwarnings("ignore:Only one class is present")
@pytest.mark.parametrize("case", CASES)
def test_a_pack_runs_on_a_gpu_from_its_start_to_its_metrics(case, monkeypatch):
    study, values = CASES[case]
    trial = study.Trial.of(values)
    study.start(trial, SEEDS[0], SHELF)
    with pretended(monkeypatch):
        outcomes = run_pack(study, [trial] * 2, SEEDS, SHELF, NAME)
    assert [outcome.state for outcome in outcomes] == ["done"] * 2


@pytest.mark.filterwarnings("ignore:Only one class is present")
@pytest.mark.parametrize("case", TAUGHT)
def test_artefacts_are_trained_on_a_gpu(case, monkeypatch):
    study, values = CASES[case]
    trial, shelf = study.Trial.of(values), MemoryShelf()
    with pretended(monkeypatch):
        for artefact in artefacts(study, trial):
            shelf.get(artefact, trial, SEEDS[0])
    assert shelf.kept


def test_a_loss_that_mixes_devices_is_found_out(monkeypatch):
    trial = spectral.Trial.of(spectral.EXAMPLE)
    weights = torch.ones(20)
    monkeypatch.setattr(spectral, "loss", lambda student, batch, trial: (student.output @ weights).square().mean())
    with pretended(monkeypatch), pytest.raises(MixedDevices):
        run_pack(spectral, [trial] * 2, SEEDS, SHELF, NAME)


def test_an_update_that_asks_the_gpu_for_a_number_is_found_out(monkeypatch):
    trial = spectral.Trial.of(spectral.EXAMPLE)
    made = replay._Phase._work
    monkeypatch.setattr(replay._Phase, "_work", lambda phase, *rest: (float(phase._health[0]), made(phase, *rest)))
    with pretended(monkeypatch), pytest.raises(Unrecordable):
        run_pack(spectral, [trial] * 2, SEEDS, SHELF, NAME)
