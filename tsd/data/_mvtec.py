"""Your own photographs in the layout of MVTec AD: a folder for each class of objects.

    bottle/train/good/000.png …
    bottle/test/good/000.png …  bottle/test/broken_large/000.png …
    bottle/ground_truth/broken_large/000_mask.png …

Bergmann, Fauser, Sattlegger, Steger 2019, "MVTec AD", CVPR. Names of defects are up to you; a mask is white where the
defect is, and any of png, jpg, jpeg, bmp, tif will do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tsd.data._inspection import GOOD, Inspection
from tsd.errors import UserError
from tsd.lazy import torch

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
LAYOUT = "train/good, test/good, test/<defect> and ground_truth/<defect>, as in MVTec AD"


def check(folder: str) -> None:
    """Say early, and without torch, that `folder` cannot be an object class.

    Raises:
        UserError: it does not exist, or has no train/good.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(
            f"The folder {folder} does not exist (looked in {Path.cwd()}). Give the path of one class of objects, such "
            f"as mvtec/bottle: a folder with {LAYOUT}."
        )
    if not _files(path / "train" / GOOD):
        inside = ", ".join(sorted(f"`{each.name}`" for each in path.iterdir())) or "nothing"
        raise UserError(
            f"{folder} has no images in train/good; it holds {inside}. Give the path of one class of objects, such as "
            f"mvtec/bottle: a folder with {LAYOUT}."
        )


def load(folder: str, size: int) -> Inspection:
    """The photographs, in colour, each scaled to `size` × `size` pixels.

    Raises:
        UserError: the folder is not in the layout, a file is no image, the mask of a defective piece is missing, or the
            test set has no good or no defective piece, or every mask is black.
    """
    check(folder)
    path = Path(folder).expanduser()
    found = _files(path / "test", "*/*")
    kinds = tuple(file.parent.name for file in found)
    _check_kinds(path, kinds)
    masks = np.stack([_mask(path, file, size) for file in found])
    if not masks.any():
        raise UserError(f"No mask of {path}/ground_truth has a white pixel at {size} pixels a side; a defect is white.")
    good = _files(path / "train" / GOOD)
    train, test = ([_read(file, size, "RGB") for file in files] for files in (good, found))
    return Inspection(_images(train), _images(test), torch.from_numpy(masks), kinds, _digest(good))


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(file for file in folder.glob(pattern) if file.suffix.lower() in ENDINGS)


def _check_kinds(path: Path, kinds: tuple[str, ...]) -> None:
    """AUROC compares good with defective pieces: it needs both."""
    good = kinds.count(GOOD)
    if not kinds:
        raise UserError(f"{path} has no test images. Put them into test/good and test/<defect>: {LAYOUT}.")
    if good in (0, len(kinds)):
        shown = "only good ones" if good else "no good one"
        raise UserError(
            f"{path}/test has {len(kinds)} images and {shown} among them, so that AUROC, which compares the scores of "
            "good and of defective pieces, is not defined. Put good pieces into test/good and defective ones into "
            "test/<defect>."
        )


def _mask(path: Path, file: Path, size: int) -> np.ndarray:
    """Pixels of the defect of a test image."""
    kind = file.parent.name
    if kind == GOOD:
        return np.zeros((size, size), dtype=bool)
    found = [mask for mask in _files(path / "ground_truth" / kind) if mask.stem in (file.stem, f"{file.stem}_mask")]
    if not found:
        raise UserError(
            f"{file} shows a defect, but ground_truth/{kind} has no mask {file.stem}_mask.png for it. Add one that is "
            "white where the defect is."
        )
    return _read(found[0], size, "L")[..., 0] > 127


def _read(file: Path, size: int, mode: str) -> np.ndarray:
    """Pixels 0 … 255, shape (size, size, channel). Masks (mode L) keep hard edges."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            how = Image.Resampling.NEAREST if mode == "L" else Image.Resampling.BILINEAR
            pixels = np.asarray(image.convert(mode).resize((size, size), how))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as an image ({error}). Replace or remove it.") from error
    return pixels.reshape(size, size, -1)


def _digest(files: list[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _images(pixels: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32) / 255)
