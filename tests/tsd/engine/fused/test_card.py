"""The kernel for GPUs where there is none: run by Triton's interpreter, and compiled for a card that is not there.

Triton decides at its import which of the two it does, so each has a process of its own.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from two_layers import assert_descends, copied, drawn

from tsd.engine.fused import descent

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")

POINTERS = dict.fromkeys(("x", "y", "rates", "w", "v", "b", "c", "gradients", "losses"), "*fp32")
POINTERS |= dict.fromkeys(("rows", "edges", "first"), "*i64")
NUMBERS = dict.fromkeys(("steps", "units", "inputs", "order_stride", "room"), "i32")
REGISTERS, THREADS_A_WARP, SHARED = 65_536, 32, 228_000
"""Of a multiprocessor of compute capability 9.0."""


def process(folder, **environment):
    """Another process with these variables in its environment."""
    variables = environment | {"TRITON_CACHE_DIR": str(folder)}
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=prepare, initargs=(variables,))


def prepare(variables):
    os.environ.update(variables)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory):
    with process(tmp_path_factory.mktemp("triton"), TRITON_INTERPRET="1") as pool:
        yield lambda task, *args: pool.submit(task, *args).result()


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    with process(tmp_path_factory.mktemp("triton")) as pool:
        yield lambda task, *args: pool.submit(task, *args).result()


def interpreted(how):
    from tsd.engine.fused import card

    assert_descends(card.descend, *drawn(**how))


CASES = [
    {"inner": "tanh"},
    {"inner": "erf", "outer": "tanh", "biases": False},
    {"inner": "relu", "outer": "erf", "shared": True},
    {"inner": "identity", "one_order": True},
    {"shared": True, "one_order": True, "biases": False},
    {"inputs": 1, "units": 1, "sizes": (1, 2)},
    {"inputs": 17, "units": 33, "sizes": (150, 7)},
    {"inputs": 100, "units": 50, "trials": 2, "sizes": (70, 30)},
    {"sizes": (8,) * 20, "trials": 2},
]


@pytest.mark.parametrize("how", CASES, ids=str)
def test_the_kernel_agrees_with_autograd(interpreter, how):
    interpreter(interpreted, how)


def on_card(students, data, rates):
    """As `descend`, by way of a GPU."""

    def there(held):
        values = {field.name: getattr(held, field.name) for field in fields(held)}
        moved = {name: value.cuda() for name, value in values.items() if isinstance(value, torch.Tensor)}
        return replace(held, **moved)

    moved = there(students)
    losses = descent.descend(moved, there(data), rates.cuda())
    for name in "wvbc":
        if getattr(students, name) is not None:
            getattr(students, name).copy_(getattr(moved, name))
    return losses.cpu()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("how", CASES, ids=str)
def test_a_gpu_agrees_with_autograd(how):
    assert_descends(on_card, *drawn(**how))


def both_ways():
    from tsd.engine.fused import card

    students, data, rates = drawn(4, 20, 9)
    one, other = copied(students), copied(students)
    torch.testing.assert_close(card.descend(one, data, rates), descent.descend(other, data, rates))
    torch.testing.assert_close(one.w, other.w)


def test_processor_and_card_descend_alike(interpreter):
    interpreter(both_ways)


def compiled(units):
    """Registers a thread, bytes spilled, bytes of shared memory and warps of the kernel for these hidden units."""
    import triton
    from triton.backends import nvidia
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from tsd.engine.fused import card

    size = card.tiles(units)
    fixed = {"inner": "tanh", "outer": "identity", "biased": False, "raised": False}
    fixed |= {"UNITS": size.units, "ROWS": size.rows, "INPUTS": size.inputs, "DEPTH": size.depth}
    signature = POINTERS | NUMBERS | dict.fromkeys(fixed, "constexpr")
    ordered = {name: signature[name] for name in card.kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(ordered) if name in POINTERS}
    source = ASTSource(card.kernel, ordered, fixed, aligned)
    options = {"num_warps": size.warps, "num_stages": size.stages}
    found = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assembler = Path(nvidia.__file__).parent / "bin" / "ptxas"
    text = Path(os.environ["TRITON_CACHE_DIR"]) / f"{units}.ptx"
    text.write_text(found.asm["ptx"])
    command = [assembler, "-v", "--gpu-name", "sm_90a", text, "-o", text.with_suffix(".cubin")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    registers, spilled = (int(re.search(words, told)[1]) for words in (r"Used (\d+) registers", r"(\d+) bytes spill"))
    return registers, spilled, found.metadata.shared, size.warps


@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux")
@pytest.mark.parametrize("units", [10, 50])
def test_compiled_for_a_card_nothing_spills_and_two_programs_fit_a_multiprocessor(compiler, units):
    registers, spilled, shared, warps = compiler(compiled, units)
    assert spilled == 0
    assert 2 * registers * THREADS_A_WARP * warps <= REGISTERS
    assert 2 * shared <= SHARED
