"""The study: who sees which samples, what is shared, and what a teacher is worth."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from shelves import MemoryShelf

from tsd import data
from tsd.data import _places, fashion_mnist
from tsd.engine import fit as engine_fit
from tsd.engine.fit import fit
from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.methods._teacher import TEACHER
from tsd.models import cnn
from tsd.studies import distill
from tsd.studies._base import Fitted
from tsd.studies._classify import predict


@pytest.fixture(scope="module")
def shelf():
    return MemoryShelf()


def trial(**changed):
    return distill.Trial.of(distill.EXAMPLE | changed)


def seeds(**given):
    return Streams(dict.fromkeys(STREAMS, 0) | given)


def run(shelf, *trials, streams=None):
    return run_pack(distill, trials, [streams or seeds()] * len(trials), shelf)


def test_reading_the_studys_fields_needs_no_torch():
    code = "import sys; from tsd.studies.distill import Trial; Trial.fields(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_data_set_that_cannot_be_meant_is_told_before_anything_runs():
    distill.CHECKS["dataset"]("digits")
    with pytest.raises(UserError, match="Did you mean `digits`"):
        distill.CHECKS["dataset"]("digit")


def prepare(**changed):
    distill.prepare(trial(**changed))


def balanced(per_class, image=(28, 28)):
    """An .npz file's arrays: `per_class` training images of each of two classes."""
    x, y = np.random.default_rng(0).random((2 * per_class, *image)), np.arange(2 * per_class) % 2
    return {"x_train": x, "y_train": y, "x_test": x, "y_test": y}


GAUSSIAN = {"dataset": "gaussian", "gaussian_dim": 6, "gaussian_classes": 3, "gaussian_samples": 30}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"student": "lenet5", "student_depth": 0}, r"student: lenet5, .*dataset: digits.*\(1, 8, 8\)"),
        ({"student": "lenet5", "student_depth": 2}, "student_depth: 2.*depth of its own"),
        ({"teacher": "lenet5", "teacher_depth": 0}, "The teacher cannot be built: teacher: lenet5"),
        ({**GAUSSIAN, "student": "lenet5", "student_depth": 0}, r"student: lenet5, .*dataset: gaussian.*\(6,\)"),
        ({**GAUSSIAN, "teacher": "cnn"}, r"teacher: cnn, .*dataset: gaussian.*\(6,\)"),
        ({"student": "cnn", "student_depth": 4}, "student_depth: 4, dataset: digits.*can be halved 3 times"),
        ({"teacher": "cnn", "teacher_depth": 10**9}, "teacher_depth: 1000000000.*can be halved 3 times"),
        ({"samples_per_class": 500}, "samples_per_class 500 .*class 9 of digits has 133 .*at most 133"),
        ({"validation_per_class": 129}, "samples_per_class 5 and validation_per_class 129 .*at most 133"),
        ({"samples_per_class": 0, "validation_per_class": 133}, "samples_per_class 0 and validation_per_class 133"),
        ({**GAUSSIAN, "samples_per_class": 11}, "samples_per_class 11 .*gaussian draws 30 samples of 3 classes.* 10,"),
        ({**GAUSSIAN, "samples_per_class": 4, "validation_per_class": 7}, "validation_per_class 7 .*at most 10"),
        ({**GAUSSIAN, "gaussian_samples": 2, "samples_per_class": 0}, "gaussian draws 2 samples of 3 classes"),
    ],
)
def test_what_cannot_be_is_told_with_its_values_before_anything_runs(changed, said):
    with pytest.raises(UserError, match=said):
        prepare(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"student": "cnn", "student_depth": 3, "teacher": "cnn", "teacher_depth": 3},
        {"samples_per_class": 133},
        {"samples_per_class": 100, "validation_per_class": 33},
        {"samples_per_class": 0, "validation_per_class": 132},
        {**GAUSSIAN, "samples_per_class": 4, "validation_per_class": 6},
    ],
)
def test_what_can_just_be_is_not_refused(changed):
    prepare(**changed)


