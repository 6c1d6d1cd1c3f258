"""Where numbers come from is told wherever the code lies, and tells no secret."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tsd
from tsd.store import provenance


def git(folder: Path, *words: str) -> None:
    """Run git as nobody in particular."""
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A package under version control."""
    package = tmp_path / "repository" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("a = 1\n")
    git(package, "init", "-q")
    git(package, "add", ".")
    git(package, "commit", "-qm", "first")
    return package


def test_versions_and_machine_are_told_as_json():
    facts = json.loads(json.dumps(provenance.collect()))
    assert facts["tsd_version"] == tsd.__version__
    assert facts["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["versions"]["pyarrow"]
    assert facts["host"]
    assert facts["cpu"]
    assert facts["started_at"].endswith("+00:00")


def test_nothing_of_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    assert "hush-hush" not in json.dumps(provenance.collect())


def test_it_is_cheap():
    provenance.collect()
    started = time.perf_counter()
    provenance.collect()
    assert time.perf_counter() - started < 1.0


def test_a_clean_checkout_is_its_commit(code):
    told = provenance._git(code)
    assert len(told["git_sha"]) == 40
    assert told["git_dirty"] is False
    assert told["git_diff_hash"] is None


def test_every_change_has_its_own_hash_and_the_same_change_the_same(code):
    def told(name: str, text: str) -> tuple[bool, str]:
        before = (code / name).read_text() if (code / name).exists() else None
        (code / name).write_text(text)
        found = provenance._git(code)
        (code / name).write_text(before) if before is not None else (code / name).unlink()
        return found["git_dirty"], found["git_diff_hash"]

    changes = [("__init__.py", "a = 2\n"), ("__init__.py", "a = 3\n"), ("new.py", "b = 1\n"), ("new.py", "b = 2\n")]
    hashes = [told(*change) for change in changes]
    assert all(dirty for dirty, _ in hashes)
    assert len({digest for _, digest in hashes}) == 4
    assert hashes == [told(*change) for change in changes]
    assert provenance._git(code)["git_dirty"] is False


def test_outside_a_checkout_there_is_no_commit(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    assert provenance._git(tmp_path) == {"git_sha": None, "git_dirty": None, "git_diff_hash": None}


def test_the_commit_of_a_checkout_in_which_the_code_merely_lies_is_not_ours(code):
    """As for a package installed into a virtual environment inside somebody's repository."""
    installed = code / "lib"
    installed.mkdir()
    (installed / "__init__.py").write_text("")
    assert provenance._git(installed)["git_sha"] is None


def test_without_git_there_is_no_commit(code, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance._git(code)["git_sha"] is None


def test_the_repository_of_a_surrounding_git_command_is_not_ours(code, monkeypatch):
    """git sets GIT_DIR for its hooks, and tests may run in one."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert provenance._git(code)["git_sha"] is not None


def test_an_unknown_processor_is_told_as_what_it_can_run(tmp_path):
    assert provenance._cpu(tmp_path / "missing")
