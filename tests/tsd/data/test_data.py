import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from tsd import data
from tsd.data import Drawn, balanced_subset, digest
from tsd.data._base import images
from tsd.errors import UserError


def arrays(**changed):
    """A small, good data set: 12 training and 6 test images of 3 classes, with `changed` entries."""
    rng = np.random.default_rng(0)
    good = {
        "x_train": rng.integers(0, 256, (12, 5, 5), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": rng.integers(0, 256, (6, 5, 5), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    return {key: value for key, value in (good | changed).items() if value is not None}


def saved(path, **changed):
    np.savez(path, **arrays(**changed))
    return str(path)


def test_naming_a_data_set_needs_no_torch():
    code = "import sys; from tsd import data; data.check('digits'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["digits", "gaussian"])
def test_sets_without_download_are_normalised_and_whole(name):
    images = data.load(name)
    assert images.x_train.dtype == torch.float32
    assert images.y_train.dtype == torch.int64
    assert images.x_train.shape[1:] == images.x_test.shape[1:] == images.input_shape
    assert images.y_train.unique().tolist() == list(range(images.classes))
    assert abs(images.x_train.mean().item()) < 0.01
    assert images.x_train.std().item() == pytest.approx(1, abs=0.01)


def test_trials_of_a_process_hold_the_same_tensors():
    assert data.load("digits").x_train is data.load("digits", Drawn(seed=3)).x_train
    assert data.load("gaussian").x_train is data.load("gaussian", Drawn()).x_train


def test_every_gaussian_teacher_has_a_world_of_its_own():
    base, other, wide = (
        data.load("gaussian", d) for d in (Drawn(), Drawn(seed=1), Drawn(dim=3, classes=2, samples=50))
    )
    assert not torch.equal(base.x_train, other.x_train)
    assert not torch.equal(base.y_train, other.y_train)
    assert wide.x_train.shape == (50, 3)
    assert wide.classes == 2


def test_gaussian_labels_are_a_function_of_the_inputs():
    """A linear fit finds much of a smooth labelling and nothing of a random one."""
    images = data.load("gaussian")
    target = torch.nn.functional.one_hot(images.y_train).float()
    found = (images.x_test @ torch.linalg.lstsq(images.x_train, target).solution).argmax(1)
    assert (found == images.y_test).float().mean() > 0.4


def test_no_gaussian_class_starves():
    share = data.load("gaussian", Drawn(classes=5)).y_train.bincount(minlength=5) / 10_000
    assert share.min() > 0.5 / 5


@pytest.mark.parametrize("layout", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_channels_are_found_first_or_last(tmp_path, layout):
    x = np.random.default_rng(1).random((12, 3, 6, 5)).astype(np.float32)
    path = saved(tmp_path / "a.npz", x_train=x.transpose(layout), x_test=x[:6].transpose(layout))
    images = data.load(path)
    assert images.input_shape == (3, 6, 5)
    back = images.x_train.numpy() * x.std((0, 2, 3), keepdims=True) + x.mean((0, 2, 3), keepdims=True)
    assert np.allclose(back, x, atol=1e-5)


def test_an_npz_of_vectors_stays_flat_and_a_constant_feature_becomes_zero(tmp_path):
    x = np.random.default_rng(1).random((12, 4))
    x[:, 2] = 7
    images = data.load(saved(tmp_path / "v.npz", x_train=x, x_test=x[:6], y_train=(np.arange(12) % 3)[:, None]))
    assert images.input_shape == (4,)
    assert images.x_train[:, 2].abs().max() == 0
    assert images.x_train.var(0, unbiased=False)[[0, 1, 3]].numpy() == pytest.approx(1)


def test_a_changed_npz_is_read_again_and_has_another_fingerprint(tmp_path):
    path = saved(tmp_path / "a.npz")
    before = data.load(path)
    assert data.load(path) is before
    saved(tmp_path / "a.npz", y_test=np.array([0, 0, 0, 1, 1, 2]))
    os.utime(path, ns=(1, 1))
    assert data.load(path).y_test.tolist() == [0, 0, 0, 1, 1, 2]
    assert data.load(path).fingerprint != before.fingerprint


NAN = np.where(np.arange(12 * 25) == 26, np.nan, 1.0).reshape(12, 5, 5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"y_test": None}, "has no y_test; it has x_train, y_train, x_test"),
        ({"x_train": NAN}, "x_train holds NaN or infinite values, first in sample 1"),
        ({"y_train": np.arange(11) % 3}, r"x_train has 12 samples but y_train has shape \(11,\)"),
        ({"y_train": np.arange(12) % 3 + 1}, "y_train has the labels 1, 2, 3"),
        ({"y_train": np.arange(12) % 2 * 2}, "y_train has the labels 0, 2; .* without a gap"),
        ({"y_train": (np.arange(12) % 3).astype(float)}, "y_train has type float64; expected whole numbers"),
        ({"y_test": np.array([0, 1, 2, 3, 0, 1])}, "y_test has labels from 0 to 3; expected 0 to 2"),
        ({"y_test": np.array([0, 1, 2, -1, 0, 1])}, "y_test has labels from -1 to 2"),
        ({"x_test": np.zeros((6, 4, 5))}, r"x_train has shape \(1, 5, 5\) and one of x_test \(1, 4, 5\)"),
        ({"x_train": np.zeros(12)}, r"x_train has shape \(12,\) and type float64; expected numbers"),
        ({"x_train": np.zeros((0, 5)), "y_train": np.zeros(0, int)}, r"x_train has shape \(0, 5\)"),
        ({"x_train": np.full((12, 4), "a")}, "type <U1; expected numbers"),
        ({"x_train": np.array([None] * 12)}, "cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_an_npz_that_is_no_classification_data_is_refused_by_name(tmp_path, changed, said):
    path = saved(tmp_path / "bad.npz", **changed)
    with pytest.raises(UserError, match=said) as error:
        data.load(path)
    assert "bad.npz" in str(error.value)


@pytest.mark.parametrize("kept", [0, 10, 300, -40])
def test_a_truncated_npz_is_refused_by_name(tmp_path, kept):
    path = tmp_path / "cut.npz"
    saved(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"cut\.npz cannot be read"):
        data.load(str(path))


def test_what_numpy_takes_for_a_pickle_is_refused_without_its_advice_to_load_it(tmp_path):
    path = tmp_path / "other.npz"
    path.write_text("x_train: 1")
    with pytest.raises(UserError, match=r"other\.npz cannot be read: it is no NumPy file") as error:
        data.load(str(path))
    assert "pickle" not in str(error.value)


def test_a_flipped_byte_inside_an_npz_is_refused_by_name(tmp_path):
    path = tmp_path / "flipped.npz"
    saved(path)
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"flipped\.npz cannot be read: Bad CRC"):
        data.load(str(path))


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(UserError, match=r"no data set `fashion_mist`.*Did you mean `fashion_mnist`"):
        data.check("fashion_mist")


def test_an_npz_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.npz does not exist"):
        data.check(str(tmp_path / "nowhere.npz"))


def test_images_are_frozen_and_compare_by_identity():
    one, other = (images("here", *(v[:, None] if v.ndim == 3 else v for v in arrays().values())) for _ in "ab")
    assert one != other
    assert one.fingerprint == other.fingerprint
    with pytest.raises(AttributeError):
        one.classes = 4


Y = np.random.default_rng(5).integers(0, 4, 400)


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("per_class", [0, 1, 7, 50])
def test_a_subset_is_balanced_ascending_and_without_repeats(per_class):
    chosen = balanced_subset(Y, per_class, generator())
    assert np.bincount(Y[chosen], minlength=4).tolist() == [per_class] * 4
    assert (np.diff(chosen) > 0).all()


def test_a_subset_is_deterministic_and_follows_its_generator():
    assert np.array_equal(balanced_subset(Y, 5, generator()), balanced_subset(torch.tensor(Y), 5, generator()))
    assert not np.array_equal(balanced_subset(Y, 5, generator()), balanced_subset(Y, 5, generator(1)))


def test_a_subset_is_known_by_the_numbers_of_its_samples_and_their_order():
    numbers = torch.from_numpy(balanced_subset(Y, 5, generator()))
    assert digest(numbers) == digest(numbers.clone()) == digest(numbers.int())
    others = [numbers + 1, numbers[1:], numbers.flip(0), torch.from_numpy(balanced_subset(Y, 5, generator(1)))]
    assert len({digest(each) for each in [numbers, *others]}) == 5


def test_a_smaller_subset_lies_inside_a_larger_one():
    assert set(balanced_subset(Y, 5, generator())) < set(balanced_subset(Y, 20, generator()))


def test_too_few_samples_of_a_class_and_a_missing_class_are_said():
    with pytest.raises(UserError, match=r"3 samples of each class .* class 1 has 2\. Ask for 2 or fewer"):
        balanced_subset([0, 0, 0, 1, 1], 3, generator())
    with pytest.raises(UserError, match="class 1 has 0"):
        balanced_subset([0, 0, 2, 2], 1, generator())


def test_held_out_samples_are_balanced_and_in_nobodys_training_set():
    whole = data.load("digits")
    rest, x, y = data.hold_out(whole, 7)
    assert y.bincount().tolist() == [7] * 10
    assert len(rest.y_train) == len(whole.y_train) - 70
    back = torch.cat([rest.x_train, x]).flatten(1)
    assert sorted(map(tuple, back.tolist())) == sorted(map(tuple, whole.x_train.flatten(1).tolist()))
    assert rest.x_test is whole.x_test
    assert data.hold_out(whole, 7)[0] is rest
    assert data.hold_out(whole, 0)[0] is whole


def test_fetch_says_what_a_set_holds_and_ends_with_2_on_a_mistake():
    command = [sys.executable, "-m", "tsd.data", "fetch"]
    good = subprocess.run([*command, "digits"], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout) == (0, "digits: 1437 + 360 samples of 1 × 8 × 8, 10 classes.\n")
    bad = subprocess.run([*command, "digit"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert "Did you mean `digits`" in bad.stderr
    assert "Traceback" not in bad.stderr
