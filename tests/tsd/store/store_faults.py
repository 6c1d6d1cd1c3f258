"""A disk that fails, or a process that is killed, at the k-th call that changes something."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CALLS = ("open", "write", "fsync", "close", "replace", "unlink", "mkdir")


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it reaches the disk."""


@dataclass
class Faults:
    """What to do to the calls of `os` that the store changes a disk with.

    Making a folder that is there changes nothing and is let through.

    Args:
        at: number of the call that goes wrong; none if negative.
        error: errno that this one call raises; None kills the process there.
    """

    at: int
    error: int | None = None
    made: list[str] = field(default_factory=list)
    ours: set[int] = field(default_factory=set)

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """`real`, with the fault in it. A write that is cut off has written half."""

        def call(first: Any, *rest: Any, **named: Any) -> Any:
            if name == "mkdir" and Path(first).is_dir():
                return real(first, *rest, **named)
            if name in ("write", "fsync", "close") and first not in self.ours:
                return real(first, *rest, **named)
            number = len(self.made)
            self.made.append(name)
            if number == self.at and name == "write":
                real(first, rest[0][: len(rest[0]) // 2])
            if number == self.at or (number > self.at >= 0 and self.error is None):
                if name == "close":
                    real(first)
                raise Killed if self.error is None else OSError(self.error, os.strerror(self.error))
            result = real(first, *rest, **named)
            if name == "open":
                self.ours.add(result)
            if name == "close":
                self.ours.discard(first)
            return result

        return call


@contextmanager
def faulty(faults: Faults) -> Iterator[Faults]:
    """The disk as `faults` has it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, faults.wrap(name, getattr(os, name)))
        yield faults


def count(work: Callable[[], object]) -> int:
    """How many calls `work` makes where nothing fails."""
    with faulty(Faults(-1)) as faults:
        work()
    return len(faults.made)


FULL = errno.ENOSPC
