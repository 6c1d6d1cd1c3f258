"""What is the same in all rows, told by a table in memory and by the statistics of stored files."""

from pathlib import Path

import example_results as example
import pandas as pd
import pytest

from analysis.data.load import Results
from analysis.data.rows import Rows

SAME = {"one": 1.5, "word": "it's", "flag": True, "none": None}


def varied(trials: int) -> dict[str, list]:
    """Columns of which the last row alone is another one."""
    return {
        "late": [0.0] * (trials - 1) + [1e-9],
        "empty at last": ["a"] * (trials - 1) + [None],
        "there at last": [None] * (trials - 1) + [3],
    }


@pytest.fixture(params=["in memory", "in files"])
def rows(request, tmp_path: Path) -> Rows:
    frame = pd.DataFrame(varied(5)).assign(**SAME)
    if request.param == "in memory":
        return Rows.of(frame)
    trials = frame.astype(object).where(frame.notna(), None).to_dict("records")
    folder = tmp_path / "r"
    for _ in range(2):
        example.write(folder, trials, parameters=dict.fromkeys(frame, ""), metrics={})
    return Results.open(folder).rows()


def test_a_column_differs_where_one_row_does(rows: Rows):
    assert rows.differing([*SAME, *varied(5)]) == list(varied(5))
    assert rows.differing([]) == []
    assert rows.over(rows.relation.limit(0)).differing(["one"]) == []


def test_the_values_of_columns_are_told_once_and_sorted(rows: Rows):
    assert rows.distinct(["one", "word"]) == [(1.5, "it's")]
    assert rows.distinct(["word", "late"]) == [("it's", 0.0), ("it's", 1e-9)]
