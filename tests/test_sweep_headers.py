"""What the header of a shipped sweep counts is what its plan counts: trials, and what is trained before them."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tsd.sweep.__main__ import main

NEEDS_ITS_USERS_IMAGES = "anomaly_cluster"
FILES = (Path(__file__).parent.parent / "sweeps").glob("*.yaml")
SWEEPS = sorted(path for path in FILES if path.stem != NEEDS_ITS_USERS_IMAGES)
NUMBER = r"(\d{1,3}(?:[ ,]\d{3})+|\d+|an?)"
KINDS = {"teacher": "teachers?", "assistant": "assistants?", "gan": "GANs?", "flow": "flows?"}


def counted(lines, what):
    """How many of `what` the first line says that says so; None where none does."""
    found = next((found for line in lines if (found := re.search(rf"(?<![\w.,-]){NUMBER} {what}\b", line))), None)
    return found and (1 if found[1] in ("a", "an") else int(re.sub("[ ,]", "", found[1])))


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.stem)
def test_trials_and_artefacts_are_as_many_as_the_header_says(sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", str(sweep), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    header = [line for line in sweep.read_text().splitlines() if line.startswith("#")]
    assert plan["trials"] == (counted(header, "trials") or counted(header, "students"))
    cost = next(line for line in header if counted([line], "(?:trials|students)"))
    for name, count in Counter(artefact["name"] for artefact in plan["artefacts"]).items():
        assert counted([cost], KINDS.get(name, name)) in (None, count), name
