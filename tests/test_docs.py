"""What the papers say is there: links, commands and flags; every shipped sweep is right and says how to run it."""

import re
import shlex
from contextlib import redirect_stdout
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest

from tsd import studies
from tsd.studies import STUDIES
from tsd.sweep import spec
from tsd.sweep.__main__ import main

ROOT = Path(__file__).parent.parent
PAPERS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
SWEEPS = sorted(ROOT.glob("sweeps/*.yaml"))
TEXTS = [*PAPERS, *SWEEPS, ROOT / "Makefile", ROOT / "cluster.yaml"]


def test_every_study_and_every_sweep_but_those_of_clusters_stands_in_the_readme():
    named = set(re.findall(r"`(\w+)`", (ROOT / "README.md").read_text()))
    swept = {sweep.stem for sweep in SWEEPS if not sweep.stem.endswith("_cluster")}
    assert {*STUDIES.names(), *swept} <= named


def test_the_example_of_a_study_runs_once_it_lies_in_the_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "random_teacher.py").write_text((ROOT / "docs/examples/study.py").read_text())
    (tmp_path / "sweep.yaml").write_text(
        "name: x\nstudy: random_teacher\nfixed: {epochs: 1}\naxes: {student_width: [1, 9]}\n"
    )
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    assert main(["sweep.yaml", "--here"]) == 0
    assert main(["show", "sweep.yaml"]) == 0
    assert capsys.readouterr().out.splitlines()[-3].split() == ["student_width", "test_mse"]


def commands(text: str) -> list[list[str]]:
    """Every `python -m tsd.sweep …` and `python -m analysis …`, continued lines joined, comment signs taken away."""
    joined = re.sub(r"\\\n#?\s*", " ", re.sub(r"^#\s?", "", text, flags=re.M))
    found = re.findall(r"-m ((?:tsd\.sweep|analysis)\b[^`\n|]*)", joined)
    return [words for words in (shlex.split(f, comments=True) for f in found) if len(words) > 1]


@cache
def flags(module: str, verb: str) -> str:
    """What `python -m MODULE VERB --help` prints."""
    with redirect_stdout(StringIO()) as told:
        import_module(f"{module}.__main__").app([verb, "--help"], result_action="return_value")
    return told.getvalue()


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_every_link_leads_somewhere(paper):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", paper.read_text()):
        assert (paper.parent / target).exists(), target


@pytest.mark.parametrize("text", TEXTS, ids=lambda p: p.name)
def test_every_flag_of_every_command_exists(text):
    for module, verb, *rest in commands(text.read_text()):
        known = flags(module, "run" if verb.endswith((".yaml", "FILE")) else verb)
        for flag in (word for word in rest if re.match(r"--?[a-z]", word)):
            assert re.search(rf"(?<![\w-]){flag}(?![\w-])", known), f"{module} {verb} {flag}"


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda p: p.stem)
def test_every_shipped_sweep_is_right_and_says_what_it_asks_and_how_to_run_it(sweep):
    loaded = spec.load(sweep)
    assert loaded.name == sweep.stem
    question, *rest = [line for line in sweep.read_text().splitlines() if line.startswith("#")]
    assert "?" in question and "arXiv" in question
    assert any(f"python -m tsd.sweep sweeps/{sweep.name}" in line for line in rest)
    assert any("python -m analysis" in line for line in rest)
