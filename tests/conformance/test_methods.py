"""What every file of `tsd/methods` keeps: a new one is tested on arrival."""

import re
import subprocess
import sys

import pytest
import torch
from shelves import MemoryShelf
from torch.func import grad, vmap

from tsd.engine.rng import Streams
from tsd.engine.run import run_pack
from tsd.fields import Role
from tsd.methods import METHODS
from tsd.methods._base import Distillation, Needs, Taxonomy
from tsd.models import cnn
from tsd.models._base import View
from tsd.studies import STUDIES

CLASSES, TRIALS, BATCH = 5, 3, 6


def views(*shape, seed=0):
    """A student's and a teacher's view, with logits and with the features of a small network, and labels."""
    generator = torch.Generator().manual_seed(seed)
    names = cnn.build(2, 0, "relu", (1, 4, 4), CLASSES).points

    def tensor(*size):
        return torch.randn(*shape, BATCH, *size, generator=generator)

    student, teacher = ((tensor(CLASSES), {name: tensor(4, 2, 2) for name in names}) for _ in "st")
    return student, teacher, torch.randint(0, CLASSES, (*shape, BATCH), generator=generator)


def loss(values, student, teacher, label, name):
    method = METHODS.load(name).Method.of(values)
    return sum(method.loss(View(*student, {}), View(*teacher, {}), label).values())


def values_of(name, trials=None):
    """Defaults of a method's batched fields as the engine gives them: tensors, here with a different value a trial."""
    fields = METHODS.load(name).Method.fields().values()
    numbers = {f.name: torch.tensor(float(f.default)) for f in fields if f.role is Role.BATCHED and f.type is float}
    if trials is None:
        return numbers
    return {key: value * torch.linspace(0.5, 1, trials) for key, value in numbers.items()}


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_says_its_idea_its_source_its_needs_and_its_fields(name):
    module = METHODS.load(name)
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:|\b(19|20)\d\d\b", module.__doc__), "no source in the docstring"
    assert issubclass(module.Method, Distillation)
    assert isinstance(module.Method.needs, Needs)
    assert isinstance(module.Method.taxonomy, Taxonomy)
    assert module.Method.__doc__ != Distillation.__doc__
    for declared in module.Method.fields().values():
        assert declared.doc.endswith("."), declared.name
        assert declared.parse(declared.default) == declared.default


@pytest.mark.parametrize("name", METHODS.names())
def test_reading_a_methods_fields_needs_no_torch(name):
    read = f"from tsd.methods import METHODS; METHODS.load('{name}').Method.fields()"
    subprocess.run([sys.executable, "-c", f"import sys; {read}; assert 'torch' not in sys.modules"], check=True)


@pytest.mark.parametrize("name", METHODS.names())
def test_terms_are_named_finite_scalars(name):
    student, teacher, label = views()
    terms = METHODS.load(name).Method.of(values_of(name)).loss(View(*student, {}), View(*teacher, {}), label)
    assert terms
    for term in terms.values():
        assert term.shape == ()
        assert term.isfinite()


@pytest.mark.parametrize("name", METHODS.names())
def test_the_student_gets_a_gradient_and_a_teacher_that_is_not_needed_is_not_read(name):
    student, teacher, label = views()
    gradient = grad(lambda logits: loss(values_of(name), (logits, student[1]), teacher, label, name))(student[0])
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0
    if not METHODS.load(name).Method.needs.teacher:
        other = loss(values_of(name), student, views(seed=1)[1], label, name)
        assert torch.equal(other, loss(values_of(name), student, teacher, label, name))


@pytest.mark.parametrize("name", METHODS.names())
def test_a_stack_of_trials_has_the_loss_and_the_gradient_of_each_alone(name):
    student, teacher, label = views(TRIALS)
    values = values_of(name, TRIALS)

    def one(values, logits, features, teacher, label):
        return loss(values, (logits, features), teacher, label, name)

    arguments = (values, *student, teacher, label)
    alone = [torch.utils._pytree.tree_map(lambda t, i=i: t[i], arguments) for i in range(TRIALS)]
    in_dims = (0 if values else None, 0, 0, 0, 0)
    for function in (one, grad(one, argnums=1)):
        together = vmap(function, in_dims=in_dims)(*arguments)
        for i, own in enumerate(alone):
            assert torch.allclose(function(*own), together[i], atol=1e-6)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_loss_is_a_mean_over_the_batch(name):
    """Twice the same samples: the same loss."""
    student, teacher, label = views()
    twice = torch.utils._pytree.tree_map(lambda t: torch.cat([t, t]), (student, teacher, label))
    single = loss(values_of(name), student, teacher, label, name)
    assert torch.allclose(loss(values_of(name), *twice, name), single, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in METHODS.names() if METHODS.load(n).Method.neutral])
def test_the_neutral_setting_is_plain_training(name):
    student, teacher, label = views()
    neutral = values_of(name) | {k: torch.tensor(v) for k, v in METHODS.load(name).Method.neutral.items()}
    assert torch.equal(loss(neutral, student, teacher, label, name), loss({}, student, teacher, label, "none"))


@pytest.mark.parametrize("name", METHODS.names())
def test_a_method_that_reads_logits_only_does_not_look_at_features(name):
    if METHODS.load(name).Method.needs.features:
        return
    student, teacher, label = views()
    bare = loss(values_of(name), (student[0], {}), (teacher[0], {}), label, name)
    assert torch.equal(bare, loss(values_of(name), student, teacher, label, name))


@pytest.mark.parametrize("name", METHODS.names())
@pytest.mark.parametrize("way", ["dense", "vmap", "loop"])
def test_a_student_gets_the_same_bits_alone_and_among_others_with_other_settings(name, way):
    """Trials of one pack differ in their seeds and in every batched number of the method and of the optimizer."""
    distill = STUDIES.load("distill")
    numbers = [f for f in METHODS.load(name).Method.fields().values() if f.role is Role.BATCHED and f.type is float]

    def trial(i):
        own = {f.name: float(f.default) * (1 - 0.2 * i) for f in numbers}
        return distill.Trial.of(distill.EXAMPLE | {"method": name, "way": way, "lr": 1e-2 / (i + 1)} | own)

    def outcomes(members):
        seeds = [Streams({"teacher": 0, "data": i, "init": i, "noise": i}) for i in members]
        return [repr(o) for o in run_pack(distill, [trial(i) for i in members], seeds, shelf)]

    shelf = MemoryShelf()
    together = outcomes([0, 1, 2])
    assert [outcomes([i])[0] for i in range(3)] == together
    assert outcomes([2, 0]) == [together[2], together[0]]
