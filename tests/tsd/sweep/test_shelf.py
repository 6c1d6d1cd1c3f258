"""What is trained beforehand survives the worker that trains it, and has the bits of training in one go."""

from random import Random

import numpy as np
import pytest
from lives import Life, Lost

from tsd.engine import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.store import Store, checkpoints
from tsd.studies import STUDIES
from tsd.studies._base import artefacts
from tsd.sweep.shelf import StoreShelf

SEEDS = Streams(dict.fromkeys(STREAMS, 0))
SMALL = {"teacher": "cnn", "teacher_width": 4, "teacher_depth": 2, "teacher_epochs": 2, "teacher_batch_size": 400}
SMALL |= {"student": "cnn", "student_width": 2, "student_depth": 2}
CASES = {
    "flow": ("anomaly", {}),
    "teacher": ("distill", {"teacher_optimizer": "sgd", "teacher_momentum": 0.9, "teacher_augment": "flip"}),
    "assistant": ("distill", {"method": "assistant", "assistants": "3x2"}),
    "student_friendly_teacher": ("distill", {"method": "student_friendly"}),
    "gan": ("distill", {"method": "gan", "gan_epochs": 2, "gan_batch_size": 400}),
    "paraphraser": ("distill", {"method": "factor_transfer", "factor_epochs": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_an_artefact_whose_worker_is_lost_goes_on_elsewhere_to_the_same_bits(name, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "ASK_S", 0)  # asked after every update
    study, values = STUDIES.load(CASES[name][0]), CASES[name][1]
    trial = study.Trial.of(study.EXAMPLE | (SMALL if CASES[name][0] == "distill" else {}) | values)
    [wanted] = [artefact for artefact in artefacts(study, trial) if artefact.name == name]

    def trained(folder, last=None):
        """By a worker that has nothing in its memory, and how often it was asked."""
        store, life = Store(tmp_path / folder), Life(last)
        for below in wanted.needs:
            StoreShelf(study, "study", store).get(below, trial, SEEDS)
        monkeypatch.setattr(checkpoints.Keeper, "due", lambda keeper: life.due())
        try:
            return StoreShelf(study, "study", store).get(wanted, trial, SEEDS), life.asked
        finally:
            monkeypatch.setattr(checkpoints.Keeper, "due", lambda keeper: False)

    (arrays, facts), total = trained("undisturbed")
    first, second = sorted(Random(name).sample(range(1, total), 2))
    for moment in (first, second - first):
        with pytest.raises(Lost):
            trained("disturbed", moment)
    (again, known), asked = trained("disturbed")
    assert asked == total - second, "what was done is not done again"
    assert known == facts
    assert again.keys() == arrays.keys() and all(np.array_equal(again[key], arrays[key]) for key in arrays)
    assert not Store(tmp_path / "disturbed").files.listed("checkpoints")
