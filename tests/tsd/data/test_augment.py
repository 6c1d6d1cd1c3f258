"""Augmentation: symmetries, a second implementation by padding, and draws that are even and belong to one image."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import pad

from tsd.data import AUGMENTATIONS, augment
from tsd.data._augment import crop, flip
from tsd.errors import UserError


def generator(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def images(n=6, shape=(3, 9, 7)):
    return torch.arange(n * np.prod(shape), dtype=torch.float32).reshape(n, *shape)


def test_flipping_twice_is_nothing():
    mirrored = torch.tensor([True, False, True, True, False, True])
    once = flip(images(), mirrored)
    assert torch.equal(once[1], images()[1])
    assert torch.equal(once[0], images()[0].flip(2))
    assert torch.equal(flip(once, mirrored), images())


def test_a_crop_is_a_window_of_the_reflected_image():
    """torch's reflecting pad as second implementation, at every one of the 9 × 9 places."""
    places = torch.cartesian_prod(torch.arange(9), torch.arange(9))
    x = images(len(places))
    padded = pad(x, (4, 4, 4, 4), mode="reflect")
    for image, cut, (row, column) in zip(padded, crop(x, places), places, strict=True):
        assert torch.equal(cut, image[:, row : row + 9, column : column + 7])


def test_the_middle_crop_is_the_image_itself():
    assert torch.equal(crop(images(), torch.full((6, 2), 4)), images())


def test_draws_of_places_and_mirrors_are_even():
    """A ramp tells where each image was cut and whether it was mirrored; χ² tests at one in a thousand."""
    n = 16_200
    x = (torch.arange(100.0).reshape(10, 10)[None, None]).expand(n, 1, 10, 10)
    inner = augment(x, "crop_flip", generator())[:, 0, 4:6, 4:6]
    mirrored = inner[:, 0, 1] < inner[:, 0, 0]
    corner = inner.amin((1, 2)).long()
    rows, columns = corner // 10, corner % 10
    assert stats.chisquare(torch.bincount(rows * 9 + columns, minlength=81).numpy()).pvalue > 1e-3
    assert stats.chisquare(torch.bincount(mirrored.long()).numpy()).pvalue > 1e-3
    table = np.histogram2d(columns.numpy(), mirrored.numpy(), bins=(9, 2))[0]
    assert stats.chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_equal_generators_give_equal_batches_and_leave_the_images_alone(kind):
    x = images()
    first, second = augment(x, kind, generator(1)), augment(x, kind, generator(1))
    assert torch.equal(first, second)
    assert torch.equal(x, images())
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert torch.equal(first, augment(x, kind, generator(2))) == (kind == "none")


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_no_sample_and_no_channel_sees_another(kind):
    """Every pixel comes from its own image and channel, at the same place in all channels."""
    x = images(n=40)
    out = augment(x, kind, generator())
    for new, old in zip(out, x, strict=True):
        step = old[1, 0, 0] - old[0, 0, 0]
        assert torch.isin(new[0], old[0]).all()
        assert torch.equal(new[1], new[0] + step)
    changed = x.clone()
    changed[3] += 1e6
    other = augment(changed, kind, generator())
    assert torch.equal(torch.cat([other[:3], other[4:]]), torch.cat([out[:3], out[4:]]))


def test_draws_depend_on_the_batch_alone():
    """The same draws for images of other values, channels and sizes."""
    place = []
    for shape in ((1, 12, 12), (3, 20, 20)):
        ramp = torch.arange(float(shape[1]) * shape[2]).reshape(shape[1:]).expand(6, *shape)
        cut = augment(ramp, "crop", generator(5))[:, 0, 4, 4].long()
        place.append(torch.stack([cut // shape[2], cut % shape[2]]))
    assert torch.equal(*place)


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        ((12,), "flip", r"`flip` is for images .* inputs of shape \(12,\)"),
        ((1, 4, 9), "crop", r"larger images than that; .* \(1, 4, 9\)"),
        ((1, 9, 9), "rotate", "no augmentation `rotate`; there are `none`, `flip`, `crop`, `crop_flip`"),
    ],
)
def test_what_cannot_be_augmented_is_said(shape, kind, said):
    with pytest.raises(UserError, match=said):
        augment(torch.zeros(2, *shape), kind, generator())


def test_nothing_is_asked_of_inputs_that_stay_as_they_are():
    x = torch.ones(3, 5)
    assert augment(x, "none", generator()) is x
