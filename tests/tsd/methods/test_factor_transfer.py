"""Factor transfer: the values computed by hand, what does not change the loss, and what the paraphraser keeps."""

import pytest
import torch
from shelves import MemoryShelf
from taught_digits import SEEDS, SHELF, start, trial

from tsd.engine.rng import Streams
from tsd.errors import UserError
from tsd.methods._paraphraser import PARAPHRASER
from tsd.methods._teacher import TEACHER
from tsd.methods.at import attention, attention_loss
from tsd.methods.factor_transfer import factor_loss
from tsd.studies import distill
from tsd.studies._base import artefacts
from tsd.studies._distill_networks import pair

STUDENT, TEACHER_FACTOR = (torch.tensor([row], dtype=torch.float64) for row in ([3, 4], [4, 3]))
FORMS = [(p, kind) for p in (1, 2) for kind in ("flatten_l2", "channel_pow2")]
QUICK = {"factor_epochs": 1}


def factors(*shape):
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize(("p", "expected"), [(1, 0.2), (2, 0.282843)])
def test_the_loss_has_its_golden_values(p, expected):
    assert factor_loss(STUDENT, TEACHER_FACTOR, p).item() == pytest.approx(expected, abs=1e-5)


def test_the_usual_wrong_losses_are_told_apart():
    right = factor_loss(STUDENT, TEACHER_FACTOR, 1).item()
    assert right != pytest.approx(0.4, abs=1e-5), "the sum over the elements"
    assert right != pytest.approx((STUDENT - TEACHER_FACTOR).abs().mean().item(), abs=1e-5), "without normalising"
    maps = [x.reshape(1, 2, 1, 1) for x in (STUDENT, TEACHER_FACTOR)]
    assert factor_loss(*maps, 1, "channel_pow2").item() == 0, "a map of one place is the same in both"


@pytest.mark.parametrize("p", [1, 2])
def test_the_loss_agrees_with_the_formula_written_out(p):
    student, teacher = factors(3, 4, 2, 2)
    total = 0.0
    for s, t in zip(student.flatten(1), teacher.flatten(1), strict=True):
        apart = s / s.square().sum().sqrt() - t / t.square().sum().sqrt()
        total += apart.abs().mean() if p == 1 else apart.square().sum().sqrt()
    assert factor_loss(student, teacher, p).item() == pytest.approx(total.item() / 3, rel=1e-12)


@pytest.mark.parametrize(("p", "kind"), FORMS)
def test_the_size_of_a_factor_does_not_count(p, kind):
    student, teacher = factors(3, 4, 2, 2)
    loss = factor_loss(student, teacher, p, kind).item()
    assert factor_loss(7 * student, teacher, p, kind).item() == pytest.approx(loss, rel=1e-12)
    assert factor_loss(student, 0.1 * teacher, p, kind).item() == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize(("p", "kind"), FORMS)
def test_equal_factors_and_empty_ones_have_no_loss_and_a_finite_gradient(p, kind):
    one, _ = factors(3, 4, 2, 2)
    for value in (one, torch.zeros_like(one)):
        student = value.clone().requires_grad_()
        loss = factor_loss(student, value, p, kind)
        assert loss.item() == 0
        assert torch.autograd.grad(loss, student)[0].isfinite().all()


@pytest.mark.parametrize(("p", "kind"), FORMS)
def test_the_gradient_is_that_of_the_formula(p, kind):
    student, teacher = factors(2, 3, 2, 2)
    assert torch.autograd.gradcheck(lambda s: factor_loss(s, teacher, p, kind), student.requires_grad_())


def test_by_powers_of_the_channels_it_is_attention_transfer():
    student, teacher = factors(3, 4, 2, 2)
    assert factor_loss(student, teacher, 2, "channel_pow2").item() == pytest.approx(
        attention_loss(student, teacher).item(), rel=1e-12
    )
    apart = (attention(student) - attention(teacher)).abs().mean()
    assert factor_loss(student, teacher, 1, "channel_pow2").item() == pytest.approx(apart.item(), rel=1e-12)


