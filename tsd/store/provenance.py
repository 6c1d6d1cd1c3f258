"""Where numbers come from: the code, the versions it ran with, and the machine. No settings, no secrets."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tsd

PACKAGES = ("torch", "ray", "pyarrow", "numpy")
_CODE = Path(tsd.__file__).parent


def collect() -> dict[str, Any]:
    """What to store beside results.

    Returns:
        `git_sha` (None outside a git checkout of this package), `git_dirty`, `git_diff_hash` (blake2b of what differs
        from the commit, None where nothing does), `tsd_version`, `versions`, `host`, `platform`, `cpu`, `cores`,
        `started_at`.
    """
    return _git(_CODE) | {
        "tsd_version": tsd.__version__,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "host": platform.node(),
        "platform": platform.platform(),
        "cpu": _cpu(Path("/proc/cpuinfo")),
        "cores": os.cpu_count(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git(folder: Path) -> dict[str, Any]:
    """The commit of the code in `folder`; not that of a checkout in which it merely lies installed."""
    ours = _run(folder, "ls-files", "--error-unmatch", "__init__.py")
    sha = _run(folder, "rev-parse", "HEAD") if ours else None
    if not sha:
        return {"git_sha": None, "git_dirty": None, "git_diff_hash": None}
    diff = _run(folder, "diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD", "--", ".") or b""
    new = _run(folder, "ls-files", "--others", "--exclude-standard", "-z") or b""
    digest = hashlib.blake2b(diff, digest_size=16)
    for name in sorted(filter(None, new.split(b"\0"))):
        digest.update(name + b"\0" + (folder / os.fsdecode(name)).read_bytes())
    dirty = bool(diff or new)
    return {"git_sha": sha.decode().strip(), "git_dirty": dirty, "git_diff_hash": digest.hexdigest() if dirty else None}


def _run(folder: Path, *words: str) -> bytes | None:
    """What git says; None where it fails or is not there. It takes no locks, so that it disturbs nobody."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=5, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu(file: Path) -> str:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
