"""A GPU for machines that have none: tensors on torch's device `meta`, which have shapes and no numbers.

What runs on it takes the code paths of a GPU, and every operation that mixes tensors of both devices is refused, as
CUDA would. Where a number is asked for, it is 1.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
MOVES = {aten._to_copy.default, aten.copy_.default}
NAME = "meta"
ASKS = {aten._local_scalar_dense.default, aten.equal.default, aten.nonzero.default, aten.bincount.default}


class MixedDevices(Exception):
    """An operation got tensors of the processor and of the GPU."""


class PretendGpu(TorchDispatchMode):
    """While it is entered, the device `meta` behaves like a GPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors if tensor.ndim}
        if len(devices) > 1 and function not in MOVES:
            raise MixedDevices(f"{function} of {[(each.device.type, tuple(each.shape)) for each in tensors]}")
        if NAME not in {tensor.device.type for tensor in tensors}:
            return function(*args, **kwargs)
        first = tensors[0]
        if function is aten._local_scalar_dense.default:
            return first.dtype.is_floating_point * 1.0 or (first.dtype != torch.bool) * 1 or True
        if function is aten.equal.default:
            return False
        if function is aten._to_copy.default and torch.device(kwargs.get("device") or NAME).type == "cpu":
            return torch.ones(first.shape, dtype=kwargs.get("dtype") or first.dtype)
        if function is aten.bincount.default:
            return first.new_ones(kwargs.get("minlength", 0) or args[2])
        return function(*args, **kwargs)


class Unrecordable(Exception):
    """A graph of the GPU cannot hold an operation."""


class Recording(TorchDispatchMode):
    """While it is entered, what a CUDA graph cannot hold is refused: asking the GPU for a number, and copies between it
    and the processor."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        there = {leaf.device.type for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        if function in MOVES:
            there |= {torch.device(kwargs["device"]).type} if kwargs.get("device") else set()
            if len(there) > 1:
                raise Unrecordable(f"{function} between devices")
        if function in ASKS and NAME in there:
            raise Unrecordable(str(function))
        return function(*args, **kwargs)
