"""SQL answers questions over the views and can reach nothing else."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis.data.load import Results
from analysis.data.sql import publish
from analysis.errors import AnalysisError

QUESTION = """
    SELECT method, count(*) AS n, max(test_accuracy) AS most
    FROM trials WHERE state = 'done' GROUP BY method ORDER BY method"""


@pytest.fixture
def results(few_samples: Path) -> Results:
    return Results.open(few_samples)


def test_a_question_is_answered_as_a_table(results, capsys):
    publish(results, QUESTION, "table", [])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["method", "n", "most"]
    assert [line.split()[:2] for line in lines[2:]] == [["at", "7"], ["kd", "8"], ["none", "8"]]


def test_curves_are_a_view_too(spectral: Path, capsys):
    publish(Results.open(spectral), "SELECT DISTINCT metric FROM curves ORDER BY 1", "table", [])
    assert capsys.readouterr().out.split() == ["metric", "─" * 11, "alive_nodes", "mse_keep"]


def test_a_long_answer_is_shown_in_part_and_says_so(results, capsys):
    publish(results, "SELECT i FROM range(1000) t(i)", "table", [])
    out = capsys.readouterr().out
    assert "The first 50 rows" in out
    assert len(out.splitlines()) == 53


def test_answers_as_text(results, capsysbinary, snapshot):
    for kind in ("csv", "json", "md"):
        publish(
            results,
            "SELECT 'a|b' AS t, 1.5 AS x, CAST('nan' AS DOUBLE) AS y, NULL AS z, min(started_at) AS w FROM trials",
            kind,
            [],
        )
    assert capsysbinary.readouterr().out.decode() == snapshot


def test_columns_of_one_name_are_all_shown_each_under_its_own(results, capsysbinary):
    for kind in ("csv", "md", "json"):
        publish(results, "SELECT 1 AS v, i AS v, 'c' AS w FROM range(2) t(i) ORDER BY i", kind, [])
    told = capsysbinary.readouterr().out.decode()
    assert told.splitlines()[:2] == ['"v","v_1","w"', '1,0,"c"']
    assert "| v | v_1 | w |\n| -- | -- | -- |\n| 1 | 0 | c |\n| 1 | 1 | c |\n" in told
    assert json.loads(told[told.index("[") :])[1] == {"v": 1, "v_1": 1, "w": "c"}


def test_every_format_holds_the_same_answer(results, tmp_path: Path, capsys):
    paths = [tmp_path / f"a.{kind}" for kind in ("parquet", "json", "csv", "md")]
    publish(results, QUESTION, "table", paths)
    rows = pq.read_table(paths[0]).to_pylist()
    assert json.loads(paths[1].read_text()) == rows
    assert paths[2].read_text().splitlines()[0] == '"method","n","most"'
    assert len(paths[2].read_text().splitlines()) == len(rows) + 1 == len(paths[3].read_text().splitlines()) - 1
    assert capsys.readouterr().out.splitlines() == [f"wrote {path}" for path in paths]


def test_an_empty_answer_is_a_list_without_objects(results, tmp_path: Path):
    publish(results, "SELECT * FROM trials WHERE false", "table", [tmp_path / "a.json"])
    assert json.loads((tmp_path / "a.json").read_text()) == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.org/a.parquet')",
        "ATTACH '/tmp/other.db' AS other",
        "ATTACH ':memory:' AS other",
        "COPY trials TO '{folder}/stolen.csv'",
        "COPY (SELECT 1) TO '{folder}/stolen.csv'",
        "EXPORT DATABASE '{folder}/stolen'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA enable_external_access = true",
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW trials",
        "SELECT 1; COPY trials TO '{folder}/stolen.csv'",
        "SELECT * FROM frame",
        "",
    ],
)
def test_sql_reaches_nothing_but_the_views(results, tmp_path: Path, query):
    frame = object()
    with pytest.raises(AnalysisError):
        publish(results, query.format(folder=tmp_path), "csv", [])
    assert list(tmp_path.iterdir()) == []
    assert frame


def test_a_question_that_fails_half_way_leaves_no_file(results, tmp_path: Path):
    target = tmp_path / "a.csv"
    target.write_text("before")
    with pytest.raises(AnalysisError, match="Could not convert"):
        publish(results, "SELECT CAST(method AS INTEGER) AS x FROM trials", "table", [target])
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
