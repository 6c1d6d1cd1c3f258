"""What every file of `tsd/studies` owes: its declarations, and results that depend on the trial alone."""

import subprocess
import sys
from random import Random

import pytest
from lives import in_one_go_and_in_lives
from shelves import MemoryShelf

from tsd.engine import fit
from tsd.engine.rng import Streams
from tsd.engine.run import run_pack
from tsd.store import Store
from tsd.studies import STUDIES
from tsd.studies._base import Metric, Study

pytestmark = pytest.mark.parametrize("name", STUDIES.names())


@pytest.fixture
def study(name):
    return STUDIES.load(name)


def seeds_of(number):
    """Trials that differ in every stream, except that two by two they share a teacher."""
    return Streams({"teacher": number // 2, "data": number, "init": number, "noise": number})


def run(study, numbers, shelf):
    """Outcomes of the trials `numbers`, written out: NaN equals NaN and every bit shows."""
    trial = study.Trial.of(study.EXAMPLE)
    return [repr(o) for o in run_pack(study, [trial for _ in numbers], [seeds_of(n) for n in numbers], shelf)]


@pytest.fixture
def shelf():
    return MemoryShelf()


def test_it_declares_what_a_study_declares(study):
    assert isinstance(study.VERSION, int) and study.VERSION >= 1
    assert len(study.__doc__.split()) > 20, "a study opens with its idea, its equations and its source"
    assert issubclass(study.Trial, Study)
    assert all(isinstance(metric, Metric) for metric in study.METRICS)
    losses = hasattr(study, "loss") or hasattr(study, "phases")
    assert hasattr(study, "simulate") or (losses and hasattr(study, "start") and hasattr(study, "measure"))


def test_every_field_and_every_metric_is_documented(study):
    for field in study.Trial.fields().values():
        assert field.doc.endswith("."), f"{field.name} needs a sentence that says what it means"
        assert field.parse(field.default) == field.default, f"the default of {field.name} is out of its own range"
    for metric in study.METRICS:
        assert metric.doc.endswith("."), f"{metric.name} needs a sentence that says what it is"
        assert metric.type in (int, float, str)
    names = [(metric.name, metric.curve) for metric in study.METRICS]
    assert len(set(names)) == len(names)
    assert not {metric.name for metric in study.METRICS if not metric.curve} & set(study.Trial.fields())


def test_its_example_is_valid(study):
    known = study.Trial.of(study.EXAMPLE).values()
    assert set(study.EXAMPLE) <= set(known)


def test_reading_it_does_not_import_torch(name):
    code = f"import sys, tsd.studies.{name} as s; s.Trial.fields(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_reports_what_it_declares(study, shelf):
    trial = study.Trial.of(study.EXAMPLE)
    (outcome,) = run_pack(study, [trial], [seeds_of(0)], shelf)
    assert outcome.state == "done"
    declared = {metric.name: metric.type for metric in study.METRICS if not metric.curve}
    assert outcome.measured.metrics and outcome.measured.metrics.keys() <= declared.keys()
    assert all(isinstance(value, declared[name]) for name, value in outcome.measured.metrics.items())
    curves = {metric.name for metric in study.METRICS if metric.curve}
    assert {curve.metric for curve in outcome.measured.curves} <= curves
    assert all(len(curve.steps) == len(curve.values) for curve in outcome.measured.curves)


def test_a_trial_gets_the_same_bits_alone_and_in_any_pack(study, shelf):
    together = run(study, range(4), shelf)
    assert [run(study, [n], shelf)[0] for n in range(4)] == together
    assert run(study, [2, 0, 3], shelf) == [together[2], together[0], together[3]]
    assert run(study, [1, 1, 1, 0, 1], shelf) == [together[n] for n in (1, 1, 1, 0, 1)]


def test_work_that_was_cut_off_goes_on_there_and_to_the_same_bits(name, study, shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "ASK_S", 0)  # asked after every update
    trials, seeds = [study.Trial.of(study.EXAMPLE)] * 3, [seeds_of(number) for number in range(3)]

    def work(keep):
        return run_pack(study, trials, seeds, shelf, keep=keep)

    whole, found = in_one_go_and_in_lives(work, Store(tmp_path / "example").files, 4, Random(name))
    assert found == whole


def test_equal_seeds_give_equal_bits_and_other_seeds_others(study):
    first, again = run(study, [0, 3], MemoryShelf()), run(study, [0, 3], MemoryShelf())
    assert first == again
    assert first[0] != first[1]
