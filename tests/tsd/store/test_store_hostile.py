"""Nothing that is read from results, sweeps, data or artefacts can run code, open files or lead out of its folder."""

import ast
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_cases import SCHEMA, SWEEP, curves, rows

import analysis
import tsd
from analysis.data.load import Results, load
from analysis.data.sql import answer
from analysis.errors import AnalysisError
from tsd.errors import UserError
from tsd.store import Store, StoreError, parts, seals
from tsd.sweep import conditions, spec

CODE = [Path(package.__file__).parent for package in (tsd, analysis)]


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def pickled(mark: Path) -> bytes:
    return pickle.dumps(Bomb(mark))


def as_torch_saves(mark: Path) -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickled(mark))
        file.writestr("archive/version", "3\n")
    return archive.getvalue()


def as_numpy_saves(mark: Path) -> bytes:
    archive = BytesIO()
    objects = np.array([Bomb(mark)], dtype=object)
    np.savez(archive, x_train=objects, y_train=objects, x_test=objects, y_test=objects)
    return archive.getvalue()


def as_yaml_tags(mark: Path) -> bytes:
    return f"!!python/object/apply:os.mkdir ['{mark}']\n".encode()


def as_arrow_once_did(mark: Path) -> bytes:
    """A sealed part, with a column of the extension type that Arrow made from a pickle before version 14."""
    told = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickled(mark)}
    table = rows("ab").append_column(pa.field("bomb", pa.int64(), metadata=told), pa.array([1, 2]))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, write_page_checksum=True) as writer:
        writer.add_key_value_metadata(SCHEMA.metadata)
        writer.write_table(table)
    return seals.sealed(sink.getvalue().to_pybytes())


def as_deep_json(mark: Path) -> bytes:
    return b"[" * 200_000


