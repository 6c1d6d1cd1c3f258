"""Published values beside ours: where they stand, what they leave alone, and that every shipped file is right."""

import csv
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from analysis import load
from analysis.data.published import Published
from analysis.errors import AnalysisError
from analysis.figures.table import command, table
from analysis.writing.hypertext import page
from analysis.writing.latex import latex
from analysis.writing.tables import markdown

SHIPPED = sorted((Path(__file__).parents[2] / "sweeps" / "published").glob("*.yaml"))
TABLE = {"rows": "method", "columns": "samples_per_class", "value": "test_accuracy"}
FILE = """source: Somebody 2020, Table 2
metric: test_accuracy
unit: fraction
rows: method
columns: {samples_per_class: [10, 100]}
values:
  kd: [0.785, 0.8377]
  fitnet: [0.7, null]
"""
READINGS = FILE.replace("[10, 100]", "{M of each: [50, 100], M in total: [5, 10]}").replace("fraction", '"%"')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "published.yaml"
    path.write_text(FILE)
    return path


def test_published_values_stand_under_ours_and_change_nothing(few_samples: Path, file: Path):
    trials = load(few_samples)
    ours, both = table(trials, **TABLE), table(trials, published=file, **TABLE)
    lines = dict(both.lines)
    assert [cell.text for cell in lines.pop("kd, published")] == ["0.785", ""]
    assert lines == dict(ours.lines)
    assert list(dict(both.lines)) == ["none", "kd", "kd, published", "at"]


def test_the_footer_names_the_source_and_what_was_not_run(few_samples: Path, file: Path):
    notes = table(load(few_samples), published=file, **TABLE).notes
    assert "Published: as printed in Somebody 2020, Table 2; not ours, in no comparison." in notes
    assert "Published but not run here: method fitnet; samples per class 100." in notes


def test_every_reading_of_the_columns_has_its_place(few_samples: Path, file: Path):
    """Percent becomes a fraction, as ours is, with the digits that were printed."""
    file.write_text(READINGS.replace("[0.785, 0.8377]", "[78.5, 83.77]"))
    lines = dict(table(load(few_samples), published=file, **TABLE).lines)
    assert [cell.text for cell in lines["kd, published (M of each)"]] == ["", "0.785"]
    assert [cell.text for cell in lines["kd, published (M in total)"]] == ["0.8377", ""]


def test_values_keep_the_digits_that_were_printed_and_columns_may_be_numbers(few_samples: Path, file: Path):
    rows = load(few_samples).rename(columns={"samples_per_class": "lr"}).assign(lr=lambda f: f["lr"] / 1e4)
    text = FILE.replace("{samples_per_class: [10, 100]}", "{lr: [1e-3, 0.005]}").replace("fraction", '"%"')
    file.write_text(text.replace("[0.785, 0.8377]", "[81.40, 8]").replace("[0.7, null]", "[1.20e+1, null]"))
    lines = dict(table(rows, rows="method", columns="lr", value="test_accuracy", published=file).lines)
    assert [cell.text for cell in lines["kd, published"]] == ["0.8140", "0.08"]
    [places] = Published.read(file).beside(["fitnet", "kd"], [0.001], "%").places.values()
    assert {row: f"{value:f}" for (row, _), value in places.items()} == {"fitnet": "12.0", "kd": "81.40"}


def test_a_row_that_stands_there_twice_is_told(file: Path):
    file.write_text(FILE + "  kd: [0.1, 0.2]\n")
    with pytest.raises(AnalysisError, match=r"line 9 .*`kd` stands there twice"):
        Published.read(file)


def test_csv_holds_them_in_columns_of_their_own(few_samples: Path, file: Path, tmp_path: Path):
    out = tmp_path / "t.csv"
    command(str(few_samples), published=file, output=[out], **TABLE)
    lines = {(r["method"], r["samples_per_class"]): r for r in csv.DictReader(out.read_text().splitlines()[:-1])}
    assert lines["kd", "10"]["published"] == "0.785"
    assert {r["published"] for at, r in lines.items() if at != ("kd", "10")} == {""}
    assert {r["published_in"] for r in lines.values()} == {"Somebody 2020, Table 2"}


def test_csv_holds_published_values_where_nothing_was_run(few_samples: Path, file: Path, tmp_path: Path):
    out = tmp_path / "t.csv"
    where = "not (method = 'kd' and samples_per_class = 10)"
    command(str(few_samples), published=file, output=[out], where=where, **TABLE)
    lines = {(r["method"], r["samples_per_class"]): r for r in csv.DictReader(out.read_text().splitlines()[:-1])}
    assert (lines["kd", "10"]["published"], lines["kd", "10"]["seeds"], lines["kd", "10"]["mean"]) == ("0.785", "0", "")


def test_a_table_without_columns_has_one_published_value_a_row(few_samples: Path, file: Path):
    file.write_text(FILE.replace("columns: {samples_per_class: [10, 100]}\n", "").replace("[0.785, 0.8377]", "0.785")
                    .replace("[0.7, null]", "0.7"))  # fmt: skip
    lines = dict(table(load(few_samples), rows="method", value="test_accuracy", published=file).lines)
    assert [cell.text for cell in lines["kd, published"]] == ["0.785"]


@pytest.mark.parametrize("write", [markdown, latex, page])
def test_published_values_as_printed(few_samples: Path, file: Path, write, snapshot):
    written = write(table(load(few_samples), published=file, **TABLE))
    body = [line for line in written.splitlines() if "published" in line and "tsd: {" not in line]
    assert "\n".join(body) == snapshot


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_latex_with_published_values_compiles(few_samples: Path, file: Path, tmp_path: Path):
    file.write_text(READINGS.replace("Somebody", "A_b & C #1 50 %"))
    (tmp_path / "t.tex").write_text(latex(table(load(few_samples), published=file, **TABLE)))
    document = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}\input{t.tex}\end{document}"
    asked = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", document]
    run = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout[-2000:]


def test_percent_and_other_units_do_not_mix(few_samples: Path, file: Path):
    file.write_text(FILE.replace("fraction", "nats"))
    with pytest.raises(AnalysisError, match="in nats, and `test_accuracy` is in fraction"):
        table(load(few_samples), published=file, **TABLE)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_shipped_file_reads_m_in_both_ways(path: Path):
    known = Published.read(path)
    each, total = known.readings["M per class"], known.readings["M in total"]
    assert [m / 10 for m in each] == list(total), "ten classes"
    assert list(known.values) == ["wasserstein", "ab", "fitnet", "kd"]
    beside = known.beside(["kd"], [50], "%").places
    assert {reading: found["kd", 50] for reading, found in beside.items()} == {
        "M per class": known.values["kd"][0], "M in total": known.values["kd"][2]
    }  # fmt: skip
    assert all(Decimal(25) < v < Decimal(95) for line in known.values.values() for v in line)


def test_tables_are_shipped():
    assert len(SHIPPED) >= 2
