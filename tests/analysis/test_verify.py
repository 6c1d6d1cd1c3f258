"""Every file that a verb writes knows what it was made of, and says so when that changes."""

from pathlib import Path

import duckdb
import example_results as example
import pytest

from analysis.__main__ import app
from analysis.data.load import Results
from analysis.data.lock import changes, lock
from analysis.errors import AnalysisError
from analysis.writing.verify import facts_of, verify
from tsd.store import Store

PARAMETERS, METRICS = {"x": "", "method": ""}, {"test_mse": "", "test_nll": ""}
MADE = {
    "phase": "phase {r} --x x --y method --value test_mse -o {f}",
    "lines": "lines {r} --x x --value test_mse --by method -o {f}",
    "histogram": "histogram {r} --value test_mse -o {f}",
    "curves": "curves {r} --value loss --by method -o {f}",
    "scaling": "scaling {r} --x x --value test_mse -o {f}",
    "table": "table {r} --rows method --columns x --value test_mse -o {f}",
    "variance": "variance {r} --value test_mse -o {f}",
    "boundary": "phase {r} --x x --y test_nll --value test_mse --threshold 0.3 -o {f}",
}  # fmt: skip
NO_HASHES = "unknown: it carries no hashes of this program; a copy that lost its metadata lost them"
KINDS = {
    "table": (".md", ".tex", ".html", ".csv"),
    "variance": (".md", ".csv"),
    "scaling": (".png", ".csv"),
    "boundary": (".csv",),
}