PAYLOADS = [pickled, as_torch_saves, as_numpy_saves, as_yaml_tags, as_arrow_once_did, as_deep_json]
PLACES = ["trials/bad.parquet", "curves/{stem}.parquet", "artefacts/k.safetensors", "sweep.json"]
PLACES += ["events/run.jsonl", "checkpoints/pack.json", "checkpoints/pack-0.safetensors", "manifests/{merged}.json"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_file_of_a_store_is_executed(store, tmp_path, payload, place):
    mark = tmp_path / "executed"
    store.prepare(SWEEP, {})
    store.write_part("p", rows("xy"), curves("xy"))
    store.artefacts.write("k", {"w": np.ones(2)}, {}, {})
    [part] = parts.listed(store.files)
    merged = parts.stem_of("compacted", payload(mark))
    parts.write(store.files, merged, store.files.read(part.trials.name), store.files.read(part.curves.name))
    store.files.write(place.format(stem=part.stem, merged=merged), payload(mark))
    looks = [store.states, store.trials, store.curves, store.fields, store.sweep, store.compact, store.check]
    looks += [lambda: store.trials(skip_damaged=True), lambda: store.artefacts.read("k")]
    looks += [lambda: store.connect(duckdb.connect()), lambda: store.prepare(SWEEP, {})]
    looks += [store.events, store.checkpoints.packs, lambda: load(store.root), lambda: store.check(repair=True)]
    for look in looks:
        with suppress(StoreError):
            look()
    assert not mark.exists()


@pytest.mark.parametrize("payload", [pickled, as_torch_saves, as_numpy_saves])
def test_a_data_set_of_python_objects_is_refused(tmp_path, payload):
    from tsd.data._npz import load as data

    mark, file = tmp_path / "executed", tmp_path / "mine.npz"
    file.write_bytes(payload(mark))
    with pytest.raises(UserError, match=r"never loaded|has no x_train"):
        data(file)
    assert not mark.exists()


@pytest.mark.parametrize("line", ["name: {}", "fixed: {{epochs: {}}}", "axes: {{epochs: [{}]}}", "{}: 1"])
@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir ['{mark}']", "!!python/name:os.mkdir ''"])
def test_a_sweep_file_has_no_tags_that_make_objects(tmp_path, line, tag):
    mark, file = tmp_path / "executed", tmp_path / "sweep.yaml"
    file.write_text(f"study: spectral\n{line.format(tag.format(mark=mark))}\n")
    with pytest.raises(UserError):
        spec.load(file)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", "..", "a\\\\b"])
def test_a_sweep_cannot_be_named_out_of_its_folder(tmp_path, name):
    file = tmp_path / "sweep.yaml"
    file.write_text(f'name: "{name}"\nstudy: spectral\n')
    with pytest.raises(UserError, match="name"):
        Store.of(tmp_path / "results", spec.load(file).name)


@pytest.mark.parametrize("key", ["../k", "/etc/passwd", "a/b", "..", ".k", "a\0b", ""])
def test_an_artefact_cannot_be_named_out_of_its_folder(any_store, key):
    artefacts = any_store.artefacts
    for use in (artefacts.read, artefacts.verify, artefacts.set_aside, lambda k: artefacts.write(k, {}, {}, {})):
        with pytest.raises(StoreError, match="cannot be part of a file's name"):
            use(key)


def test_an_artefact_that_claims_to_be_endless_is_refused_at_once(store):
    store.files.write("artefacts/k.safetensors", (1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(StoreError, match="no longer matches"):
        store.artefacts.read("k")


@pytest.fixture
def results(store, tmp_path):
    """Results, and a file beside them that is nobody's business."""
    store.prepare(SWEEP, {})
    store.write_part("p", rows("xy"), curves("xy"))
    (tmp_path / "secret.csv").write_text("word\nopen sesame\n")
    return Results.open(store.root)


FILE = "(FROM read_csv('{secret}'))"
REACHES = ["FROM read_csv('{secret}')", "FROM '{secret}'", "FROM read_text('{secret}')", "FROM glob('{secret}')"]
REACHES += ["FROM read_parquet('http://127.0.0.1:9/x.parquet')", "SELECT getenv('HOME')", "FROM CODE"]
REACHES += ["COPY trials TO '{secret}'", "ATTACH '{secret}'", "INSTALL httpfs", "LOAD httpfs", "PRAGMA database_list"]
REACHES += ["SET enable_external_access = true", "SET allowed_paths = ['{secret}']", "CREATE SECRET (TYPE s3)"]
REACHES += ["SELECT 1; COPY trials TO '{secret}'", "EXPORT DATABASE '{secret}'", "CREATE TABLE t AS FROM trials"]


@pytest.mark.parametrize("query", REACHES)
def test_a_question_in_sql_reaches_the_views_and_nothing_else(results, tmp_path, query):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(AnalysisError), answer(results, query.format(secret=tmp_path / "secret.csv")) as reader:
        list(reader)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "secret.csv").read_text() == "word\nopen sesame\n"


@pytest.mark.parametrize(
    "condition",
    [
        f"EXISTS {FILE}",
        f"lr > (SELECT count(*) FROM {FILE})",
        "true); COPY trials TO '{secret}'; --",
        "getenv('HOME') > ''",
    ],
)
def test_a_condition_reaches_columns_and_nothing_else(results, store, tmp_path, condition):
    text = condition.format(secret=tmp_path / "secret.csv")
    with pytest.raises(AnalysisError):
        load(store.root, text)
    assert conditions.check(text, {"lr": "DOUBLE"})
    assert (tmp_path / "secret.csv").read_text() == "word\nopen sesame\n"


def test_a_question_cannot_reach_the_caller_s_variables(results):
    nobodys_business = pa.table({"word": ["open sesame"]})
    with pytest.raises(AnalysisError), answer(results, "FROM nobodys_business") as reader:
        list(reader)
    assert nobodys_business.num_rows == 1


EXECUTES = {"eval", "exec", "compile", "__import__", "execfile"}
UNPICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
LOADS = {
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "pd.eval",
    "os.system",
}


def dangers(tree: ast.AST) -> list[str]:
    """What in a module could run something that it read."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [name for name in names if name.partition(".")[0] in UNPICKLES]
        if isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            safe = {"torch.load": given.get("weights_only") == "True", "np.load": given.get("allow_pickle") == "False"}
            if called in EXECUTES | LOADS or not safe.get(called, True) or given.get("shell", "False") != "False":
                found.append(called)
    return found


def test_no_module_runs_what_it_reads():
    modules = [path for root in CODE for path in sorted(root.rglob("*.py"))]
    found = {str(path): dangers(ast.parse(path.read_text())) for path in modules}
    assert len(modules) > 200 and not {path: calls for path, calls in found.items() if calls}


@pytest.mark.parametrize(
    "text",
    [
        "eval(x)", "import pickle", "from joblib import load", "yaml.load(f)", "torch.load(f)", "np.load(f)",
        "np.load(f, allow_pickle=True)", "torch.load(f, weights_only=False)", "subprocess.run(c, shell=True)",
    ],
)  # fmt: skip
def test_the_scan_sees_what_it_looks_for(text):
    assert dangers(ast.parse(text))


@pytest.mark.parametrize("text", ["5", "null", '"word"', "[5]", '{"a": 1}', "[[]]"])
def test_json_of_another_shape_is_passed_over(store, text):
    store.prepare(SWEEP, {})
    for name in ("events/run.jsonl", "checkpoints/pack.json"):
        store.files.write(name, text.encode())
    assert store.events() == ([{"a": 1}] if text.startswith("{") else [])
    assert store.checkpoints.packs() == {}


def test_what_is_kept_in_json_is_plain(store):
    """No tag or class name in the sweep's own file means anything to its reader."""
    store.prepare(SWEEP | {"fixed": {"__class__": "os.system", "py/object": "os.system"}}, {})
    kept = store.sweep()
    assert kept["fixed"] == {"__class__": "os.system", "py/object": "os.system"}
    assert json.loads(store.files.read("sweep.json")) == kept
