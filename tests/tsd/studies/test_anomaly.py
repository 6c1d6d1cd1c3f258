"""The study: what a flow learns, who shares it, where students part from it, and what cannot be asked."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shelves import MemoryShelf

from tsd.data._surfaces import Counts, surfaces
from tsd.engine.rng import STREAMS, Streams
from tsd.engine.run import run_pack
from tsd.errors import UserError
from tsd.studies import _anomaly_data, _anomaly_features, anomaly
from tsd.studies._anomaly_teacher import train_flow

MANIFOLD = {
    "dataset": "manifold",
    "train_samples": 500,
    "test_good": 300,
    "test_defective": 300,
    "position_dim": 0,
    "flow_hidden": 16,
    "flow_lr": 5e-3,
    "flow_batch_size": 50,
    "lr": 5e-3,
    "batch_size": 50,
    "curve_points": 2,
}


def trial(**changed):
    return anomaly.Trial.of(anomaly.EXAMPLE | changed)


def seeds(**given):
    return Streams(dict.fromkeys(STREAMS, 0) | given)


def run(shelf, *trials, streams=None):
    return run_pack(anomaly, trials, [streams or seeds()] * len(trials), shelf)


def named(outcome, name):
    return next(curve for curve in outcome.measured.curves if curve.metric == name)


@pytest.fixture(scope="module")
def on_the_manifold():
    """Outcomes of three seeds by kind of student."""
    shelf = MemoryShelf()
    kinds = {student: anomaly.Trial.of(MANIFOLD | {"student": student}) for student in ("asymmetric", "symmetric")}
    return {
        kind: [run(shelf, each, streams=Streams(dict.fromkeys(STREAMS, s)))[0] for s in range(3)]
        for kind, each in kinds.items()
    }


def mean(outcomes, metric):
    return np.mean([outcome.measured.metrics[metric] for outcome in outcomes])


def test_an_asymmetric_student_sees_what_is_off_the_manifold_and_no_worse_than_a_symmetric_one(on_the_manifold):
    assert mean(on_the_manifold["asymmetric"], "auroc_image") >= 0.9
    assert mean(on_the_manifold["asymmetric"], "auroc_image") >= mean(on_the_manifold["symmetric"], "auroc_image")


def test_a_flow_learns_and_comes_near_the_entropy_of_the_manifold(on_the_manifold):
    """No likelihood is better than the entropy: ½ for each of seven normals and ½ + log σ for x₂ given x₁, where
    σ² = 0.01 / 2.01, since x₂ = x₁² + noise has variance 2.01 before it is scaled to one."""
    entropy = 8 / 2 + math.log(math.sqrt(0.01 / 2.01))
    for outcome in on_the_manifold["asymmetric"]:
        losses = named(outcome, "traced_flow_nll").values
        assert losses[-1] < losses[0] - 1.5
        assert entropy - 0.25 < outcome.measured.metrics["flow_nll"] < entropy + 1
        assert outcome.measured.metrics["inversion_error"] < 1e-4


@pytest.mark.parametrize("texture", ["weave", "brushed"])
def test_an_asymmetric_student_sees_defects_of_surfaces(texture):
    changed = {"texture": texture, "map_size": 8, "train_samples": 64, "flow_epochs": 10, "epochs": 10, "lr": 4e-3}
    (outcome,) = run(MemoryShelf(), anomaly.Trial.of(changed | {"flow_lr": 4e-3, "curve_points": 0}))
    assert outcome.measured.metrics["auroc_image"] >= 0.9
    assert outcome.measured.metrics["auroc_pixel"] >= 0.8


def test_what_is_reported_is_the_last_step():
    (outcome,) = run(MemoryShelf(), trial(curve_points=5))
    for part in ("good", "defective"):
        traced = named(outcome, f"traced_distance_{part}")
        assert traced.values[-1] == outcome.measured.metrics[f"distance_{part}"]
        assert traced.steps[-1] == 2


@pytest.mark.parametrize("score", ["max", "mean"])
def test_the_image_score_is_the_one_asked_for(score):
    (outcome,) = run(MemoryShelf(), trial(score=score, test_good=30, test_defective=30, defect_strength=0.3))
    metrics = outcome.measured.metrics
    assert metrics["auroc_max"] != metrics["auroc_mean"]
    assert metrics["auroc_image"] == metrics[f"auroc_{score}"]


def test_one_flow_serves_every_student_of_its_data_and_seed():
    shelf = MemoryShelf()
    for changed in ({}, {"student": "symmetric"}, {"lr": 1e-4}, {"student_width": 6}, {"defect_strength": 0.1}):
        run(shelf, trial(**changed))
    run(shelf, trial(), streams=seeds(init=1, data=1, noise=1))
    assert len(shelf.kept) == 1
    run(shelf, trial(), streams=seeds(teacher=1))
    run(shelf, trial(texture="grain"))
    assert len(shelf.kept) == 3


def test_every_field_that_the_flow_reads_is_a_field_of_the_artefact():
    """What is not among them can change without changing a bit of it."""
    own = set(anomaly.TEACHER.fields)
    others = set(anomaly.Trial.fields()) - own
    changed = {"defect_strength": 0.2, "lr": 0.5, "weight_decay": 0.1, "batch_size": 3, "epochs": 5, "steps": 4}
    changed |= {"student": "symmetric", "student_width": 9, "student_blocks": 3, "score": "max", "dtype": "float64"}
    changed |= {"optimizer": "sgd", "momentum": 0.5, "schedule": "linear", "curve_points": 7, "way": "vmap"}
    changed |= {"test_good": 5, "test_defective": 4, "nesterov": True, "precision": "bf16"}
    changed |= {"milestones": "0.1", "milestone_factor": 0.5}
    assert set(changed) == others
    (a, facts), (b, other) = (train_flow(each, seeds(), MemoryShelf()) for each in (trial(), trial(**changed)))
    assert facts == other and all((a[name] == b[name]).all() for name in a)


def test_a_symmetric_student_is_a_flow_of_the_teachers_size():
    (outcome,) = run(MemoryShelf(), trial(student="symmetric"))
    assert outcome.measured.metrics["student_params"] == outcome.measured.metrics["teacher_params"]


@pytest.mark.parametrize("student", ["asymmetric", "symmetric"])
def test_students_that_are_mapped_side_by_side_learn_the_same(student):
    shelf = MemoryShelf()
    rates = [trial(student=student, lr=lr, way=way) for way in ("loop", "vmap") for lr in (1e-3, 4e-3)]
    looped, mapped = run(shelf, *rates[:2]), run(shelf, *rates[2:])
    assert [o.way for o in (*looped, *mapped)] == ["loop", "loop", "vmap", "vmap"]
    for one, other in zip(looped, mapped, strict=True):
        for name in ("distance_good", "distance_defective"):
            assert one.measured.metrics[name] == pytest.approx(other.measured.metrics[name], rel=1e-4)


def test_features_are_standardised_and_a_wave_excites_its_own_channel():
    samples = _anomaly_data.samples(_anomaly_data.source(trial(train_samples=20), Counts(20, 2, 2)), 0)
    torch.testing.assert_close(samples.train.mean((0, 2, 3)), torch.zeros(14), atol=1e-5, rtol=0)
    torch.testing.assert_close(samples.train.std((0, 2, 3), correction=0), torch.ones(14))
    wave = 0.5 + 0.4 * torch.sin(2 * math.pi * torch.arange(64) / 8).expand(1, 1, 64, 64)
    energy = _anomaly_features.extract(wave, "gabor", "", 4).mean((0, 2, 3))[:12]
    assert energy.argmax() == 4, "the wave of 8 pixels along x"
    turned = _anomaly_features.extract(wave.mT, "gabor", "", 4).mean((0, 2, 3))[:12]
    assert turned.argmax() == 6, "the same along y, a quarter turn of four half-right angles"


@pytest.fixture
def mobilenet(tmp_path, monkeypatch):
    """Weights where torch keeps those that were downloaded; drawn ones, so that nothing is."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    zoo = _anomaly_features._zoo()
    model = zoo.get_model("mobilenet_v3_small", weights=None).eval()
    file = Path(zoo.MobileNet_V3_Small_Weights.DEFAULT.url).name
    torch.save(model.state_dict(), tmp_path / "hub/checkpoints" / file)
    return model


