"""`python -m tsd.sweep`: one command line, from its words to its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tsd.errors import UserError, lacking

try:
    from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError
except ModuleNotFoundError as missing:
    print(lacking(missing), file=sys.stderr)
    sys.exit(UserError.exit_code)

from tsd.sweep.problems import nearest, nearest_file
from tsd.sweep.verbs import app


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's.

    Returns:
        0 all asked-for trials stored, 1 some failed, 2 bad input, 3 no cluster, 130 interrupted, 141 nobody reads on.
    """
    given = list(sys.argv[1:] if words is None else words) or ["--help"]
    try:
        _must_be_verb_or_file(given)
        code = app(given, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        verb = given[0] if given[0] in app else "run"
        print(_told(error, verb), file=sys.stderr)
        return UserError.exit_code
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on with what is missing.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of what is printed, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code if isinstance(code, int) else 0


def _told(error: CycloptsError, verb: str) -> str:
    """What is wrong with a command line, and where its right form stands."""
    if isinstance(error, UnusedCliTokensError):
        unused = " ".join(error.unused_tokens or ())
        return (
            f"`{unused}` is left over: a command takes one sweep file, and each flag one value; "
            "several are given as in `--set epochs=10 --set lr=0.1`."
        )
    if isinstance(error, MissingArgumentError) and error.argument and error.argument.name == "FILE":
        return f"`{verb}` needs a sweep file: `python -m tsd.sweep {verb} FILE`."
    return f"{error}\n`python -m tsd.sweep {verb} --help` lists the flags."


def _must_be_verb_or_file(words: Sequence[str]) -> None:
    """Raises UserError where the first word is neither, and would be taken for the name of a file."""
    verbs = [name for name in app if not name.startswith("-")]
    first = words[0]
    if first in verbs or first.startswith("-") or "." in first or Path(first).exists():
        return
    hint = nearest(first, verbs) or nearest_file(Path(first))
    raise UserError(f"`{first}` is neither a command ({', '.join(verbs)}) nor a sweep file.{hint}")


if __name__ == "__main__":
    sys.exit(main())