def test_an_npz_is_judged_by_what_it_holds(tmp_path):
    np.savez(tmp_path / "mine.npz", **balanced(17))
    mine = {"dataset": str(tmp_path / "mine.npz"), "student": "lenet5", "student_depth": 0}
    prepare(**mine, samples_per_class=17)
    with pytest.raises(UserError, match=r"class 0 of .*mine\.npz has 17 training samples"):
        prepare(**mine, samples_per_class=500)
    np.savez(tmp_path / "small.npz", **balanced(17, image=(9, 9)))
    with pytest.raises(UserError, match=r"lenet5, .*small\.npz.*\(1, 9, 9\)"):
        prepare(**mine | {"dataset": str(tmp_path / "small.npz")})


def test_what_is_refused_would_have_failed_and_what_is_not_runs(shelf):
    """The largest samples_per_class that passes is the largest that a trial can be given."""
    kept = distill.start(trial(samples_per_class=133), seeds(), shelf).train["y"]
    assert kept.bincount().tolist() == [133] * 10
    with pytest.raises(UserError, match="134 samples of each class"):
        distill.start(trial(samples_per_class=134), seeds(), shelf)


def test_the_defaults_are_the_few_sample_protocol():
    """50 per class in batches of 50 for 60 epochs are 600 steps."""
    default = distill.Trial()
    assert (default.teacher, default.teacher_width, default.teacher_epochs) == ("cnn", 16, 2)
    assert (default.student, default.student_width) == ("cnn", 4)
    assert (default.optimizer, default.lr, default.batch_size) == ("adam", 2e-3, 50)
    assert default.epochs * default.samples_per_class * 10 / default.batch_size == 600


@pytest.mark.parametrize("method", ["none", "kd"])
@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_a_trial_reports_every_metric_that_is_declared(shelf, family, method):
    [outcome] = run(shelf, trial(student=family, method=method, validation_per_class=3))
    others = {"test_accuracy_batch", "test_accuracy_recalibrated"}  # of methods that see no images
    others |= {"sign_agreement", "noise_entropy", "noise_class_entropy", "noise_classes"}  # of one method each
    others |= {"alive_nodes", "test_accuracy_pruned", "accuracy_keep"}  # of students that are pruned
    declared = {m.name: m for m in distill.METRICS if not m.curve and m.name not in others}
    assert outcome.state == "done"
    assert outcome.measured.metrics.keys() == declared.keys()
    assert all(type(value) is declared[name].type for name, value in outcome.measured.metrics.items())
    assert {c.metric for c in outcome.measured.curves} == {m.name for m in distill.METRICS if m.curve} - others


def test_without_validation_samples_there_is_no_validation_accuracy(shelf):
    [outcome] = run(shelf, trial())
    assert "validation_accuracy" not in outcome.measured.metrics


def test_teacher_logits_are_the_frozen_teachers_answers_to_the_very_same_samples(shelf):
    """A cache that is out of order by one sample teaches nonsense."""
    settings = trial(teacher="cnn", teacher_width=4, validation_per_class=5)
    start = distill.start(settings, seeds(), shelf)
    arrays, _ = shelf.get(TEACHER, settings, seeds())
    model = cnn.build(4, 1, "relu", (1, 8, 8), 10)
    params, buffers = (
        {k: torch.tensor(arrays[k]) for k in part} for part in model.init(functools.partial(seeds().generator, "init"))
    )
    own = predict(Fitted(model, params, buffers), start.train["x"])
    assert torch.allclose(start.train["logits"], own, atol=1e-4)
    assert not start.train["logits"].requires_grad


def test_student_teacher_and_validation_see_what_they_should(shelf, monkeypatch):
    """The student's samples lie among the teacher's, and nobody is trained on a validation or a test sample."""
    seen = {}

    def spy(starts, *rest, **options):
        seen["teacher"] = starts[0].train["x"]
        return fit(starts, *rest, **options)

    monkeypatch.setattr(engine_fit, "fit", spy)
    start = distill.start(trial(validation_per_class=20), seeds(), MemoryShelf())
    rows = {name: {x.numpy().tobytes() for x in t} for name, t in seen.items()}
    rows |= {name: {x.numpy().tobytes() for x in start.held[name]["x"]} for name in ("train", "validation", "test")}
    assert start.train["y"].bincount().tolist() == [5] * 10
    assert start.held["validation"]["y"].bincount().tolist() == [20] * 10
    assert rows["train"] < rows["teacher"]
    assert len(seen["teacher"]) == 1437 - 200
    assert rows["teacher"].isdisjoint(rows["validation"])


