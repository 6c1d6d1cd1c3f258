"""Fashion-MNIST: 60,000 + 10,000 grey images of clothes, 28×28, 10 classes.

Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747.
"""

from tsd.data import _torchvision
from tsd.data._base import Drawn, Images

SOURCE = _torchvision.idx("fashion_mnist", "FashionMNIST")


def load(_: Drawn) -> Images:
    """The published split, shape (1, 28, 28)."""
    return _torchvision.load(SOURCE)