def results(folder: Path, nudge=None, more=(), version=1) -> Path:
    """Crossed seeds of two methods; `nudge` is a row and a metric whose value is another."""
    trials = []
    for method in ("kd", "none"):
        for x in (1, 2, 4, 8):
            for teacher, init in ((t, i) for t in range(2) for i in range(3)):
                value = 1 / x + 0.01 * teacher + 0.003 * init
                seeds = {"seed_teacher": teacher, "seed_init": init}
                trials.append({"x": float(x), "method": method, "test_mse": value, "test_nll": value, **seeds})
    trials += more
    if nudge:
        trials[nudge[0]][nudge[1]] += 1e-12
    trials = [t | {"study_version": version} for t in trials]
    curves = [(i, "loss", s, 1.0 / s) for i in range(len(trials)) for s in (1, 2, 3)]
    return example.write(folder, trials, parameters=PARAMETERS, metrics=METRICS, curves=curves, steps={"loss": "step"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    folder = tmp_path_factory.mktemp("verify")
    here = results(folder / "r")
    files = {}
    for verb, line in MADE.items():
        for kind in KINDS.get(verb, (".png", ".pdf")):
            files[folder / f"{verb}{kind}"] = here
            app(line.format(r=here, f=folder / f"{verb}{kind}").split(), result_action="return_value")
    return files


def test_what_was_just_made_is_fresh(made):
    assert {str(verify(path)) for path in made} == {"fresh"}
    assert len(made) == 17


def test_another_value_makes_stale_what_shows_it_and_nothing_else(made, tmp_path: Path):
    other = results(tmp_path / "r", nudge=(3, "test_mse"))
    for path in made:
        expected = "fresh" if path.stem == "curves" else "stale: `test_mse` has other values"
        assert str(verify(path, [str(other)])) == expected
    unseen = results(tmp_path / "s", nudge=(3, "test_nll"))
    assert {str(verify(path, [str(unseen)])) for path in made if path.stem != "boundary"} == {"fresh"}


def test_trials_that_exchange_their_values_or_change_alike_are_seen(tmp_path: Path):
    """Of the values alone an exclusive or would see neither."""

    def locked(name: str, *values: float):
        trials = [{"x": 1.0, "test_mse": v} for v in values]
        curves = [(i, "loss", 1, v) for i, v in enumerate(values)]
        about = {"parameters": {"x": ""}, "metrics": {"test_mse": ""}, "steps": {"loss": "step"}}
        here = example.write(tmp_path / name, trials, curves=curves, **about)
        return lock(Results.open(here), {"value": "test_mse", "curve": "loss"})

    told = ["`test_mse` has other values", "`loss` has other values"]
    assert changes(locked("a", 1.0, 2.0), locked("b", 2.0, 1.0)) == told
    assert changes(locked("c", 3.0, 3.0), locked("d", 4.0, 4.0)) == told


def test_more_trials_make_stale_what_they_belong_to(made, tmp_path: Path):
    one = {"x": 16.0, "method": "kd", "test_mse": 0.1, "test_nll": 0.1, "seed_teacher": 0, "seed_init": 0}
    other = results(tmp_path / "r", more=[one])
    assert {str(verify(path, [str(other)])) for path in made} == {"stale: there are 49 trials, not 48"}


def test_a_condition_keeps_a_figure_fresh_whatever_happens_elsewhere(tmp_path: Path):
    here, other = results(tmp_path / "r"), results(tmp_path / "s", nudge=(0, "test_mse"))
    words = ["table", str(here), "--rows", "x", "--value", "test_mse", "-o", str(tmp_path / "t.md")]
    app([*words, "--where", "method = 'none'"], result_action="return_value")
    assert str(verify(tmp_path / "t.md", [str(other)])) == "fresh"


def test_another_version_of_the_study_is_told(tmp_path: Path):
    asked = {"value": "test_mse"}
    then, now = (lock(Results.open(results(tmp_path / n, version=v)), asked) for n, v in (("r", 1), ("s", 2)))
    assert changes(then, now) == ["the study is made_up 2, not made_up 1"]
    assert changes(then, now | {"versions": then["versions"], "columns": {}})[0] == "`kind` is gone"
    assert changes(then, now | {"ids": "0"}) == ["other trials fulfil the condition, 48 as before"]


def test_other_published_values_make_a_table_stale(tmp_path: Path):
    here, theirs = results(tmp_path / "r"), tmp_path / "theirs.yaml"
    theirs.write_text("source: S\nmetric: test_mse\nunit: ''\nrows: method\nvalues: {kd: 0.5}\n")
    words = ["table", str(here), "--rows", "method", "--value", "test_mse", "--published", str(theirs)]
    made = [tmp_path / f"t.{kind}" for kind in ("md", "csv", "tex")]
    app([*words, *(w for path in made for w in ("-o", str(path)))], result_action="return_value")
    assert {str(verify(path)) for path in made} == {"fresh"}
    theirs.write_text(theirs.read_text().replace("0.5", "0.6"))
    assert {str(verify(path)) for path in made} == {f"stale: `{theirs}` has other values"}
    theirs.unlink()
    assert {str(verify(path)) for path in made} == {f"stale: `{theirs}` is gone"}


def test_a_hash_does_not_depend_on_the_order_of_rows(tmp_path: Path):
    opened = Results.open(results(tmp_path / "r"))
    before = lock(opened, {"value": "test_mse", "curve": "loss"})
    backwards = duckdb.connect()
    backwards.register("t", opened.connection.sql("SELECT * FROM trials ORDER BY trial_id DESC").to_arrow_table())
    backwards.register("c", opened.connection.sql("SELECT * FROM curves ORDER BY value").to_arrow_table())
    backwards.execute("CREATE VIEW trials AS FROM t")
    backwards.execute("CREATE VIEW curves AS FROM c")
    backwards.execute("CREATE VIEW hashed_trials AS SELECT *, hash(trial_id) AS tsd_hash FROM t")
    again = Results(opened.path, backwards, opened.fields, opened.sweep)
    assert lock(again, {"value": "test_mse", "curve": "loss"}) == before


def test_what_nobody_can_tell_is_unknown(made, tmp_path: Path, monkeypatch):
    path = next(iter(made))
    assert str(verify(path, [str(tmp_path / "gone")])).startswith("unknown: ")
    plain = tmp_path / "notes.md"
    plain.write_text("A note.")
    assert str(verify(plain)) == NO_HASHES
    with monkeypatch.context() as patch:
        patch.setattr("analysis.data.lock.HASHES", 0)
        assert verify(path).why == "its hashes are of another version of this program; make it again"
    monkeypatch.setattr(duckdb, "__version__", "0.0")
    assert "DuckDB" in verify(path).why
    with pytest.raises(AnalysisError, match="cannot be read"):
        verify(tmp_path / "nothing.png")


def test_the_verb_ends_with_0_for_fresh_and_1_for_stale(made, tmp_path: Path, capsys):
    path = next(iter(made))
    for where, code, said in (([], 0, "fresh"), (["--results", str(tmp_path / "gone")], 1, "unknown: ")):
        with pytest.raises(SystemExit) as ended:
            app(["verify", str(path), *where])
        assert ended.value.code == code
        assert f"{path} is {said}" in capsys.readouterr().out


def test_pdfs_say_what_pngs_say(made):
    facts = {path.suffix: facts_of(path) for path in made if path.stem == "phase"}
    assert facts[".png"] == facts[".pdf"]
    assert facts[".png"]["lock"]["trials"] == 48


def test_a_figure_outlives_a_compaction_and_not_a_retry_nor_the_loss_of_a_part(tmp_path: Path):
    about = {"parameters": {"x": ""}, "metrics": {"test_mse": ""}}
    trials = [{"x": float(x), "test_mse": 0.5 * x, "wall_s": 1.0, "state": "done"} for x in range(4)]
    lost = trials[3] | {"state": "failed", "test_mse": None}
    here = example.write(tmp_path / "r", [*trials[:3], lost], **about)
    path = tmp_path / "t.csv"
    words = ["table", str(here), "--rows", "x", "--value", "test_mse", "-o", str(path)]
    app(words, result_action="return_value")
    example.write(here, [t | {"wall_s": 2.0} for t in [*trials[:3], lost]], **about)
    assert str(verify(path)) == "fresh", "who looked at it did not see how long it took"
    example.write(here, [*trials[:3], trials[3]], **about)
    assert str(verify(path)) == "stale: `state` has other values; `test_mse` has other values"
    app(words, result_action="return_value")
    assert len(list((here / "trials").iterdir())) == 3
    Store(here).compact()
    assert len(list((here / "trials").iterdir())) == 1
    assert str(verify(path)) == "fresh"
    moved = here.rename(tmp_path / "elsewhere")
    assert str(verify(path)) == f"unknown: its results are not in {here} any more; say where with --results"
    assert str(verify(path, [str(moved)])) == "fresh"
    next((moved / "trials").iterdir()).unlink()
    assert str(verify(path, [str(moved)])) == "stale: there are 0 trials, not 4"


@pytest.mark.parametrize("name", ["f.png", "f.pdf", "f.html", "f.csv"])
def test_a_file_that_was_cut_short_or_made_up_is_unknown(name: str, made, tmp_path: Path):
    whole = next(path for path in made if path.suffix in (".png", ".pdf")).read_bytes()
    forged = ['{"lock": 3}', '{"results": ["a"], "locks": []}', '{"lock": {}, "source": [], "asked": {}}', "[1]", "{"]
    told = [whole[:200], b"", *(f"# tsd: {facts}\n".encode() for facts in forged)]
    for data in told:
        (tmp_path / name).write_bytes(data)
        assert str(verify(tmp_path / name)) == NO_HASHES
