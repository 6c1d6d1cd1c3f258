"""`python -m analysis` as a user starts it, and `analysis` as a laptop without torch and ray has it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main

SEEN = """
import json, sys
print(json.dumps([name for name in sys.argv[1].split() if name in sys.modules]))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, check=False)


def imported_of(modules: str, code: str) -> list[str]:
    run = python("-c", code + SEEN, modules)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_a_phase_diagram_from_the_command_line(plane: Path, tmp_path: Path):
    options = ["--x", "student_width", "--y", "second", "--value", "test_mse", "--log-y", "--log-value"]
    files = [str(tmp_path / "new" / name) for name in ("f.png", "f.pdf")]
    run = python("-m", "analysis", "phase", str(plane), *options, "-o", files[0], "-o", files[1])
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [f"wrote {file}" for file in files]
    assert Path(files[1]).read_bytes().startswith(b"%PDF")


def test_a_mistake_ends_with_code_2_and_no_traceback():
    run = python("-m", "analysis", "table", "nowhere", "--rows", "method", "--value", "test_accuracy")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "nowhere does not exist.\nThe results of a sweep are in results/<name of the sweep>.\n"


@pytest.mark.parametrize("program", ["analysis", "tsd.sweep"])
def test_a_python_without_the_packages_is_told_where_they_are(program: str):
    run = python("-S", "-m", program, "--help")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"{sys.executable} does not have the package cyclopts, which tsd needs. `make")


def test_a_package_that_is_missing_where_it_is_first_needed_is_told(monkeypatch, capsys, plane: Path):
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(SystemExit) as ended:
        main(["sql", str(plane), "from trials"])
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "") and "does not have the package rich, which" in told.err


def test_load_is_imported_when_it_is_asked_for():
    assert imported_of("duckdb pandas", "import analysis\nassert not hasattr(analysis, 'laod');") == []
    assert imported_of("duckdb", "from analysis import load\nassert load.__doc__;") == ["duckdb"]


ASKED = """
import contextlib, analysis.__main__ as commands
with contextlib.suppress(SystemExit):
    commands.app({arguments})
"""


@pytest.mark.parametrize("arguments", [["--help"], ["phase", "--help"], ["phaes"], ["sql", "results"]])
def test_help_and_typing_mistakes_load_nothing_heavy(arguments):
    heavy = "duckdb numpy pandas matplotlib seaborn scipy pyarrow torch ray"
    assert imported_of(heavy, ASKED.format(arguments=arguments)) == []


def test_analysis_needs_neither_torch_nor_ray_nor_the_rest_of_tsd(plane: Path):
    code = (
        "import analysis, analysis.data.sql, analysis.writing.rounding, analysis.drawing.series; "
        "from analysis.figures.phase import phase; import matplotlib; matplotlib.use('Agg'); "
        f"phase(analysis.load({str(plane)!r}), x='student_width', y='second', value='test_mse')"
    )
    assert imported_of("torch ray tsd.sweep tsd.studies tsd.methods tsd.models tsd.data tsd.engine", code) == []
