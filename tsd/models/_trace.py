"""The stages of a chain of blocks, found by watching one pass: where the resolution changes and what is activated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from torch import Tensor, nn

from tsd.models._base import Stage

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU)
GATE = "SqueezeExcitation"
"""torchvision's class whose activations act on one number a channel, not on the image."""


@dataclass(frozen=True)
class Call:
    """One call of a submodule, with how often its tensors had been written to by then."""

    path: str
    module: nn.Module
    given: Tensor
    result: Tensor
    written: tuple[int, int]

    def lasts(self) -> bool:
        """Nothing was written to its tensors since."""
        return self.written == (self.given._version, self.result._version)


def stages_of(chain: nn.Sequential, x: Tensor) -> list[Stage]:
    """One a resolution, as images `x` (batch, channel, height, width) see them on their way through `chain`.

    The activation of a stage is the last one at its resolution for which hooks would show, when the pass is over, what
    it read (the result of another submodule) and what it made of it. A resolution without one is no stage.

    Raises:
        RuntimeError: the images are too small.
    """
    calls = _calls(chain, x)
    shown = {call.path: call for call in calls}
    blocks = [call for call in calls if "." not in call.path and call.result.ndim == 4]
    images = [call for call in blocks if not isinstance(call.module, nn.AdaptiveAvgPool2d)]
    stages = []
    for size, group in groupby(images, key=lambda call: call.result.shape[2:]):
        names = [call.path for call in group]
        inside = [call for call in shown.values() if call.path.split(".")[0] in names and call.result.shape[2:] == size]
        sources = {id(call.result): call.path for call in inside}
        activated = [call for call in inside if isinstance(call.module, ACTIVATIONS) and call.lasts()]
        pairs = [(sources[id(call.given)], call.path) for call in activated if id(call.given) in sources]
        stages += [Stage(*pairs[-1], end=names[-1])] if pairs else []
    return stages


def _calls(chain: nn.Sequential, x: Tensor) -> list[Call]:
    """Every call of a submodule in the order in which they end, without those inside gates."""
    calls: list[Call] = []

    def note(path: str, module: nn.Module, given: tuple[Tensor | list[Tensor], ...], result: Tensor) -> None:
        if isinstance(given[0], Tensor):
            calls.append(Call(path, module, given[0], result, (given[0]._version, result._version)))

    gates = tuple(f"{path}." for path, module in chain.named_modules() if type(module).__name__ == GATE)
    watched = [(path, module) for path, module in chain.named_modules() if path and not path.startswith(gates)]
    hooks = [module.register_forward_hook(partial(note, path)) for path, module in watched]
    try:
        with torch.no_grad():
            chain.eval()(x)
    finally:
        for hook in hooks:
            hook.remove()
    return calls
