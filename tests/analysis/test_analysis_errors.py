"""Every mistake of a user is told in a paragraph: what, where, the nearest name, what to do next."""

import shutil
from pathlib import Path

import example_results as example
import pytest
import yaml

from analysis.__main__ import app, main
from tsd.errors import UserError
from tsd.store import schema

PHASE = "phase {plane} --x student_width --y second --value test_mse -o f.png"
TABLE = "table {few} --rows method --columns samples_per_class --value test_accuracy"
RIGHT = {
    "source": "Somebody 2020, Table 2", "metric": "test_accuracy", "unit": "fraction", "rows": "method",
    "columns": {"samples_per_class": [10]}, "values": {"kd": [0.5]},
}  # fmt: skip
MINUS = "phase {few} --x samples_per_class --y method --value test_accuracy -o f.png --minus "

PUBLISHED = {
    "right": {},
    "metric": {"metric": "tset_accuracy"},
    "rows": {"rows": "metod"},
    "columns": {"columns": {"sampels_per_class": [10]}},
    "none": {"columns": {}},
    "row": {"values": {"nonne": [0.5]}},
    "elsewhere": {"columns": {"samples_per_class": [3]}},
    "key": {"vaules": {}},
    "text": {"source": 3},
    "empty": {"values": {}},
    "list": {"columns": {"samples_per_class": 10}},
    "width": {"values": {"kd": [0.5, 0.6]}},
    "word": {"values": {"kd": ["high"]}},
    "infinity": {"values": {"kd": [float("inf")]}},
    "unit": {"unit": "nats"},
}  # fmt: skip
"""What is wrong in each of the files of published values."""