def test_the_held_out_samples_are_the_same_whatever_the_seeds(shelf):
    one, other = (
        distill.start(trial(validation_per_class=3), seeds(data=i, init=i, noise=i), shelf).held["validation"]["x"]
        for i in (0, 1)
    )
    assert one is other


def test_methods_are_compared_in_pairs(shelf):
    """Same seeds: the same samples and first weights. Another data seed: other samples, the same weights."""
    kd, none = (distill.start(trial(method=m), seeds(), shelf) for m in ("kd", "none"))
    other = distill.start(trial(), seeds(data=1), shelf)
    assert torch.equal(kd.train["x"], none.train["x"])
    assert all(torch.equal(kd.params[name], none.params[name]) for name in kd.params)
    assert not torch.equal(kd.train["x"], other.train["x"])
    assert all(torch.equal(kd.params[name], other.params[name]) for name in kd.params)


def test_the_row_knows_the_subset_and_it_is_that_of_every_method_and_student(shelf):
    taught = [{"method": "none"}, {"method": "kd", "student": "cnn"}, {"method": "fitnet"}, {"method": "noise"}]

    def subset(changed, i=0):
        [outcome] = run(shelf, trial(**changed), streams=seeds(data=i, init=i))
        return outcome.measured.metrics["subset"]

    [here], [there] = ({subset(changed, i) for changed in taught} for i in (0, 1))
    assert here != there
    y = data.load("digits").y_train
    rows = data.balanced_subset(y, 5, seeds().generator("data", "subset"))
    assert here == data.digest(torch.from_numpy(rows))
    assert subset({"samples_per_class": 0}) == data.digest(torch.arange(len(y)))


def test_one_teacher_serves_all_students_methods_and_data_seeds():
    shelf = MemoryShelf()
    for changed, streams in (
        ({"method": "none"}, seeds()),
        ({"method": "kd", "temperature": 2.0, "samples_per_class": 9}, seeds(data=3, init=2)),
        ({"student_width": 12, "lr": 0.1}, seeds(noise=1)),
    ):
        distill.start(trial(**changed), streams, shelf)
    assert len(shelf.kept) == 1
    distill.start(trial(), seeds(teacher=1), shelf)
    distill.start(trial(teacher_width=5), seeds(), shelf)
    assert len(shelf.kept) == 3


def test_a_teacher_is_a_function_of_its_seed_alone(shelf):
    first, again, other = (
        TEACHER.make(trial(), s, shelf)[0] for s in (seeds(), seeds(data=5, init=5, noise=5), seeds(teacher=1))
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["logits.test"], other["logits.test"])


def test_without_soft_weight_the_trained_student_is_exactly_that_of_plain_training(shelf):
    plain, neutral = run(shelf, trial(method="none")), run(shelf, trial(method="kd", soft_weight=0.0))
    assert plain == neutral


def test_all_samples_are_taken_when_none_are_counted_and_they_are_not_copied(shelf):
    one, other = (distill.start(trial(samples_per_class=0), seeds(data=i), shelf) for i in (0, 1))
    assert one.train["x"] is other.train["x"] is data.load("digits").x_train


def test_gaussian_data_of_any_size_can_be_distilled(shelf):
    [outcome] = run(shelf, trial(dataset="gaussian", gaussian_dim=6, gaussian_classes=3, gaussian_samples=300))
    assert outcome.state == "done"
    assert distill.start(trial(dataset="gaussian", gaussian_dim=6), seeds(), shelf).train["x"].shape[1] == 6


def test_a_taught_student_learns_more_and_agrees_more_with_its_teacher(shelf):
    """The point of it all, on 5 digits of each class and the mean of 4 seeds."""
    common = {"teacher_width": 64, "teacher_epochs": 30, "student_width": 32, "steps": 200, "curve_points": 0}
    gain = []
    for seed in range(4):
        streams = seeds(data=seed, init=seed)
        none, kd = (run(shelf, trial(**common, method=m), streams=streams)[0].measured.metrics for m in ("none", "kd"))
        gain.append((kd["test_accuracy"] - none["test_accuracy"], kd["agreement"] - none["agreement"]))
    accuracy, agreement = np.mean(gain, 0)
    assert accuracy > 0.5
    assert agreement > 0.5


