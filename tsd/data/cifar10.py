"""CIFAR-10: 50,000 + 10,000 colour images, 32×32, 10 classes.

Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

from tsd.data import _torchvision
from tsd.data._base import Drawn, Images

BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch", "batches.meta")
SOURCE = _torchvision.Source(
    "cifar10", "CIFAR10", tuple(f"cifar-10-batches-py/{name}" for name in BATCHES), ("cifar-10-python.tar.gz",)
)


def load(_: Drawn) -> Images:
    """The published split, shape (3, 32, 32)."""
    return _torchvision.load(SOURCE)
