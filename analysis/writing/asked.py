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
    """Run the commands `python -m analysis VERB results/<this sweep> …` of `sweep` on the results at `path`.

    They come from a file that may be a stranger's: nothing is written where they say, and nothing read elsewhere.
    """
    found = Asked()
    for line in map(str, sweep.get("analysis", [])):
        try:
            verb, place, *options = shlex.split(line.removeprefix("python -m analysis"))
            if verb not in figures.names():
                continue
            if Path(place).name != str(sweep.get("name", "")):
                raise AnalysisError(f"It reads {place} and not these results.")
            with TemporaryDirectory() as folder:
                file = Path(folder) / f"made.{'html' if verb in TABLES else 'png'}"
                title = _run(verb, [path, *options], file)
                if verb in TABLES:
                    found.tables[title] = "".join(TABLE.findall(file.read_text(encoding="utf-8")))
                else:
                    found.pictures.append(_picture(file, title))
            found.words.extend(options)
        except (UserError, CycloptsError, ValueError) as problem:  # a quotation that does not end is a ValueError
            found.refused.append((line, " ".join(str(problem).split())))
    return found


def _run(verb: str, words: Sequence[str], file: Path) -> str:
    """Make `file` by a command in the place of its own files, and return the title that the first of these tells."""
    app = App(result_action="return_value")
    app.default(figures.find(verb).command)
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    published = bound.arguments.get("published")
    if published and (published.is_absolute() or ".." in published.parts):
        raise AnalysisError(f"It reads {published}, which is not below this folder.")
    named = bound.arguments.get("output") or [Path(verb)]
    bound.arguments["output"] = [file]
    with redirect_stdout(io.StringIO()):
        command(*bound.args, **bound.kwargs)
    return str(named[0].stem.replace("_", " "))


def _picture(file: Path, title: str) -> Picture:
    from PIL import Image

    with Image.open(file) as image:
        words, inches = image.info.get("Description", ""), image.width / image.info["dpi"][0]
    return Picture(title, file.read_bytes(), inches > 1.2 * style.WIDTH["one"], [], Provenance((words,), {}))