def test_a_teacher_that_diverges_is_said(shelf):
    with pytest.raises(UserError, match="teacher diverged with teacher_lr 1e\\+30"):
        run(shelf, trial(teacher_lr=1e30))


def test_data_that_changed_under_its_name_is_noticed(tmp_path):
    def save(seed):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal((40, 6)), np.arange(40) % 2
        np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x, y_test=y)

    settings, shelf = trial(dataset=str(tmp_path / "mine.npz")), MemoryShelf()
    save(0)
    distill.start(settings, seeds(), shelf)
    save(1)
    with pytest.raises(UserError, match=r"trained on other data than .*mine\.npz now holds"):
        distill.start(settings, seeds(), shelf)


def test_too_few_samples_of_a_class_are_said(shelf):
    with pytest.raises(UserError, match="1000 samples of each class were asked for"):
        run(shelf, trial(samples_per_class=1000))


@pytest.mark.data
def test_with_ten_fashion_images_a_class_a_teacher_is_worth_points():
    """A third of the measured protocol's gain of 4 points must show, after half of the teacher's training."""
    source = fashion_mnist.SOURCE
    if not (_places.holds(_places.home(), source.files) or _places.holds(_places.home(), source.archives)):
        pytest.skip(f"Fashion-MNIST is not in {_places.home()}; set TSD_DATA or fetch it once")
    shelf, gain = MemoryShelf(), []
    for seed in range(2):
        trials = (
            distill.Trial.of(
                {"method": m, "samples_per_class": 10, "steps": 200, "teacher_epochs": 1, "curve_points": 0}
            )
            for m in ("none", "kd")
        )
        none, kd = (run(shelf, t, streams=seeds(data=seed, init=seed))[0].measured.metrics for t in trials)
        assert none["teacher_accuracy"] > 85
        gain.append(kd["test_accuracy"] - none["test_accuracy"])
    assert np.mean(gain) > 1.3


RECIPE = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "schedule": "step", "optimizer": "sgd", "lr": 0.05}
RESIDUAL = {
    "teacher": "resnet",
    "teacher_width": 4,
    "teacher_depth": 14,
    "teacher_epochs": 2,
    "teacher_batch_size": 128,
}
RESIDUAL |= {"student": "resnet", "student_width": 4, "student_depth": 8, "steps": 6, "curve_points": 0}


@pytest.mark.parametrize("method", ["kd", "fitnet", "ab"])
def test_the_recipe_of_residual_networks_serves_teacher_and_student(shelf, method):
    """Nesterov's momentum, decay, steps of 1/10, crops and mirrors, layers in bfloat16."""
    theirs = {f"teacher_{name}": value for name, value in RECIPE.items()}
    one = trial(**RESIDUAL, **RECIPE, **theirs, augment="crop_flip", teacher_augment="crop_flip", method=method)
    full, mixed = run(shelf, one)[0], run(shelf, one.but(precision="bf16"))[0]
    assert (full.state, mixed.state) == ("done", "done")
    assert full.measured.metrics["teacher_accuracy"] > 15
    assert mixed.measured.metrics["nll"] == pytest.approx(full.measured.metrics["nll"], rel=0.1)
    assert mixed.measured.metrics["nll"] != full.measured.metrics["nll"]


@pytest.mark.parametrize("whose", ["", "teacher_"])
def test_milestones_that_cannot_be_read_are_told_before_anything_runs(whose):
    with pytest.raises(UserError, match="ascending and between 0 and 1"):
        prepare(**{f"{whose}schedule": "step", f"{whose}milestones": "0.9 0.3"})


def test_a_teachers_recipe_decides_which_teacher_it_is():
    shelf = MemoryShelf()
    for changed in ({}, {"nesterov": True}, {"schedule": "step", "teacher_schedule": "step"}):
        distill.start(trial(**changed), seeds(), shelf)
    for changed in ({"teacher_nesterov": True}, {"teacher_schedule": "step", "teacher_milestones": "0.3"}):
        distill.start(trial(**changed), seeds(), shelf)
    assert len(shelf.kept) == 4
