"""Whole sweeps through the command line, as a user runs them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from tsd.store import Store
from tsd.sweep.__main__ import main

TINY = """\
name: tiny
study: spectral
fixed: {teacher_width: 3, second_width: 3, input_dim: 4, epochs: 2, batch_size: 20, samples: 100, test_samples: 50}
axes:
  student_width: [3, 6]
  layer: [spectral, direct]
  eigenvalue_l2: [1e-4, 1e-3]
seeds: 3
resources: {cpu: 1, gpu: 0}
"""
PASSING = ("pack_id", "wall_s", "started_at", "host", "git_sha")
"""Columns that say when and where a trial ran, not what came out."""


class Tsd:
    """`python -m tsd.sweep` in an empty folder, every command a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "tsd.sweep", *words]

    def __call__(self, *words: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def write(self, text: str, name: str = "sweep.yaml") -> str:
        (self.folder / name).write_text(text)
        return name

    def rows(self, name: str = "tiny") -> list[dict]:
        return numbers(Store(self.folder / "results" / name).trials())


class Inside(Tsd):
    """The same command line in this process, which starts no Python and imports nothing anew."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(folder)
        self.capsys = capsys

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        code = main(words)
        return subprocess.CompletedProcess(words, code, *self.capsys.readouterr())


def numbers(table: pa.Table, passing: Sequence[str] = PASSING) -> list[dict]:
    """The rows without what passes, ordered by trial."""
    kept = table.drop_columns([c for c in passing if c in table.column_names])
    return sorted(kept.to_pylist(), key=lambda row: row["trial_id"])


@pytest.fixture
def tsd(tmp_path: Path) -> Tsd:
    return Tsd(tmp_path)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return Inside(tmp_path, capsys)
