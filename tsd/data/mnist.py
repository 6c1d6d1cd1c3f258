"""MNIST: 60,000 + 10,000 handwritten digits, 28×28, 10 classes.

LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition".
"""

from tsd.data import _torchvision
from tsd.data._base import Drawn, Images

SOURCE = _torchvision.idx("mnist", "MNIST")


def load(_: Drawn) -> Images:
    """The published split, shape (1, 28, 28)."""
    return _torchvision.load(SOURCE)
