"""The distillation page and the command show every method as it declares itself."""

import json
import re
from pathlib import Path

import pytest

from tsd.methods import METHODS
from tsd.methods._base import Taxonomy
from tsd.methods._table import table
from tsd.studies import STUDIES
from tsd.sweep.__main__ import main

PAGE = Path(__file__).parent.parent / "docs" / "distillation.md"


def markdown() -> str:
    """The methods as a Markdown table."""
    found = table()
    header = ["method", *next(iter(found.values()))]
    rows = [header, ["---"] * len(header), *([f"`{name}`", *row.values()] for name, row in found.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_page_shows_the_methods_as_they_are():
    shown = PAGE.read_text().split("<!-- methods: begin -->\n")[1].split("\n<!-- methods: end -->")[0]
    assert shown == markdown()


def test_the_readme_names_every_method():
    [line] = [
        line for line in (PAGE.parent.parent / "README.md").read_text().splitlines() if line.startswith("Methods of")
    ]
    assert re.findall(r"`(\w+)`", line.split(";")[0])[1:] == METHODS.names()


def test_the_command_prints_what_each_method_declares_and_programs_can_read_it_back(capsys):
    assert main(["methods", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == METHODS.names()
    for name, row in told.items():
        method = METHODS.load(name).Method
        needs = row.pop("needs").split(", ")
        assert Taxonomy(**row) == method.taxonomy
        assert ("labels" in needs, "features" in needs) == (method.needs.labels, method.needs.features)
        assert {artefact.name for artefact in method.artefacts} <= set(needs)
    assert main(["methods"]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for name, method in told.items() for text in (name, *method.values()))


def test_stages_input_gradients_and_a_teacher_of_ones_own_are_needs():
    needs = {name: row["needs"].split(", ") for name, row in table().items()}
    assert [name for name in needs if "stages" in needs[name]] == ["ab", "fitnet"]
    assert [name for name in needs if "input gradients" in needs[name]] == ["wasserstein"]
    assert "student friendly teacher" in needs["student_friendly"]
    assert [name for name in needs if "images" not in needs[name]] == ["noise"]


@pytest.mark.parametrize("kind", ["studies", "methods"])
def test_the_command_tells_of_each_its_fields_and_metrics_as_they_are_declared(kind, capsys):
    family, declared = {"studies": (STUDIES, "Trial"), "methods": (METHODS, "Method")}[kind]
    for name in family.names():
        module = family.load(name)
        fields = getattr(module, declared).fields()
        assert main([kind, name]) == 0
        shown = capsys.readouterr().out
        assert all(f"  {f.name}: " in shown and f.doc in shown and f.expected() in shown for f in fields.values())
        assert all(f"  {m.name}" in shown and m.doc in shown for m in getattr(module, "METRICS", ()))
        assert main([kind, name, "--json"]) == 0
        assert [f["name"] for f in json.loads(capsys.readouterr().out)["fields"]] == list(fields)
    assert main([kind]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^{name}\b", shown, re.M) for name in family.names())
    assert main([kind, "spektral" if kind == "studies" else "kdd"]) == 2
    assert f"Did you mean `{'spectral' if kind == 'studies' else 'kd'}`?" in capsys.readouterr().err
