"""Log lines of workers, each with the sweep, the pack and, where it is about one, the trial.

A worker on Ray writes them to its stderr, which Ray keeps with its logs and shows in its dashboard; `--here` keeps
quiet, for its terminal shows the live view.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

LOG = logging.getLogger("tsd")
LOG.addHandler(logging.NullHandler())

_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039  never changed in place


@contextmanager
def about(**names: str) -> Iterator[None]:
    """Lines of this block, whoever logs them, are about this sweep, pack or trial."""
    token = _ABOUT.set({**_ABOUT.get(), **names})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class Lines(logging.Formatter):
    """`2026-01-01 12:00:00,000 INFO sweep=kd pack=3f… trial=9a… what happened`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(about)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, with what it is about."""
        record.about = "".join(f"{name}={value} " for name, value in _ABOUT.get().items())
        return super().format(record)


def to_stderr() -> None:
    """Write the lines of this process to its stderr; calling it again changes nothing."""
    if not any(isinstance(handler.formatter, Lines) for handler in LOG.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(Lines())
        LOG.addHandler(handler)
        LOG.setLevel(logging.INFO)
