"""Handwritten digits, 8×8 pixels: 1,797 images that scikit-learn ships, so that nothing is downloaded.

Alpaydin and Kaynak 1998, UCI "Optical Recognition of Handwritten Digits". Every fifth image is a test image.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tsd.data._base import Drawn, Images, images


def load(_: Drawn) -> Images:
    """1,437 training and 360 test images of shape (1, 8, 8)."""
    return _read()


@lru_cache(maxsize=1)
def _read() -> Images:
    from sklearn.datasets import load_digits

    pixels, label = load_digits(return_X_y=True)
    x = pixels.reshape(-1, 1, 8, 8).astype(np.float32)
    test = np.arange(len(x)) % 5 == 0
    return images("digits", x[~test], label[~test], x[test], label[test])
