"""The figures and tables that a sweep's own file asks for, made by the verbs that it names."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cyclopts import App, CycloptsError

from analysis import figures
from analysis.drawing import style
from analysis.drawing.overview import Picture
from analysis.errors import AnalysisError
from analysis.writing.provenance import Provenance
from tsd.store import UserError

TABLES = ("table", "variance")
TABLE = re.compile(r'<figure class="tsd-table">.*?</figure>', re.S)


@dataclass(frozen=True)
class Asked:
    """What came of the commands of a sweep's file.

    Args:
        pictures, tables: what they made, the tables as HTML under their titles.
        refused: the other commands, and why nothing came of them.
        words: the words of all commands, which name the columns that were looked at.
    """

    pictures: list[Picture] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def asked(path: str, sweep: Mapping[str, Any]) -> Asked:
    """Run the commands `python -m analysis VERB results/<this sweep> …` of `sweep` on the results at `path`."""
    found = Asked()
    for line in sweep.get("analysis", []):
        try:
            verb, options, title = _parsed(line, str(sweep.get("name", "")))
            if verb not in figures.names():
                continue
            with TemporaryDirectory() as folder:
                file = Path(folder) / f"made.{'html' if verb in TABLES else 'png'}"
                _run(verb, [path, *options, "-o", str(file)])
                if verb in TABLES:
                    found.tables[title] = "".join(TABLE.findall(file.read_text(encoding="utf-8")))
                else:
                    found.pictures.append(_picture(file, title))
            found.words.extend(options)
        except (UserError, CycloptsError, ValueError) as problem:  # a quotation that does not end is a ValueError
            found.refused.append((line, " ".join(str(problem).split())))
    return found


def _parsed(line: str, name: str) -> tuple[str, list[str], str]:
    """The verb of a command, its options but for the files, and the title that its first file tells."""
    verb, place, *words = shlex.split(line.removeprefix("python -m analysis"))
    if Path(place).name != name:
        raise AnalysisError(f"It reads {place} and not these results.")
    ends = [i for i, word in enumerate(words) if word in ("-o", "--output")]
    files = [Path(words[i + 1]) for i in ends if i + 1 < len(words)]
    options = [word for i, word in enumerate(words) if i not in ends and i - 1 not in ends]
    return verb, options, (files[0].stem if files else verb).replace("_", " ")


def _run(verb: str, words: Sequence[str]) -> None:
    app = App(result_action="return_value")
    app.default(figures.find(verb).command)
    with redirect_stdout(io.StringIO()):
        app(words, exit_on_error=False, print_error=False)


def _picture(file: Path, title: str) -> Picture:
    from PIL import Image

    with Image.open(file) as image:
        words, inches = image.info.get("Description", ""), image.width / image.info["dpi"][0]
    return Picture(title, file.read_bytes(), inches > 1.2 * style.WIDTH["one"], [], Provenance((words,), {}))
