"""Loops over single spins and bits, compiled by numba. Imported where such a study computes, never where it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` in machine code, kept beside its file or else in the user's cache; compiled anew in every process
    where neither can be written."""
    try:
        return cast(Function, numba.njit(cache=True)(function))
    except RuntimeError:
        return cast(Function, numba.njit(function))