MISTAKES = {
    "folder that is not there": "table nowhere --rows method --value test_accuracy",
    "folder of another name": "table results/spectrla --rows method --value test_accuracy",
    "folder of folders": "table results --rows method --value test_accuracy",
    "folder of something else": "table elsewhere --rows method --value test_accuracy",
    "folder without trials yet": "table results/new --rows method --value test_accuracy",
    "half a sweep.json": "table results/cut --rows x --value v",
    "sweep.json of other shapes": "table results/shapes --rows x --value v",
    "sweep.json of other blocks": "table results/blocks --rows x --value v",
    "unknown axis": PHASE.replace("student_width", "studnet_width"),
    "unknown value": PHASE.replace("test_mse", "tset_mse"),
    "value that is no number": "table {plane} --rows second --value panel",
    "threshold among words": PHASE.replace("test_mse", "panel") + " --threshold 1",
    "theory without a level": PHASE + " --theory lr",
    "unknown theory": PHASE + " --threshold 1 --theory lrr",
    "line over words": "phase {plane} --x second --y panel --value test_mse --line lr -o f.png",
    "histogram of words": "histogram {plane} --value panel -o f.png",
    "lines over one column": "lines {plane} --x lr --by lr --value test_mse -o f.png",
    "one column for two axes": PHASE.replace("second", "student_width"),
    "outcome over itself": PHASE.replace("second", "panel").replace("test_mse", "panel"),
    "logarithm of zero": "phase {few} --x samples_per_class --y seed_init --value nll --log-y -o f.png",
    "logarithm of words": "phase {few} --x method --y seed_init --value nll --log-x -o f.png",
    "threshold that is none": PHASE + " --threshold nan",
    "no bins": "histogram {few} --value nll --bins 0 -o f.png",
    "more bins than can be seen": "histogram {few} --value nll --bins 1000000000 -o f.png",
    "column without a name": "table {few} --rows  --value nll",
    "column that no trial has": "phase {few} --x method --y error_type --value nll -o f.png",
    "curve where there is none": "curves {few} --value nll -o f.png",
    "more questions than sweeps": "report {few} --question a --question b -o r.html",
    "report that is no page": "report {few} -o r.pdf",
    "threshold without logarithm": PHASE + " --log-value --threshold -1",
    "too many values": "phase {spectral} --x student_width --y layer --by nodes_kept --value mse_keep -o f.png",
    "curve without its step": "phase {spectral} --x student_width --y layer --value mse_keep -o f.png",
    "unknown curve": "curves {spectral} --value mse_kept -o f.png",
    "unknown group of curves": "curves {spectral} --value mse_keep --by layr -o f.png",
    "where: no such column": TABLE + " --where methd='kd'",
    "where: not true or false": TABLE + " --where samples_per_class",
    "where: not one expression": TABLE + " --where nll>0;select",
    "where: reads a file": TABLE + " --where nll>(select(1)from'/etc/passwd')",
    "where: nothing left": TABLE + " --where nll>99",
    "unknown reference": TABLE + " --reference nnone",
    "published: no such file": TABLE + " --published nowhere.yaml",
    "published: no YAML": TABLE + " --published half.yaml",
    "published: runs code": TABLE + " --published code.yaml",
    "published: a list": TABLE + " --published bare.yaml",
    **{f"published: wrong {name}": f"{TABLE} --published {name}.yaml" for name in PUBLISHED if name != "right"},
    "minus: no such column": MINUS + "methd='none'",
    "minus: not true or false": MINUS + "nll",
    "minus: no reference": MINUS + "method='nnone'",
    "minus: nothing but references": MINUS + "nll<99",
    "minus: no pair": MINUS + "method='none' --where (method='none')=(seed_init=0)",
    "minus: of words": "phase {plane} --x student_width --y second --value panel -o f.png --minus lr>0",
    "minus: of a logarithm": MINUS + "method='none' --log-value",
    "minus: of a theory": MINUS + "method='none' --theory nll --threshold 0",
    "unknown suffix": PHASE.replace("f.png", "f.jpg"),
    "unknown suffix of a table": TABLE + " -o t.xlsx",
    "file in the way": PHASE.replace("f.png", "taken/f.png"),
    "folder in the way": PHASE.replace("f.png", "folder.png"),
    "sql: no such column": "sql {few} select(nope)from(trials)",
    "sql: column of a table called t": "sql {few} select(t.methd)from(trials)t",
    "sql: no such table": "sql {few} from(trails)",
    "sql: no such name of a table": "sql {few} select(trial.method)from(trials)",
    "sql: no such function": "sql {few} select(mediann(nll))from(trials)",
    "sql: sum of words": "sql {few} select(sum(method))from(trials)",
    "sql: word that is no number": "sql {few} select(method::int)from(trials)",
    "sql: fails on its way": "sql {few} select(if(i=9e5,'a','1')::int)from(range(1000000))t(i) -o f.csv",
    "sql: list in a CSV": "sql {few} select([nll])from(trials) -o f.csv",
    "sql: half a question": "sql {few} select(method)from",
    "sql: a file": "sql {few} from'/etc/passwd'",
    "sql: not a question": "sql {few} attach':memory:'",
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch, plane: Path, spectral: Path, few_samples: Path) -> dict[str, str]:
    """A working folder with results, so that messages show short relative paths."""
    monkeypatch.chdir(tmp_path)
    results = Path("results")
    results.mkdir()
    for name, folder in {"plane": plane, "spectral": spectral, "few": few_samples}.items():
        (results / name).symlink_to(folder)
    (results / "new" / "trials").mkdir(parents=True)
    told = {"cut": '{"study": "made', "shapes": '{"axes": [1], "trials": "x"}', "blocks": '{"when": [3]}'}
    for name, text in told.items():
        harmed = example.write(results / name, [{"x": 1.0, "v": 1.0}], parameters={"x": ""}, metrics={"v": ""})
        (harmed / "sweep.json").write_text(text)
    for name, wrong in PUBLISHED.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(RIGHT | wrong))
    Path("half.yaml").write_text("values: {kd: [0.5")
    Path("code.yaml").write_text("source: !!python/object/apply:os.getcwd []")
    Path("bare.yaml").write_text("[0.5]")
    Path("taken").write_text("a file")
    for name in ("elsewhere", "folder.png"):
        Path(name).mkdir()
    return {name: f"results/{name}" for name in ("plane", "spectral", "few")}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_and_nothing_is_written(mistake, place, snapshot):
    words = [word.format(**place) for word in MISTAKES[mistake].split(" ")]
    before = sorted(Path().rglob("*"))
    with pytest.raises(UserError) as told:
        app(words, result_action="return_value")
    assert told.value.exit_code == 2
    assert str(told.value).replace(f"{Path.cwd()}/", "") == snapshot
    assert sorted(Path().rglob("*")) == before


