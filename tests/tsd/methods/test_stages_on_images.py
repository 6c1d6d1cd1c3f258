"""The first stages of `fitnet` and `ab` do on 500 images what they do on 500 digits. One teacher serves both."""

import pytest
from taught_digits import agreements, stage, start, value

from tsd.data import _places, fashion_mnist
from tsd.studies import distill
from tsd.studies._base import Fitted

pytestmark = pytest.mark.data


def images(method):
    """500 images of Fashion-MNIST, and a teacher that saw 10,000 of it."""
    source = fashion_mnist.SOURCE
    if not (_places.holds(_places.home(), source.files) or _places.holds(_places.home(), source.archives)):
        pytest.skip(f"Fashion-MNIST is not in {_places.home()}; set TSD_DATA or fetch it once")
    return distill.Trial.of(
        {"method": method, "validation_per_class": 5000, "teacher_epochs": 1, "student_width": 4, "curve_points": 0}
    )


def test_the_hint_stage_halves_the_loss_on_500_images():
    one = images("fitnet")
    before = start(one)
    assert value(one, stage(one, 0, 200)) <= 0.5 * value(one, Fitted(before.model, before.params, before.buffers))


def test_the_units_of_500_images_agree_after_200_updates():
    one = images("ab")
    assert min(agreements(one, stage(one, 0, 200))) >= 0.7