def test_any_layer_of_a_torchvision_model_gives_features_where_its_weights_are(mobilenet):
    images = torch.rand(3, 1, 32, 32)
    features = _anomaly_features.extract(images, "mobilenet_v3_small", "features.2", 99)
    shift, scale = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    scaled = (images.expand(-1, 3, -1, -1) - shift.view(3, 1, 1)) / scale.view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(features, mobilenet.features[:3](scaled))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("features.99", r"`features\.99` is no layer of torchvision's `mobilenet_v3_small`.*`features\.4`"),
        ("classifier.0", r"`classifier\.0` of .* features of shape \(1024,\); expected maps"),
    ],
)
def test_a_layer_that_is_not_there_or_has_no_maps_is_refused(mobilenet, layer, said):
    with pytest.raises(UserError, match=said):
        anomaly.prepare(trial(extractor="mobilenet_v3_small", extractor_layer=layer))


def test_weights_that_are_not_there_are_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"weights of `efficientnet_b5` are not at .*load_state_dict_from_url"):
        anomaly.prepare(trial(extractor="efficientnet_b5"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"position_dim": 6}, "position_dim is 6; .*Use 4 or 8"),
        ({"map_size": 5}, "images of 32 pixels to maps of 5: image_size must be a multiple"),
        ({"image_size": 16}, "at least 32"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(changed, said):
    with pytest.raises(UserError, match=said):
        anomaly.prepare(trial(**changed))


def test_names_that_cannot_be_meant_are_told():
    with pytest.raises(UserError, match="mvtec/botle does not exist"):
        anomaly.CHECKS["dataset"]("mvtec/botle")
    with pytest.raises(UserError, match=r"no feature extractor `efficientnet_b55`.*Did you mean `efficientnet_b5`"):
        anomaly.CHECKS["extractor"]("efficientnet_b55")
    for known in ("surfaces", "manifold"):
        anomaly.CHECKS["dataset"](known)
    for known in ("gabor", "efficientnet_b5"):
        anomaly.CHECKS["extractor"](known)


def test_a_flow_that_diverges_says_what_to_lower():
    with pytest.raises(UserError, match=r"flow diverged with flow_lr 1e\+20"):
        train_flow(trial(flow_lr=1e20), seeds(), MemoryShelf())


@pytest.fixture
def folder(tmp_path):
    """A class of objects in MVTec's layout."""
    pieces = surfaces("weave", 32, Counts(8, 3, 3), strength=1.0, streams=seeds())
    parts = [("train/good", image, None) for image in pieces.train]
    parts += [(f"test/{kind}", *pair) for kind, *pair in zip(pieces.kinds, pieces.test, pieces.mask, strict=True)]
    for i, (place, image, mask) in enumerate(parts):
        _save(tmp_path / "cloth" / place / f"{i}.png", image[0])
        if mask is not None and mask.any():
            _save(tmp_path / "cloth" / place.replace("test", "ground_truth") / f"{i}_mask.png", mask)
    return tmp_path / "cloth"


def _save(path: Path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(image) * 255).astype(np.uint8)).save(path)


def test_a_class_of_ones_own_photographs_runs_like_a_drawn_one(folder):
    mine = trial(dataset=str(folder))
    anomaly.CHECKS["dataset"](mine.dataset)
    anomaly.prepare(mine)
    (outcome,) = run(MemoryShelf(), mine)
    assert outcome.state == "done" and 0 <= outcome.measured.metrics["auroc_pixel"] <= 1


def test_photographs_that_changed_under_a_stored_flow_are_noticed(folder):
    mine, shelf = trial(dataset=str(folder)), MemoryShelf()
    run(shelf, mine)
    (folder / "train/good/0.png").unlink()
    _anomaly_data.samples.cache_clear()
    with pytest.raises(UserError, match=r"trained on other images than .*cloth now holds"):
        run(shelf, mine)


def test_a_test_set_of_good_pieces_alone_is_refused_before_anything_runs(folder):
    for kind in ("scratch", "spot", "dent"):
        shutil.rmtree(folder / "test" / kind)
    with pytest.raises(UserError, match="only good ones among them, so that AUROC"):
        anomaly.prepare(trial(dataset=str(folder)))
