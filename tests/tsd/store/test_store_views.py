"""Views answer as the tables do, see nothing but the results, and need not hold them in memory."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from store_cases import METRICS, PARAMETERS, curves, row, rows

from tsd.store import Store, encoding, schema
from tsd.store.schema import ColumnInfo


@pytest.fixture(params=["may open files", "may open none", "keeps no order"])
def connection(request):
    """A database that reads the files of a disk itself, one that may not, and one that answers in any order."""
    made = duckdb.connect()
    if request.param == "may open none":
        made.execute("SET enable_external_access = false")
    if request.param == "keeps no order":
        made.execute("SET preserve_insertion_order = false")
    return made


@pytest.mark.parametrize("more", [{}, {"depth": 3}], ids=["alike", "grown"])
def test_views_answer_as_the_tables_do(any_store, connection, more):
    grown = schema.trial_schema(PARAMETERS | {name: ColumnInfo("int") for name in more}, METRICS)
    any_store.write_part("one", rows("ab", "failed", at=5), None)
    any_store.write_part("two", rows("bc", at=1), curves("bc", 1.0))
    any_store.write_part("three", pa.Table.from_pylist([row("c", at=2, **more)], schema=grown), curves("c", 2.0, 3))
    for _ in range(2):
        assert any_store.connect(connection) == any_store.fields()
        trials = connection.sql("FROM trials").to_arrow_table()
        drawn = connection.sql("FROM curves").to_arrow_table()
        assert trials.column_names == any_store.trials().column_names
        assert trials.sort_by("trial_id").to_pylist() == any_store.trials().sort_by("trial_id").to_pylist()
        order = [("trial_id", "ascending"), ("step", "ascending")]
        assert drawn.sort_by(order).to_pylist() == any_store.curves().sort_by(order).to_pylist()
        assert drawn.num_rows == 5
        any_store.compact()


def test_a_database_that_is_closed_afterwards_reads_on_and_reads_nothing_else(tmp_path, connection):
    for name in ("plain", "it's lr=3", "any[thing]*"):
        made = Store(tmp_path / name)
        made.prepare({"study": "s", "name": name, "axes": {}}, provenance={})
        made.write_part("one", rows("ab"), curves("ab"))
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for name in ("plain", "it's lr=3", "any[thing]*"):
        Store(tmp_path / name).connect(connection)
        columns = Store(tmp_path / name).trials().column_names
        assert connection.sql("FROM trials").columns == columns, "a folder's name is no column"
        assert connection.execute("SELECT count(*) FROM curves SEMI JOIN trials USING (trial_id)").fetchone()[0] > 0
    made = Store(tmp_path / "plain")
    made.connect(connection)
    connection.execute("SET enable_external_access = false")
    assert connection.execute("SELECT count(*) FROM trials").fetchall() == [(2,)]
    with pytest.raises(duckdb.PermissionException):
        connection.execute(f"FROM read_csv('{tmp_path}/secret.csv')")


def test_an_empty_store_has_empty_views(any_store, connection):
    any_store.connect(connection)
    assert connection.execute("SELECT count(*) FROM trials").fetchall() == [(0,)]
    assert connection.execute("SELECT count(*) FROM curves").fetchall() == [(0,)]


def test_views_are_of_the_moment(store, connection):
    store.write_part("one", rows("a"), None)
    store.connect(connection)
    store.write_part("two", rows("b"), None)
    assert connection.execute("SELECT count(*) FROM trials").fetchall() == [(1,)]
    store.connect(connection)
    assert connection.execute("SELECT count(*) FROM trials").fetchall() == [(2,)]


def test_every_trial_stands_beside_the_hash_of_its_id(any_store, connection):
    """Over files and row groups, also where some trials have several rows."""
    count = encoding.ROWS_A_GROUP + 3
    many = rows("a").take(np.zeros(count, int))
    ids = pa.array([f"{number:032x}" for number in range(count)])
    any_store.write_part("many", many.set_column(0, many.schema.field("trial_id"), ids), None)
    any_store.write_part("few", rows("xyz"), None)
    for _ in range(2):
        any_store.connect(connection)
        [found] = connection.execute(
            "SELECT count(*), count(DISTINCT trial_id), bool_and(tsd_hash = hash(trial_id)) FROM hashed_trials"
        ).fetchall()
        assert found == (count + 3, count + 3, True)
        any_store.write_part("again", rows("xy", at=1), None)
