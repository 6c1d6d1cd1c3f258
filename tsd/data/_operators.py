"""torchvision beside a torch of another kind.

A torchvision built for CUDA cannot load its compiled part beside a CPU torch (nor the other way round) and then refuses
to be imported at all: "operator torchvision::nms does not exist". Its data sets need none of it. Declaring the two
operators, without giving them a body, is enough for the import; where the compiled part loads, nothing is declared.
"""

from functools import cache
from types import ModuleType

import torch

SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
OPERATORS = ("nms", "qnms")


def datasets() -> ModuleType:
    """The module `torchvision.datasets`, whether or not torchvision's compiled part fits this torch."""
    try:
        import torchvision.datasets
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare()
        import torchvision.datasets
    return torchvision.datasets


@cache
def _declare() -> torch.library.Library:
    """Cached because the declarations live as long as the library object."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in OPERATORS:
        library.define(name + SIGNATURE)
    return library
