"""The first stage of `fitnet` and `ab` may have its own step size, rule and images; the defaults are the trial's."""

import pytest
import torch
from taught_digits import SEEDS, SHELF, start, trial

from tsd import data
from tsd.engine.fit import fit
from tsd.engine.run import run_pack
from tsd.studies import distill

STAGED = [("fitnet", "hint"), ("ab", "ab")]
SHORT = {"samples_per_class": 5, "batch_size": 20, "steps": 9, "teacher_epochs": 1}


def trained(one, begin=None):
    [run] = fit([begin or start(one)], [one], [SEEDS], distill.phases(one))
    return run.fitted.params


@pytest.mark.parametrize(("method", "key"), STAGED)
def test_the_first_stage_takes_its_own_step_size_and_rule(method, key):
    plain = trained(trial(method, **SHORT))
    for name, value in (("lr", 0.05), ("optimizer", "sgd")):
        own = trained(trial(method, **SHORT, **{f"{key}_{name}": value}))
        assert any(not torch.equal(own[k], plain[k]) for k in plain)
    same = trained(trial(method, **SHORT, **{f"{key}_lr": 2e-3, f"{key}_optimizer": "adam"}))
    assert all(torch.equal(same[k], plain[k]) for k in plain)


@pytest.mark.parametrize(("method", "key"), STAGED)
def test_the_first_stage_may_see_every_image_and_then_reads_no_label(method, key):
    one = trial(method, **SHORT, **{f"{key}_images": "all"})
    begin = start(one)
    assert begin.others["all"]["x"] is data.load("digits").x_train
    assert len(begin.train["x"]) == 50
    clean = trained(one, begin)
    begin.others["all"]["y"] = begin.others["all"]["y"] + 10**9
    blind = trained(one, begin)
    assert all(torch.equal(clean[k], blind[k]) for k in clean)
    few = trained(trial(method, **SHORT))
    assert any(not torch.equal(clean[k], few[k]) for k in few)


@pytest.mark.parametrize("method", ["fitnet+crd", "ab+at"])
def test_sums_keep_the_stage_and_its_images(method):
    images = {"hint_images": "all", "hint_lr": 1e-2} if "fitnet" in method else {"ab_images": "all"}
    [outcome] = run_pack(distill, [trial(method, **SHORT, **images, crd_negatives=8)], [SEEDS], SHELF)
    assert outcome.state == "done"
