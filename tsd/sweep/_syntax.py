"""The syntax of YAML: text to PyYAML's tree of nodes, with a friendly word where the text is no YAML.

PyYAML reads YAML 1.1, where `1e-3` is text, `010` is 8 and `off` is false. Here numbers, truth values and null follow
the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), and everything else is text.
"""

from __future__ import annotations

import re
from dataclasses import replace

import yaml

from tsd.sweep.problems import Place, Problem, SweepFileError, shorten

TAG = "tag:yaml.org,2002:"
CORE = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
"""What a plain scalar may be besides text: how it is spelt, and the characters with which it may begin."""


class _Loader(yaml.SafeLoader):
    """Composes the tree; `CORE` decides which plain scalars are more than text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _kind, (_pattern, _first) in CORE.items():
    _Loader.add_implicit_resolver(TAG + _kind, re.compile(rf"(?:{_pattern})\Z"), _first)


def compose(text: str, start: Place, path: str) -> yaml.Node | None:
    """The tree of `text`; None where it holds nothing. Raises SweepFileError where it is no YAML."""

    def fail(place: Place, said: str) -> SweepFileError:
        return SweepFileError([Problem(place, path, said)])

    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        key_ahead = "could not find expected ':'" in str(error.problem)
        mark = error.context_mark if key_ahead else error.problem_mark or error.context_mark
        raise fail(at(mark, start), _friendly(error)) from None
    except yaml.reader.ReaderError as error:
        said = f"This is not YAML: the character U+{ord(text[error.position]):04X} may not stand here."
        raise fail(_at_index(text, error.position, start), said) from None
    except (ValueError, OverflowError):
        # PyYAML passes the numbers of escapes (\U…) and directives (%YAML …) to chr() and int() unchecked.
        said = "This is not YAML: an escape (\\U…) or a directive (%YAML …) holds a number out of range."
        raise fail(at(loader.get_mark() if loader else None, start), said) from None
    except RecursionError:
        raise fail(start, "This is nested too deeply.") from None


def at(mark: yaml.Mark | None, start: Place) -> Place:
    """The place of a mark in a text that begins at `start`. A `--set` has no lines: all of it is one place."""
    if mark is None or not start.line:
        return start
    return replace(start, line=mark.line + 1, column=mark.column + 1)


def _at_index(text: str, index: int, start: Place) -> Place:
    before = text[:index].splitlines() or [""]
    return replace(start, line=len(before), column=len(before[-1]) + 1) if start.line else start


_HINTS = {
    "found character '\\t'": "Indent with spaces, not tabs.",
    "mapping values are not allowed": "Keys of one level begin in one column; a value with `: ` in it needs quotes.",
    "could not find expected ':'": "Every key needs a colon and a space: `key: value`.",
    "expected ',' or": "A bracket is not closed, or a comma is missing.",
    "but found '<stream end>'": "A bracket or a quote is not closed.",
    "found unexpected end of stream": "A quote is not closed.",
    "expected <block end>": "Entries of one level begin in the same column.",
    "expected a single document": "One file is one sweep: remove the line `---`.",
    "found undefined alias": "`*name` repeats what `&name` has marked earlier; text that begins with `*` needs quotes.",
}


def _friendly(error: yaml.MarkedYAMLError) -> str:
    said = f"{error.context or ''} {error.problem or ''}".strip()
    hint = next((f"\n{hint}" for sign, hint in _HINTS.items() if sign in said), "")
    return f"This is not YAML: {shorten(said, 200)}.{hint}"
