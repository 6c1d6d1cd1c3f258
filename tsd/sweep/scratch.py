"""Temporary folders that do not outlive their run for long, not even one that was killed.

A folder bears a file that its owner holds locked. The system lets go of the lock when the owner dies, however it dies,
so who makes a folder next finds those that nobody holds and removes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "tsd-"
OWNER = ".owner"


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for as long as the `with` block lasts."""
    sweep_up()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    with (folder / f"{OWNER}-to-be").open("w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        (folder / f"{OWNER}-to-be").rename(folder / OWNER)  # only a folder that is held can be taken for one left over
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_up() -> None:
    """Remove the folders of this user whose owners are dead."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        with suppress(OSError):  # held, another user's, or removed by someone else just now
            if owner.lstat().st_uid == os.geteuid():
                _remove_unless_held(owner)


def _remove_unless_held(owner: Path) -> None:
    with owner.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(owner.parent, ignore_errors=True)
