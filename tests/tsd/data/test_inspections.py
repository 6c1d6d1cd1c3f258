"""Images with defects: surfaces that are drawn, and folders in MVTec's layout."""

import numpy as np
import pytest
from PIL import Image

from tsd.data import _mvtec
from tsd.data._surfaces import DEFECTS, TEXTURES, Counts, surfaces
from tsd.engine.rng import Streams
from tsd.errors import UserError

COUNTS = Counts(train=4, good=3, defective=6)


def drawn(texture="weave", size=48, counts=COUNTS, strength=1.0, seed=0):
    return surfaces(texture, size, counts, strength=strength, streams=Streams({"teacher": seed}))


@pytest.mark.parametrize("texture", TEXTURES)
def test_pieces_are_grey_images_whose_defects_take_turns_and_have_masks(texture):
    pieces = drawn(texture)
    assert pieces.train.shape == (4, 1, 48, 48) and pieces.test.shape == (9, 1, 48, 48)
    assert pieces.train.min() >= 0 and pieces.test.max() <= 1 and abs(pieces.train.mean() - 0.5) < 0.02
    assert pieces.kinds == ("good",) * 3 + tuple(DEFECTS) * 2
    sizes = pieces.mask.sum((1, 2))
    assert not sizes[:3].any() and (sizes[3:] > 5).all() and (sizes[3:] < 48 * 48 / 4).all()


def test_a_defect_lies_where_its_mask_says():
    """Of what a defect changes, most lies on its mask: a defect of no strength leaves the same piece without it."""
    changed = (drawn(strength=1.0).test - drawn(strength=0.0).test).abs().squeeze(1)
    mask = drawn().mask
    assert not changed[:3].any()
    for change, where in zip(changed[3:], mask[3:], strict=True):
        assert change[where].mean() > 10 * change[~where].mean()


def test_an_image_depends_on_its_number_alone():
    few, many = drawn(counts=Counts(2, 1, 2)), drawn(counts=Counts(4, 3, 6))
    assert few.train.equal(many.train[:2])
    assert few.test[1:].equal(many.test[3:5])


def test_strength_changes_nothing_but_the_defects_and_seeds_change_all():
    assert drawn(strength=0.5).train.equal(drawn().train)
    assert drawn(strength=0.5).mask.equal(drawn().mask)
    assert not drawn(seed=1).train.equal(drawn().train)


@pytest.fixture
def bottle(tmp_path):
    """An object class as MVTec ships it, from drawn pieces."""
    pieces = drawn()

    def save(name, image):
        path = tmp_path / "bottle" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((np.asarray(image) * 255).astype(np.uint8)).save(path)

    for i, image in enumerate(pieces.train):
        save(f"train/good/{i:03}.png", image[0])
    for i, (kind, image, mask) in enumerate(zip(pieces.kinds, pieces.test, pieces.mask, strict=True)):
        save(f"test/{kind}/{i:03}.png", image[0])
        if kind != "good":
            save(f"ground_truth/{kind}/{i:03}_mask.png", mask)
    return tmp_path / "bottle"


def test_a_folder_in_the_layout_of_mvtec_is_read(bottle):
    found, pieces = _mvtec.load(str(bottle), 48), drawn()
    assert found.train.shape == (4, 3, 48, 48)
    assert (found.train - pieces.train).abs().max() <= 1 / 255
    assert sorted(found.kinds) == sorted(pieces.kinds)
    order = np.argsort(pieces.kinds, kind="stable")
    assert found.mask.equal(pieces.mask[order])
    assert found.defective == [kind != "good" for kind in found.kinds]


def test_photographs_are_scaled_and_masks_stay_hard(bottle):
    found = _mvtec.load(str(bottle), 24)
    assert found.test.shape[2:] == found.mask.shape[1:] == (24, 24)
    assert found.mask.any((1, 2)).tolist() == found.defective


def remove(folder):
    for file in sorted(folder.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("train/good", "no images in train/good"),
        ("test", "no test images"),
        ("test/good", "6 images and no good one among them, so that AUROC"),
        ("ground_truth/spot", r"shows a defect, but ground_truth/spot has no mask \d+_mask.png"),
    ],
)
def test_what_a_folder_lacks_is_said(bottle, gone, said):
    remove(bottle / gone)
    with pytest.raises(UserError, match=said):
        _mvtec.load(str(bottle), 48)


def test_good_pieces_alone_have_no_auroc(bottle):
    for kind in DEFECTS:
        remove(bottle / "test" / kind)
    with pytest.raises(UserError, match="3 images and only good ones among them"):
        _mvtec.load(str(bottle), 48)


def test_masks_without_a_defect_are_refused(bottle):
    for mask in bottle.glob("ground_truth/*/*.png"):
        Image.new("L", (48, 48)).save(mask)
    with pytest.raises(UserError, match=r"No mask of .* has a white pixel at 48 pixels"):
        _mvtec.load(str(bottle), 48)


def test_a_folder_that_is_not_there_and_a_file_that_is_no_image_are_told(bottle):
    with pytest.raises(UserError, match=r"mvtec/botle does not exist .*looked in .*train/good"):
        _mvtec.check("mvtec/botle")
    (bottle / "train/good/zzz.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"zzz\.png cannot be read as an image"):
        _mvtec.load(str(bottle), 48)


def test_other_photographs_have_another_fingerprint(bottle):
    before = _mvtec.load(str(bottle), 48).fingerprint
    (bottle / "train/good/000.png").unlink()
    assert _mvtec.load(str(bottle), 48).fingerprint != before
