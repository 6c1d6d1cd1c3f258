"""CIFAR-100: 50,000 + 10,000 colour images, 32×32, 100 classes.

Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

from tsd.data import _torchvision
from tsd.data._base import Drawn, Images

FILES = ("train", "test", "meta")
SOURCE = _torchvision.Source(
    "cifar100",
    "CIFAR100",
    tuple(f"cifar-100-python/{name}" for name in FILES),
    ("cifar-100-python.tar.gz",),
)


def load(_: Drawn) -> Images:
    """The published split with its fine labels, shape (3, 32, 32)."""
    return _torchvision.load(SOURCE)