COMMANDS = {
    "no results": ("report", "`report` needs RESULTS, a folder or URI"),
    "no question": ("sql r", "`sql` needs QUERY, such as"),
    "no file": ("verify", "`verify` needs FILE, a figure"),
    "a flag without its value": (
        "table r --rows x --value",
        "--value requires an argument.\n`python -m analysis table",
    ),
    "a misspelt flag": ("table r --row x --value v", "Did you mean --rows instead of --row?"),
    "a misspelt verb": ("tabel r", 'Did you mean "table"?'),
    "no number": ("histogram r --value v --bins x -o f.png", 'unable to convert "x" into int'),
    "a folder too many": ("table r s --rows x --value v", "`s` is left over.\n`python -m analysis table"),
    "an empty word": ("lines r --x v --by  --value v", "Nothing but an empty word stands after `--by`: a variable"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_line_that_is_none_is_told_in_plain_words(name: str, capsys):
    line, said = COMMANDS[name]
    with pytest.raises(SystemExit) as ended:
        main(line.split(" "))
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert said in told.err and "─" not in told.err


def test_the_file_that_all_wrong_ones_were_made_of_is_right(place, capsys):
    app([*TABLE.format(**place).split(" "), "--published", "right.yaml"], result_action="return_value")
    assert "| kd, published | 0.5 |" in capsys.readouterr().out


def test_a_part_that_is_cut_short_is_told_and_not_read(tmp_path: Path):
    folder = example.write(tmp_path / "r", [{"x": 1.0, "v": 1.0}], parameters={"x": ""}, metrics={"v": ""})
    [part] = (folder / "trials").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(UserError, match=part.name):
        app(["table", str(folder), "--rows", "x", "--value", "v"], result_action="return_value")


def test_parts_that_disagree_about_a_column_are_told(tmp_path: Path):
    folder = example.write(tmp_path / "r", [{"x": 1.0, "v": 1.0}], parameters={"x": ""}, metrics={"v": ""})
    words = [{"x": "a", "v": 2.0}, {"x": "b", "v": 2.0}]
    other = example.write(tmp_path / "s", words, parameters={"x": ""}, metrics={"v": ""})
    for part in (other / "trials").glob("*.parquet"):
        shutil.copy(part, folder / "trials" / part.name)
    with pytest.raises(UserError, match="Field x has incompatible types") as told:
        app(["table", str(folder), "--rows", "x", "--value", "v"], result_action="return_value")
    assert told.value.exit_code == 2


def test_what_a_write_that_was_cut_off_left_behind_is_passed_over(tmp_path: Path, capsys):
    folder = example.write(tmp_path / "r", [{"x": 1.0, "v": 1.0}], parameters={"x": ""}, metrics={"v": ""})
    [part] = (folder / "trials").glob("*.parquet")
    (folder / "trials" / ".tmp-1").write_bytes(part.read_bytes()[:100])
    (folder / "curves" / "stray-0.parquet").write_bytes(b"PAR1")
    app(["table", str(folder), "--rows", "x", "--value", "v"], result_action="return_value")
    assert "1 trial, n = 1 seed a cell" in capsys.readouterr().out
    part.unlink()
    with pytest.raises(UserError, match="holds no trial yet") as told:
        app(["table", str(folder), "--rows", "x", "--value", "v"], result_action="return_value")
    assert told.value.exit_code == 2


def test_a_part_of_a_newer_schema_is_told(tmp_path: Path, monkeypatch):
    folder = example.write(tmp_path / "r", [{"x": 1.0, "v": 1.0}], parameters={"x": ""}, metrics={"v": ""})
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)
    newer = example.write(tmp_path / "s", [{"x": 2.0, "v": 1.0}], parameters={"x": ""}, metrics={"v": ""})
    monkeypatch.undo()
    for part in (newer / "trials").glob("*.parquet"):
        shutil.copy(part, folder / "trials" / part.name)
    with pytest.raises(UserError, match=r"written by a newer tsd \(schema version 2") as told:
        app(["table", str(folder), "--rows", "x", "--value", "v"], result_action="return_value")
    assert told.value.exit_code == 2


def test_sweeps_that_disagree_about_a_column_stand_side_by_side_in_a_report(tmp_path: Path):
    folders = []
    for name, values in (("numbers", (1.0, 2.0)), ("words", ("a", "b"))):
        trials = [{"x": x, "v": 1.0 + i + s, "seed_init": s} for i, x in enumerate(values) for s in range(2)]
        folders.append(str(example.write(tmp_path / name, trials, parameters={"x": ""}, metrics={"v": ""})))
    app(["report", *folders, "-o", str(tmp_path / "r.html")], result_action="return_value")
    assert (tmp_path / "r.html").read_text().count("<h3>Cells</h3>") == 2
