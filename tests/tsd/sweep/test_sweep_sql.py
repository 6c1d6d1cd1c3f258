"""What every room asks of a table, against tables that one can count by hand."""

import duckdb
import pytest

from tsd.sweep.sql import count, distinct, quoted, varying


@pytest.fixture
def connection():
    with duckdb.connect(config={"threads": 1}) as found:
        found.execute(
            "CREATE TABLE t AS FROM (VALUES (1, NULL, 'a', NULL), (1, 2, 'a', NULL)) v(same, partly, text, nil)"
        )
        yield found


@pytest.mark.parametrize("name", ["plain", 'with "quotes"', "select"])
def test_any_column_name_can_be_quoted(connection, name):
    connection.execute(f"CREATE TABLE named ({quoted(name)} INTEGER)")
    assert connection.execute("SELECT * FROM named").description[0][0] == name


def test_a_column_varies_where_it_takes_two_values_and_null_is_one(connection):
    assert varying(connection, "t", ["same", "partly", "text", "nil"]) == ["partly"]
    assert varying(connection, "t", []) == []


def test_combinations_come_once_and_in_order(connection):
    assert distinct(connection, "t", ["same", "text"]).to_pylist() == [{"same": 1, "text": "a"}]
    assert [row["partly"] for row in distinct(connection, "t", ["partly"]).to_pylist()] == [2, None]
    assert distinct(connection, "t", []).num_rows == 1 and count(connection, "t") == 2