def test_what_the_paraphraser_tells_again_is_what_it_was_told():
    """On test images, whose features it never saw: less than 0.3 of their variance is lost in half the channels."""
    settings = {"factor_recon": "mse", "factor_lr": 1e-2, "factor_epochs": 30}
    told = trial("factor_transfer", student_point="act2", teacher_point="act2", **settings)
    arrays, facts = SHELF.get(PARAPHRASER, told, SEEDS)
    untrained = PARAPHRASER.make(told.but(factor_epochs=1, factor_lr=1e-12), SEEDS, SHELF)[1]
    assert facts["unexplained"] < 0.3 < untrained["unexplained"]
    assert arrays["paraphraser.conv3.weight"].shape == (8, 8, 3, 3)
    assert not [name for name in arrays if "decode" in name]


def test_one_paraphraser_serves_all_students_of_a_teacher():
    shelf, one = MemoryShelf(), trial("factor_transfer", **QUICK)
    other_seeds = Streams(SEEDS.seeds | {"data": 3, "init": 2, "noise": 1})
    for changed in ({"student_width": 2}, {"factor_weight": 3.0}, {"lr": 0.1, "samples_per_class": 9}):
        distill.start(one.but(**changed), other_seeds, shelf)
    assert [key[0] for key in shelf.kept] == ["teacher", "paraphraser"]
    for changed in ({"factor_rate": 0.75}, {"factor_recon": "mse"}, {"factor_epochs": 2}, {"teacher_point": "act2"}):
        shelf.get(PARAPHRASER, one.but(**changed), SEEDS)
    assert [key[0] for key in shelf.kept] == ["teacher", *["paraphraser"] * 5]
    assert artefacts(distill, one) == [TEACHER, PARAPHRASER]


def test_a_paraphraser_depends_on_the_teachers_seed_alone():
    one = trial("factor_transfer", **QUICK)
    first, again = (
        PARAPHRASER.make(one, Streams(SEEDS.seeds | {"data": i, "init": i, "noise": i}), SHELF)[0] for i in (0, 5)
    )
    assert all((first[name] == again[name]).all() for name in first)
    other = PARAPHRASER.make(one, Streams(SEEDS.seeds | {"teacher": 1}), SHELF)[0]
    assert any((first[name] != other[name]).any() for name in first)


def test_the_paraphraser_stays_as_it_is_while_the_student_is_trained():
    """Its weights go with the batch, not with what is trained, and carry no gradient."""
    before = start(trial("factor_transfer", **QUICK))
    assert [name for name in before.whole if name.startswith("product.paraphraser.")]
    assert not [name for name in before.params if "paraphraser" in name]
    assert [name for name in before.params if name.startswith("adapter.translator.")]
    assert not any(tensor.requires_grad for tensor in before.whole.values())


def test_a_larger_map_is_averaged_down():
    one = trial("factor_transfer", student_point="act1", teacher_point="act2", **QUICK)
    [phase] = distill.phases(one)
    before = start(one)
    view = before.model.forward(before.params, before.buffers, before.train["x"], train=True)
    assert view.features["act1"].shape[2:] == (8, 8)
    assert before.train["feature.act2"].shape[2:] == (4, 4)
    assert phase.loss(view, before.train | dict(before.whole), one).isfinite()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"student_point": "hidden", "teacher_point": "act2"}, r"`hidden` of the student cnn has shape \(16,\)"),
        ({"student": "mlp", "student_depth": 1}, r"`hidden1` of the student mlp has shape \(4,\)"),
    ],
)
def test_vectors_are_refused(changed, said):
    with pytest.raises(UserError, match=said):
        distill.prepare(trial("factor_transfer", **changed))


def test_a_paraphraser_that_diverges_is_said():
    with pytest.raises(UserError, match=r"paraphraser diverged with factor_lr 1e\+30"):
        PARAPHRASER.make(trial("factor_transfer", factor_lr=1e30, factor_epochs=2), SEEDS, SHELF)


def test_the_pair_that_is_compared_is_the_end_of_the_last_stage():
    one = trial("factor_transfer")
    assert one.part("method").pairs(*pair(one)) == [("pool2", "pool2")]


@pytest.mark.parametrize("method", ["factor_transfer", "ofd"])
def test_what_is_prepared_from_the_plain_teacher_is_not_read_from_another_one(method):
    with pytest.raises(UserError, match=f"`{method}` prepares .* `student_friendly` lets another one teach"):
        distill.prepare(trial(f"{method}+student_friendly"))
    distill.prepare(trial(f"{method}+kd"))
